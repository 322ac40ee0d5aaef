"""One tracked video on disk: masks, boxes, memory and an overlay, written frame by frame.

    <output>/run.json      configuration and what came of it
    <output>/masks.json    COCO results: image_id is the frame, category_id the object, segmentation run-length coded
    <output>/masks/        one palette PNG per frame, pixel value = object id (the higher id where masks overlap)
    <output>/boxes.csv     box around every mask in video pixels, exclusive maxima, with its scores
    <output>/memory.json   frames held and read, per frame and object
    <output>/overlay.mp4   the video with masks and a memory timeline

Everything is written to a hidden folder inside the output and moved to its name at the end, so a file is whole or
absent, and what is held in memory does not grow with the video.
"""

import fcntl
import json
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from framework.data.prompts import Schedule
from framework.data.sources.source import Source
from framework.errors import InputError
from framework.inference.writers import OUTPUTS, TrackedFrame, Writer
from framework.storage.files import write_atomic
from framework.tracker import Tracker
from framework.types import Result, Track, Work

ABOUT = "run.json"


def stream(tracker: Tracker, source: Source, schedule: Schedule) -> Iterator[TrackedFrame]:
    """Tracks a source as it comes; prompts join at their frame. Frames before the first prompt are not encoded.

    A selector with hindsight and a lag of n frames revises a frame until n frames later, when it is handed out; without
    a lag it answers as it goes, since all of its past would not fit into constant memory.
    """
    selector = tracker.selector
    lag = (selector.lag or 0) if selector.hindsight else 0
    if selector.hindsight and selector.lag is None:
        tracker = replace(tracker, selector=replace(selector, lag=0))  # type: ignore[type-var]
    state = tracker.init()
    waiting: deque[tuple[UInt8[np.ndarray, "Hv Wv 3"], Result]] = deque()
    for index, image in enumerate(source.frames()):
        prompts, removed = schedule.prompts.get(index, {}), schedule.removed.get(index, frozenset())
        if state.objects or prompts:
            features = tracker.network.encode(image, index, source.length)
            state, result = tracker.step(state, features, prompts, removed)
        else:
            result = Result(index, source.size, {}, Work())
        waiting.append((image, result))
        if len(waiting) > lag:
            yield _shot(*waiting.popleft(), tracker.hindsight(state))
    while waiting:
        yield _shot(*waiting.popleft(), tracker.hindsight(state))


def _shot(image: UInt8[np.ndarray, "Hv Wv 3"], result: Result, past: Mapping[int, Mapping[int, Track]]) -> TrackedFrame:
    """The frame with what the past says of it now."""
    tracks = {key: past.get(key, {}).get(result.frame, track) for key, track in result.tracks.items()}
    result = replace(result, tracks=tracks)
    found = result.masks()
    host = torch.stack(list(found.values())).cpu().numpy() if found else ()
    return TrackedFrame(image, result, dict(zip(found, host, strict=True)))


class TrackFolder:
    """An output folder that takes everything at once or nothing.

    Raises InputError when it holds results of another configuration, some that are not among `outputs`, or files that
    are none of ours, and `overwrite` does not allow to replace them.
    """

    def __init__(
        self, path: Path, configuration: Mapping[str, Any], outputs: Sequence[str], overwrite: bool = False
    ) -> None:
        self.path = path
        self.partial = path / ".partial"
        self._configuration = json.loads(json.dumps(configuration))
        self._made: list[Path] = []
        self._handle: int | None = None
        if path.exists() and not path.is_dir():
            raise InputError(f"output={path} is a file: give a folder")
        if path.exists() and not overwrite:
            self._refuse_others(outputs)

    def __enter__(self) -> "TrackFolder":
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
            self._lock()
            for left in self.partial.iterdir():  # by a process that was killed
                _remove(left)
        except OSError:
            self._vanish()
            raise
        return self

    def _lock(self) -> None:
        """Claims the folder for as long as this process lives or is in the context."""
        handle = os.open(self.partial, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise InputError(f"another process is writing to {self.path}: choose another output=") from None
        self._handle = handle

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._vanish()

    def commit(self, outcome: Mapping[str, Any]) -> list[Path]:
        """Moves what was written to its names, and says in run.json what it is. Returns the paths."""
        written = sorted(self.partial.iterdir())
        about = json.dumps({"configuration": self._configuration, **outcome}, indent=1)
        write_atomic(self.partial / ABOUT, about.encode())
        for name in (ABOUT, *OUTPUTS):
            _remove(self.path / name)
        for part in (*written, self.partial / ABOUT):
            part.replace(self.path / part.name)
        return [self.path / part.name for part in written]

    def _vanish(self) -> None:
        """Takes away what is not finished, and the folders made for it if nothing else is in them."""
        shutil.rmtree(self.partial, ignore_errors=True)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()

    def _refuse_others(self, outputs: Sequence[str]) -> None:
        fix = "choose another output=, or overwrite=true"
        try:
            there = json.loads((self.path / ABOUT).read_text())["configuration"]
        except FileNotFoundError:
            if any(item != self.partial for item in self.path.iterdir()):
                raise InputError(f"{self.path} holds files that are not results of this command: {fix}") from None
            return
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.path / ABOUT} is damaged: {fix}") from error
        if there != self._configuration:
            what = "; ".join(_differences(there, self._configuration)[:2])
            raise InputError(f"{self.path} holds results of another configuration ({what}): {fix}")
        lost = [name for name in OUTPUTS if name not in outputs and (self.path / name).exists()]
        if lost:
            raise InputError(f"{self.path} holds {', '.join(lost)} too: add to outputs=, {fix}")


def write_all(
    shots: Iterable[TrackedFrame],
    folder: TrackFolder,
    writers: Sequence[Writer],
    endless: bool = False,
    watch: Callable[[TrackedFrame], None] = lambda shot: None,
) -> list[Path]:
    """Writes every shot and completes the folder; returns the paths written.

    When a source breaks in the middle, what came before is completed, and its InputError raised afterwards. With
    `endless`, an interrupt (Ctrl-C) is a regular end.
    """
    frames, failure = 0, None
    try:
        with _interrupts(endless) as interrupted:
            try:
                for shot in shots:
                    for writer in writers:
                        writer.write(shot)
                    frames += 1
                    watch(shot)
                    if interrupted():
                        break
            except InputError as error:
                if not frames:
                    raise
                failure = error
        for writer in writers:
            writer.close()
        paths = folder.commit({"frames": frames, "complete": failure is None, "ended": str(failure or "") or None})
    except BaseException:
        for writer in writers:
            writer.discard()
        raise
    if failure is not None:
        raise failure
    return paths


@contextmanager
def _interrupts(caught: bool) -> Iterator[Callable[[], bool]]:
    """Whether the first Ctrl-C came, if it is to be caught; a second one interrupts as usual."""
    came = threading.Event()
    if not caught or threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return

    def note(number: int, frame: object) -> None:
        came.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _differences(there: Any, here: Any, path: str = "") -> list[str]:
    """`policy.slots: 6, now 3`, for every leaf that differs."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [*there, *(key for key in here if key not in there)]
        pairs = [(f"{path}.{key}" if path else key, there.get(key), here.get(key)) for key in keys]
        return [line for name, a, b in pairs if a != b for line in _differences(a, b, name)]
    return [f"{path}: {_brief(there)}, now {_brief(here)}"]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
