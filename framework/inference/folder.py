"""One tracked video on disk: masks, boxes, memory and an overlay, written frame by frame.

    <output>/run.json      configuration and what came of it
    <output>/masks.json    COCO results: image_id is the frame, category_id the object, segmentation run-length coded
    <output>/masks/        one palette PNG per frame, pixel value = object id (the higher id where masks overlap)
    <output>/boxes.csv     box around every mask in video pixels, exclusive maxima, with its scores
    <output>/memory.json   frames held and read, per frame and object
    <output>/hypotheses.json    all masks that the network proposed, with their scores
    <output>/overlay.mp4   the video with masks and a memory timeline
    <output>/viewer/       the interactive page (framework.report.viewer)

Everything is written to a hidden folder inside the output and moved to its name at the end, so a file is whole or
absent, and what is held in memory does not grow with the video. After an interruption the hidden folder keeps what the
same command goes on from (see `framework.inference.journal`); all outputs are written again from there, so they are
those of a run without it.
"""

import errno
import fcntl
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import torch

from framework.data.prompts import Schedule
from framework.data.sources.data_set import SequencePart, SequenceSource
from framework.data.sources.source import Source, contents
from framework.errors import InputError
from framework.inference.journal import FRAMES, POSITION, Journal
from framework.inference.stream import TrackedFrame, stream
from framework.inference.writers import HYPOTHESES, OUTPUTS, Writer, check_outputs
from framework.storage import identity
from framework.storage.differences import differences
from framework.storage.files import write_atomic
from framework.tracker import Tracker
from framework.types import Size

ABOUT = "run.json"
KEPT = (ABOUT, FRAMES, POSITION)
"""What the hidden folder holds beside outputs in the making."""
EVERY = 30.0
"""Seconds of work that a process which is killed may lose."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of the disk, which no output escapes."""


def decides(
    given: str | int | None,
    source: Source,
    schedule: Schedule,
    tracker: Tracker,
    outputs: Sequence[str],
    data: Any = None,
) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """A track's configuration, and all that decides it beside that: code, versions and the contents of what was `given`
    as the source; None for one that cannot be read again.

    A sequence of a data set is told by `data`, the set's options. Raises InputError for a policy that has to be shown
    the truth, and for unknown outputs.
    """
    check_outputs(outputs)
    if tracker.policy.privileged:
        name = type(tracker.policy).__name__
        raise InputError(f"{name} decides by true masks, which are not shown to it here: give another policy=")
    configuration = {
        "source": str(Path(f"{given}").resolve()) if Path(f"{given}").exists() else given,
        "length": source.length,
        "prompts": identity.describe(schedule),
        "tracker": identity.describe(tracker),
    }
    holds = None if given is None else contents(given)
    if isinstance(source, SequenceSource | SequencePart):
        holds = data_set = source.source.data if isinstance(source, SequencePart) else source.data
        configuration |= {"source": f"{data_set}/{source.name}", "data": data, "sequence": source.name}
    code = {"the code": identity.code_digest(stream.__module__, tracker), "torch": torch.__version__}
    key = {"the source": holds, "what is kept": HYPOTHESES in outputs, **code}
    return configuration, key if holds else None


class TrackFolder:
    """An output folder that takes everything at once or nothing, and keeps what an interrupted run has done.

    `key` is all that decides what is tracked; a run with the same one goes on from there. None for a source that
    cannot be read again. Raises InputError when the folder holds results of another configuration, some that are not
    among `outputs`, or files that are none of ours, and `overwrite` does not allow to replace them; what is called like
    an output and is none of ours is never replaced. `announced`: whether the source says how long it is.
    """

    journal: Journal

    def __init__(
        self,
        path: Path,
        configuration: Mapping[str, Any],
        outputs: Sequence[str],
        size: Size,
        key: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        announced: bool = True,
    ) -> None:
        self.path = path
        self.partial = path / ".partial"
        self._configuration = json.loads(json.dumps(configuration))
        self._key = None if key is None else {"the configuration": self._configuration, **key}
        self._size = size
        self._announced = announced
        self._made: list[Path] = []
        self._handle: int | None = None
        self._over = False
        if path.exists() and not path.is_dir():
            raise InputError(f"output={path} is a file: give a folder")
        if path.exists() and not overwrite:
            self._refuse_others(outputs)
        ours = (path / ABOUT).exists() or self.partial.exists()
        if foreign := [name for name in OUTPUTS if (path / name).exists() and not ours]:
            raise InputError(f"{path / foreign[0]} is no result and would be replaced: choose another output=")

    def __enter__(self) -> "TrackFolder":
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
            self._lock()
            self._clear()
            write_atomic(self.partial / ABOUT, json.dumps({"configuration": self._configuration}).encode())
            self.journal = Journal(self.partial, self._key, self._size)
        except OSError:
            self._vanish()
            raise
        return self

    def _clear(self) -> None:
        """Takes away outputs in the making, also those of a process that was killed."""
        for left in self.partial.iterdir():
            if left.name not in KEPT:
                _remove(left)

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
        self.journal.close()
        if self.journal.kept and not self._over:
            self._clear()
            self._release()
        else:
            self._vanish()

    @property
    def repeatable(self) -> bool:
        """Whether what is tracked can be read again."""
        return self._key is not None

    def commit(self, frames: int, ended: InputError | KeyboardInterrupt | None = None) -> list[Path]:
        """Moves what was written to its names, and says in run.json what it is. Returns the paths.

        It is complete unless it `ended` early; null where the source does not say how long it is.
        `ended` is why it is not complete: what can be gone on with stays, and complete results are not replaced.
        """
        self._over = not isinstance(ended, KeyboardInterrupt)
        if ended is not None and self._is_complete():
            return []
        complete = None if ended is None and not self._announced else ended is None
        outcome = {"frames": frames, "complete": complete, "ended": None if ended is None else str(ended)}
        about = json.dumps({"configuration": self._configuration, **outcome}, indent=1)
        written = sorted(part for part in self.partial.iterdir() if part.name in OUTPUTS)
        write_atomic(self.partial / ABOUT, about.encode())
        for name in (ABOUT, *OUTPUTS):
            _remove(self.path / name)
        for part in (*written, self.partial / ABOUT):
            part.replace(self.path / part.name)
        return [self.path / part.name for part in written]

    def _vanish(self) -> None:
        """Takes away what is not finished, and the folders made for it if nothing else is in them."""
        shutil.rmtree(self.partial, ignore_errors=True)
        self._release()
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()

    def _release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _refuse_others(self, outputs: Sequence[str]) -> None:
        fix = "choose another output=, or overwrite=true"
        unfinished = (self.partial / POSITION).exists() and not (self.path / ABOUT).exists()
        about = self.partial / ABOUT if unfinished else self.path / ABOUT
        try:
            there = json.loads(about.read_text())["configuration"]
        except FileNotFoundError:
            if any(item != self.partial for item in self.path.iterdir()):
                raise InputError(f"{self.path} holds files that are not results of this command: {fix}") from None
            return
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{about} is damaged: {fix}") from error
        if there != self._configuration:
            what = "; ".join(differences(there, self._configuration)[:2])
            raise InputError(f"{self.path} holds results of another configuration ({what}): {fix}")
        lost = [name for name in OUTPUTS if name not in outputs and (self.path / name).exists()]
        if lost:
            raise InputError(f"{self.path} holds {', '.join(lost)} too: add to outputs=, {fix}")

    def _is_complete(self) -> bool:
        """Whether all of these results are there already."""
        try:
            there = json.loads((self.path / ABOUT).read_text())
            return there["complete"] is not False and there["configuration"] == self._configuration
        except (OSError, ValueError, KeyError, TypeError):
            return False


class _Outputs:
    """The writers that are still open. One that fails is left out and the others go on; a full disk ends them all."""

    def __init__(self, folder: Path, writers: Mapping[str, Writer]) -> None:
        self.lost: dict[str, str] = {}
        """Name -> why it is left out."""
        self._folder, self._open = folder, dict(writers)

    def write(self, frame: TrackedFrame) -> None:
        self._each(lambda writer: writer.write(frame))

    def close(self) -> None:
        self._each(lambda writer: writer.close())

    def discard(self) -> None:
        for writer in self._open.values():
            writer.discard()

    def _each(self, act: Callable[[Writer], None]) -> None:
        for name, writer in list(self._open.items()):
            try:
                act(writer)
            except (OSError, ValueError, cv2.error) as error:
                if len(self._open) == 1 or (isinstance(error, OSError) and error.errno in FULL):
                    raise
                self.lost[name] = " ".join(str(error).split())
                self._open.pop(name).discard()
                _remove(self._folder / name)


def write_all(
    frames: Iterable[TrackedFrame],
    folder: TrackFolder,
    writers: Mapping[str, Writer],
    listener: Callable[[TrackedFrame], None] = lambda frame: None,
    clock: Callable[[], float] = time.monotonic,
    reordered: Callable[[Journal], Iterable[TrackedFrame]] | None = None,
) -> list[Path]:
    """Writes every frame and completes the folder; returns the paths written.

    Frames that do not come in the order of the video are `reordered` from the journal when all are tracked.

    An interrupt (Ctrl-C) is the regular end of a source that cannot be read again. Any other one raises
    KeyboardInterrupt after what came before is written, and kept for the same command to go on from. When a source
    breaks in the middle, what came before is completed, and its InputError raised afterwards. An output that cannot be
    made is left out, and an InputError says so at the end.
    """
    outputs = _Outputs(folder.partial, writers)
    try:
        count, ended = _write(frames, folder, outputs, listener, clock, reordered)
        outputs.close()
        if ended is None and outputs.lost:
            made = "; ".join(f"{name} could not be made ({reason})" for name, reason in outputs.lost.items())
            ended = InputError(f"{made}: all else is in {folder.path}")
        paths = folder.commit(count, ended)
    except BaseException:
        outputs.discard()
        raise
    if ended is not None:
        raise ended
    return paths


def _write(
    frames: Iterable[TrackedFrame],
    folder: TrackFolder,
    outputs: _Outputs,
    listener: Callable[[TrackedFrame], None],
    clock: Callable[[], float],
    reordered: Callable[[Journal], Iterable[TrackedFrame]] | None,
) -> tuple[int, InputError | KeyboardInterrupt | None]:
    """How many frames were written, and what ended it too early."""
    count, last = 0, None
    with _interrupts() as interrupted:
        try:
            if reordered is not None:
                _track_first(frames, folder, listener, clock, interrupted)
                frames = reordered(folder.journal)
            for last in _journaled(frames, folder.journal, clock):
                outputs.write(last)
                count += 1
                listener(last)
                if interrupted():
                    return count, _interruption(folder, last)
        except InputError as error:
            if last is None or last.position is None:
                raise  # the folder holds as much already
            return count, error
    return count, None


def _track_first(
    frames: Iterable[TrackedFrame],
    folder: TrackFolder,
    listener: Callable[[TrackedFrame], None],
    clock: Callable[[], float],
    interrupted: Callable[[], bool],
) -> None:
    """Tracks all that can only be written afterwards. An interrupt keeps what the same command goes on from."""
    last = None
    for last in _journaled(frames, folder.journal, clock):
        listener(last)
        if interrupted():
            break
    if last is not None and last.position is not None:
        folder.journal.save(last.position)
    if last is not None and interrupted():
        raise KeyboardInterrupt(
            f"interrupted after frame {last.frame}, before {folder.path} was written; {_then(folder)}"
        )


def _journaled(frames: Iterable[TrackedFrame], journal: Journal, clock: Callable[[], float]) -> Iterator[TrackedFrame]:
    """Frames that are in the journal, with a position now and then."""
    saved = clock()
    for frame in frames:
        journal.add(frame)
        if frame.position is not None and clock() - saved >= EVERY:
            journal.save(frame.position)
            saved = clock()
        yield frame


def _interruption(folder: TrackFolder, frame: TrackedFrame) -> KeyboardInterrupt | None:
    """Keeps what the same command goes on from; None where an interrupt is the end."""
    if not folder.repeatable:
        return None
    if frame.position is None:
        raise KeyboardInterrupt  # the folder holds more already
    folder.journal.save(frame.position)
    where = f"interrupted after frame {frame.frame}, and {folder.path} holds what came before"
    return KeyboardInterrupt(f"{where}; {_then(folder)}")


def _then(folder: TrackFolder) -> str:
    return folder.journal.unkept or "the same command goes on from there"


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether the first Ctrl-C came; a second one interrupts as usual."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
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
