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

import csv
import json
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image

from framework.data.prompts import Schedule
from framework.data.sources import Source
from framework.errors import InputError
from framework.files import write_atomic
from framework.protocol import mask_box
from framework.records import encode_mask
from framework.report.overlay import legible, memory_strip, overlay, palette
from framework.report.video import VideoWriter
from framework.tracker import Tracker
from framework.types import MemoryUse, Result, Track, Work

OUTPUTS = ("masks.json", "masks", "boxes.csv", "memory.json", "overlay.mp4")
ABOUT = "run.json"


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One tracked frame on the host."""

    image: UInt8[np.ndarray, "Hv Wv 3"]
    result: Result
    masks: Mapping[int, Bool[np.ndarray, "Hv Wv"]]
    """By object id."""


def follow(tracker: Tracker, source: Source, schedule: Schedule) -> Iterator[Shot]:
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


def _shot(image: UInt8[np.ndarray, "Hv Wv 3"], result: Result, past: Mapping[int, Mapping[int, Track]]) -> Shot:
    """The frame with what the past says of it now."""
    tracks = {key: past.get(key, {}).get(result.frame, track) for key, track in result.tracks.items()}
    result = replace(result, tracks=tracks)
    found = result.masks()
    host = torch.stack(list(found.values())).cpu().numpy() if found else ()
    return Shot(image, result, dict(zip(found, host, strict=True)))


@runtime_checkable
class Writer(Protocol):
    """One of the outputs."""

    def write(self, shot: Shot) -> None:
        """Adds a frame."""

    def close(self) -> None:
        """Completes the output."""

    def discard(self) -> None:
        """Lets go of it after an error; the folder is thrown away."""


class JsonList:
    """A JSON list written item by item, one per line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._lead = "[\n"

    def add(self, item: Mapping[str, Any]) -> None:
        """Appends one item."""
        self._file.write(self._lead + json.dumps(item, separators=(",", ":"), allow_nan=False))
        self._lead = ",\n"

    def close(self) -> None:
        """Completes the list."""
        self._file.write("\n]\n" if self._lead == ",\n" else "[]\n")
        self._file.close()

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()


class MaskList(JsonList):
    """masks.json."""

    def write(self, shot: Shot) -> None:
        height, width = shot.result.size
        for key, mask in shot.masks.items():
            track, box = shot.result.tracks[key], mask_box(mask)
            xmin, ymin, xmax, ymax = box or (0.0, 0.0, 0.0, 0.0)
            self.add(
                {
                    "image_id": shot.result.frame,
                    "category_id": key,
                    "segmentation": {"size": [height, width], "counts": encode_mask(mask)},
                    "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                    "area": int(mask.sum()),
                    "score": track.scores.iou,
                    "presence": track.scores.presence,
                }
            )


class MemoryList(JsonList):
    """memory.json."""

    def write(self, shot: Shot) -> None:
        for key, track in shot.result.tracks.items():
            use = track.memory
            self.add(
                {
                    "frame": shot.result.frame,
                    "object": key,
                    "spatial": use.spatial,
                    "pointers": use.pointers,
                    "held": use.held,
                }
            )


class MaskImages:
    """masks/*.png."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._path = path
        self._palette = palette()

    def write(self, shot: Shot) -> None:
        ids = np.zeros(shot.result.size, np.uint8)
        for key in sorted(shot.masks):
            ids[shot.masks[key]] = key
        image = Image.fromarray(ids)
        image.putpalette(self._palette)
        image.save(self._path / f"{shot.result.frame:05d}.png")

    def close(self) -> None: ...

    def discard(self) -> None: ...


class BoxTable:
    """boxes.csv; the box of an empty mask has empty fields."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(["frame", "object", "xmin", "ymin", "xmax", "ymax", "iou", "presence", "motion"])

    def write(self, shot: Shot) -> None:
        for key, mask in shot.masks.items():
            scores = shot.result.tracks[key].scores
            box = mask_box(mask)
            edges = ("", "", "", "") if box is None else tuple(round(edge) for edge in box)
            motion = "" if scores.motion is None else f"{scores.motion:.4f}"
            numbers = f"{scores.iou:.4f}", f"{scores.presence:.4f}", motion
            self._rows.writerow([shot.result.frame, key, *edges, *numbers])

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()


class OverlayVideo:
    """overlay.mp4: the frame, and beneath it one memory row per object that ever appears."""

    def __init__(self, path: Path, source: Source, schedule: Schedule) -> None:
        self._video = VideoWriter(path, source.rate)
        self._name, self._length = source.name, source.length
        self._prompted = {
            key: [frame for frame, given in schedule.prompts.items() if key in given] for key in schedule.objects
        }

    def write(self, shot: Shot) -> None:
        result = shot.result
        of = "" if self._length is None else f" / {self._length}"
        labels = {key: f"{key}  {track.scores.iou:.2f}" for key, track in result.tracks.items()}
        caption = [f"{self._name}   {result.frame}{of}"]
        picture = overlay(shot.image, shot.masks, caption, labels=labels, zoom=legible(result.size))
        memory = {
            key: result.tracks[key].memory if key in result.tracks else MemoryUse() for key in sorted(self._prompted)
        }
        strip = memory_strip(memory, result.frame, picture.shape[1], self._length, self._prompted)
        self._video.write(np.vstack([picture, strip]))

    def close(self) -> None:
        self._video.close()

    def discard(self) -> None:
        self._video.discard()


class TrackFolder:
    """An output folder that takes everything at once or nothing.

    Raises InputError when it holds results of another configuration, or files that are none of ours, and `overwrite`
    does not allow to replace them.
    """

    def __init__(self, path: Path, configuration: Mapping[str, Any], overwrite: bool = False) -> None:
        self.path = path
        self.partial = path / ".partial"
        self._configuration = json.loads(json.dumps(configuration))
        self._made: list[Path] = []
        if path.exists() and not path.is_dir():
            raise InputError(f"output={path} is a file: give a folder")
        if path.exists() and not overwrite:
            self._refuse_others()

    def __enter__(self) -> "TrackFolder":
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir()
        except OSError:
            self._vanish()
            raise
        return self

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
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()

    def _refuse_others(self) -> None:
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


def open_writers(folder: Path, outputs: Iterable[str], source: Source, schedule: Schedule) -> list[Writer]:
    """One writer per name of `OUTPUTS`, writing into `folder`."""
    makers: Mapping[str, Callable[[Path], Writer]] = {
        "masks.json": MaskList,
        "masks": MaskImages,
        "boxes.csv": BoxTable,
        "memory.json": MemoryList,
        "overlay.mp4": lambda path: OverlayVideo(path, source, schedule),
    }
    return [makers[name](folder / name) for name in outputs]


def record(
    shots: Iterable[Shot],
    folder: TrackFolder,
    writers: Sequence[Writer],
    endless: bool = False,
    watch: Callable[[Shot], None] = lambda shot: None,
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
