"""What is written of a tracked video, frame by frame: masks, boxes, memory, an overlay."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from framework.data.palette import palette
from framework.data.prompts import Schedule
from framework.data.sources.source import Source
from framework.metrics.tracking import mask_box
from framework.report.overlay import legible, memory_strip, overlay
from framework.report.video import VideoWriter
from framework.storage.mask_rle import encode_mask
from framework.types import MemoryUse, Result

OUTPUTS = ("masks.json", "masks", "boxes.csv", "memory.json", "overlay.mp4")


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """One tracked frame on the host."""

    image: UInt8[np.ndarray, "Hv Wv 3"]
    result: Result
    masks: Mapping[int, Bool[np.ndarray, "Hv Wv"]]
    """By object id."""


@runtime_checkable
class Writer(Protocol):
    """One of the outputs."""

    def write(self, shot: TrackedFrame) -> None:
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

    def write(self, shot: TrackedFrame) -> None:
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

    def write(self, shot: TrackedFrame) -> None:
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

    def write(self, shot: TrackedFrame) -> None:
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

    def write(self, shot: TrackedFrame) -> None:
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

    def write(self, shot: TrackedFrame) -> None:
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
