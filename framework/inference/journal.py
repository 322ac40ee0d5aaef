"""What an interrupted tracking has done, kept where the same command finds it: finished frames and the state.

    frames.jsonl   one line per finished frame, as it was tracked
    position.pt    where tracking goes on, as plain data (see `framework.storage.plain`), replaced as a whole

Frames are written as they come. The position follows now and then, so a process that is killed loses what it tracked
since the last one, and nothing else.
"""

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from framework.errors import InputError
from framework.inference.stream import Begun, Position, TrackedFrame, TrackedObject
from framework.storage import hypotheses
from framework.storage.files import write_atomic
from framework.storage.mask_rle import decode_mask, encode_mask
from framework.storage.plain import from_plain, to_plain
from framework.types import MemoryUse, Scores, Size

FRAMES, POSITION = "frames.jsonl", "position.pt"


class Journal:
    """The journal of one folder.

    `key` is all that decides what is tracked, as JSON-ready data: a journal with another one is not gone on from.
    None, for what cannot be read again, keeps no position.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any] | None, size: Size) -> None:
        self.kept = False
        """Whether there is a position to go on from."""
        self.dropped: str | None = None
        """Why what was there is not gone on from."""
        self.unkept: str | None = None
        """Why nothing can be kept to go on from."""
        self._frames, self._position, self._size = folder / FRAMES, folder / POSITION, size
        self._key = None if key is None else json.loads(json.dumps(key))
        position = self._read()
        self.kept = position is not None
        self.begun = None if position is None else Begun(position, self._finished(position.finished))
        self._file = self._frames.open("a", encoding="utf-8")

    def resumption(self) -> str | None:
        """A line on what becomes of an earlier run; None where there was none."""
        if self.begun is not None:
            return f"goes on after {self.begun.position.finished} frames"
        return self.dropped and f"begins anew, since {self.dropped}"

    def add(self, frame: TrackedFrame) -> None:
        """A frame that is finished."""
        if frame.position is None:
            return  # is in it already
        objects = {
            key: {
                "mask": encode_mask(found.mask),
                "scores": asdict(found.scores),
                "choice": found.choice,
                "memory": asdict(found.memory),
                "hypotheses": hypotheses.to_json(found.hypotheses),
            }
            for key, found in frame.objects.items()
        }
        self._file.write(json.dumps(objects, separators=(",", ":")) + "\n")
        self._file.flush()

    def by_frame(self, frames: Sequence[int], length: int) -> Iterator[Mapping[int, TrackedObject]]:
        """Objects of every frame of a video; `frames` says of which one each line is."""
        places: dict[int, list[tuple[int, int]]] = {}
        with self._frames.open(encoding="utf-8") as file:
            for number, frame in enumerate(frames, 1):
                places.setdefault(frame, []).append((number, file.tell()))
                file.readline()
            for index in range(length):
                found: dict[int, TrackedObject] = {}
                for number, place in places.get(index, []):
                    file.seek(place)
                    found.update(self._objects(file.readline(), number))
                yield found

    def save(self, position: Position) -> None:
        """Goes on from here, where that is possible (see `unkept`)."""
        if self._key is None:
            return
        content = io.BytesIO()
        try:
            torch.save({"key": self._key, "position": to_plain(position)}, content)
        except TypeError as error:
            self.unkept = f"it cannot be gone on from: {error}"
            return
        os.fsync(self._file.fileno())
        write_atomic(self._position, content.getvalue())
        self.kept = True

    def close(self) -> None:
        with suppress(OSError):  # a full disk was reported already
            self._file.close()

    def _read(self) -> Position | None:
        """The position, with the frames cut to those that it has finished; without one, no frames."""
        position, lines = None, self._lines()
        if self._key is None and lines:
            self.dropped = "a camera or a stream cannot be read again"
        elif self._position.exists():
            position = self._load(lines)
        elif lines:
            self.dropped = "it ended before anything was kept to go on from"
        if position is None:
            self._position.unlink(missing_ok=True)
        with self._frames.open("ab+") as file:
            file.seek(0)
            kept = sum(map(len, islice(file, position.finished if position else 0)))
            file.truncate(kept)
        return position

    def _lines(self) -> int:
        """Whole lines of the frames."""
        if not self._frames.exists():
            return 0
        with self._frames.open("rb") as file:
            return sum(line.endswith(b"\n") for line in file)

    def _load(self, lines: int) -> Position | None:
        """The position; None, with the reason, when it is another's or damaged."""
        try:
            content = torch.load(self._position, weights_only=True)
            if content["key"] != self._key:
                changed = [name for name, value in (self._key or {}).items() if content["key"].get(name) != value]
                self.dropped = f"{' and '.join(changed)} changed"
                return None
            position = from_plain(content["position"])
        except Exception as error:  # a damaged file fails in any way
            self.dropped = f"{self._position.name} cannot be read: {type(error).__name__}"
            return None
        if not isinstance(position, Position) or position.finished > lines:
            self.dropped = f"{self._frames.name} is damaged"
            return None
        return position

    def _finished(self, count: int) -> Iterator[Mapping[int, TrackedObject]]:
        with self._frames.open(encoding="utf-8") as file:
            for number, line in enumerate(islice(file, count), 1):
                yield self._objects(line, number)

    def _objects(self, line: str, number: int) -> dict[int, TrackedObject]:
        try:
            return {int(key): self._object(found) for key, found in json.loads(line).items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            fix = f"remove {self._position} to begin anew"
            raise InputError(f"{self._frames}, line {number}: damaged: {fix}") from error

    def _object(self, found: Mapping[str, Any]) -> TrackedObject:
        memory, mask = MemoryUse.of(found["memory"]), decode_mask(found["mask"], self._size)
        proposed = hypotheses.from_json(found["hypotheses"])
        return TrackedObject(mask, Scores(**found["scores"]), found["choice"], memory, proposed)
