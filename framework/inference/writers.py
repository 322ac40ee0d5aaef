"""What is written of a tracked video, frame by frame: masks, boxes, memory, hypotheses, an overlay, a page."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from framework.data.palette import palette
from framework.data.prompts import Schedule
from framework.data.sources.data_set import SequencePart, SequenceSource
from framework.data.sources.source import Source, frame_range
from framework.errors import unknown
from framework.inference.stream import TrackedFrame
from framework.metrics.tracking import mask_box
from framework.report.overlay import legible, memory_legend, memory_strip, overlay
from framework.report.video import VideoWriter
from framework.report.viewer import SequenceFiles, ViewedObject, write_page
from framework.storage.hypotheses import to_json
from framework.storage.mask_rle import encode_mask
from framework.types import MemoryUse

HYPOTHESES, VIEWER = "hypotheses.json", "viewer"
OUTPUTS = ("masks.json", "masks", "boxes.csv", "memory.json", HYPOTHESES, "overlay.mp4", VIEWER)


@runtime_checkable
class Writer(Protocol):
    """One of the outputs."""

    def write(self, frame: TrackedFrame) -> None:
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

    def write(self, frame: TrackedFrame) -> None:
        for key, found in frame.objects.items():
            xmin, ymin, xmax, ymax = mask_box(found.mask) or (0.0, 0.0, 0.0, 0.0)
            self.add(
                {
                    "image_id": frame.frame,
                    "category_id": key,
                    "segmentation": {"size": list(found.mask.shape), "counts": encode_mask(found.mask)},
                    "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                    "area": int(found.mask.sum()),
                    "score": found.scores.iou,
                    "presence": found.scores.presence,
                }
            )


class MemoryList(JsonList):
    """memory.json."""

    def write(self, frame: TrackedFrame) -> None:
        for key, found in frame.objects.items():
            self.add({"frame": frame.frame, "object": key, **asdict(found.memory)})


class HypothesisList(JsonList):
    """hypotheses.json."""

    def write(self, frame: TrackedFrame) -> None:
        for key, found in frame.objects.items():
            proposed = to_json(found.hypotheses)
            self.add({"frame": frame.frame, "object": key, "choice": found.choice, "hypotheses": proposed})


class MaskImages:
    """masks/*.png."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._path = path
        self._palette = palette()

    def write(self, frame: TrackedFrame) -> None:
        ids = np.zeros(frame.image.shape[:2], np.uint8)
        for key in sorted(frame.objects):
            ids[frame.objects[key].mask] = key
        image = Image.fromarray(ids)
        image.putpalette(self._palette)
        image.save(self._path / f"{frame.frame:05d}.png")

    def close(self) -> None: ...

    def discard(self) -> None: ...


class BoxTable:
    """boxes.csv; the box of an empty mask has empty fields, and so has the IoU of a frame whose truth is not known."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(
            ["frame", "object", "xmin", "ymin", "xmax", "ymax", "iou", "presence", "motion", "true_iou"]
        )

    def write(self, frame: TrackedFrame) -> None:
        for key, found in frame.objects.items():
            scores, box = found.scores, mask_box(found.mask)
            edges = ("", "", "", "") if box is None else tuple(round(edge) for edge in box)
            motion = "" if scores.motion is None else f"{scores.motion:.4f}"
            iou = true_iou(frame, key)
            numbers = f"{scores.iou:.4f}", f"{scores.presence:.4f}", motion, "" if iou is None else f"{iou:.4f}"
            self._rows.writerow([frame.frame, key, *edges, *numbers])

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()


class OverlayVideo:
    """overlay.mp4: the frame, and beneath it one memory row per object that ever appears."""

    def __init__(self, path: Path, source: Source, schedule: Schedule) -> None:
        self._video = VideoWriter(path, source.rate)
        self._name, self._length, self._range = source.name, source.length, frame_range(source)
        self._of = "" if source.length is None else f" / {self._range.number(source.length - 1) + 1}"
        prompts = schedule.within(self._range).prompts
        self._prompted = {key: [at for at, given in prompts.items() if key in given] for key in schedule.objects}

    def write(self, frame: TrackedFrame) -> None:
        masks = {key: found.mask for key, found in frame.objects.items()}
        labels = {key: self._label(frame, key) for key in frame.objects}
        caption, height, width = [f"{self._name}   {frame.frame}{self._of}"], *frame.image.shape[:2]
        picture = overlay(frame.image, masks, caption, labels=labels, zoom=legible((height, width)))
        place = self._range.place
        memory = {
            key: frame.objects[key].memory.renumbered(place) if key in frame.objects else MemoryUse()
            for key in sorted(self._prompted)
        }
        strip = memory_strip(memory, place(frame.frame), picture.shape[1], self._length, self._prompted)
        self._video.write(np.vstack([picture, strip, memory_legend(picture.shape[1])]))

    @staticmethod
    def _label(frame: TrackedFrame, key: int) -> str:
        """Predicted IoU, and the true one where it is known."""
        predicted, iou = frame.objects[key].scores.iou, true_iou(frame, key)
        return f"{key}  {predicted:.2f}" if iou is None else f"{key}  {predicted:.2f}  IoU {iou:.2f}"

    def close(self) -> None:
        self._video.close()

    def discard(self) -> None:
        self._video.discard()


class ViewerFolder:
    """viewer/: the interactive page of one variant and one video."""

    def __init__(self, path: Path, source: Source) -> None:
        path.mkdir()
        self._path, self._source, self._range = path, source, frame_range(source)
        self._files = SequenceFiles(path, source.name, source.size, variants=1)

    def write(self, frame: TrackedFrame) -> None:
        found = {key: self._viewed(frame, key) for key in frame.objects}
        whole = self._source.source if isinstance(self._source, SequencePart) else self._source
        attributes = whole.video.attributes(frame.frame) if isinstance(whole, SequenceSource) else frozenset()
        self._files.add(frame.image, [found], frame.truth, attributes)

    def _viewed(self, frame: TrackedFrame, key: int) -> ViewedObject:
        one, (iou, visible) = frame.objects[key], _compared(frame, key) or (None, None)
        scores, memory = one.scores, one.memory.renumbered(self._range.place)
        return ViewedObject(encode_mask(one.mask), scores.iou, scores.presence, scores.motion, iou, visible, memory)

    def close(self) -> None:
        moments = self._files.close()
        about = {
            "title": self._source.name,
            "variants": [{"name": "tracked", "run": None}],
            "sequences": [self._files.listed(self._range.first, self._range.stride)],
            "notes": "",
        }
        write_page(self._path, about, moments)

    def discard(self) -> None:
        with suppress(OSError):
            self._files.discard()


def check_outputs(names: Iterable[str]) -> None:
    """Raises InputError for one that is not among `OUTPUTS`."""
    for name in names:
        if name not in OUTPUTS:
            raise unknown("output", name, OUTPUTS)


def true_iou(frame: TrackedFrame, key: int) -> float | None:
    """IoU of an object with the truth, of masks or boxes; 1 where both are empty; None where it is not known."""
    compared = _compared(frame, key)
    return None if compared is None else compared[0]


def _compared(frame: TrackedFrame, key: int) -> tuple[float, bool] | None:
    """IoU with the truth, and whether the object is there; None where that is not known."""
    mask = frame.objects[key].mask
    return None if frame.truth is None else frame.truth.compare(key, mask, mask_box(mask))


def open_writers(folder: Path, outputs: Iterable[str], source: Source, schedule: Schedule) -> dict[str, Writer]:
    """One writer per name of `OUTPUTS`, writing into `folder`."""
    makers: Mapping[str, Callable[[Path], Writer]] = {
        "masks.json": MaskList,
        "masks": MaskImages,
        "boxes.csv": BoxTable,
        "memory.json": MemoryList,
        HYPOTHESES: HypothesisList,
        "overlay.mp4": lambda path: OverlayVideo(path, source, schedule),
        VIEWER: lambda path: ViewerFolder(path, source),
    }
    return {name: makers[name](folder / name) for name in outputs}
