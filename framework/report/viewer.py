"""The interactive page: frames, masks, curves, what memory held and why. A folder that opens from disk.

    <folder>/index.html, *.js, *.css    the page, the same for all (framework/report/page)
    <folder>/comparison.js              variants, sequences, and the moments that are worth a look
    <folder>/<sequence>/about.js        size, attributes, first frames on which variants part
    <folder>/<sequence>/curves.js       IoU, predicted IoU and presence of every frame
    <folder>/<sequence>/frames-<n>.js   masks and memories of `CHUNK` frames, as in the results
    <folder>/<sequence>/<frame>.jpg     the frames

Data are scripts, since a page opened from disk may not fetch files. Sequences are written frame by frame, in constant
memory but for the few numbers that moments are found by.
"""

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from framework.data.sequence import VideoSequence
from framework.data.truth import Truth
from framework.evaluation.comparison import Comparison
from framework.evaluation.records import ObjectRecord, SequenceRecord
from framework.metrics.tracking import losses
from framework.report.picture_files import jpeg
from framework.storage.files import safe_name
from framework.storage.mask_rle import encode_mask
from framework.types import MemoryUse, Size

CHUNK = 100
"""Frames whose masks and memories are read at once."""
LONGEST = 640
"""Pixels of the longer side of a frame; larger ones are made smaller."""
QUALITY = 85
"""Of the JPEGs."""
PARTED = ("held", "read", "mask")
"""In what two variants may part."""


@dataclass(frozen=True, slots=True)
class ViewedObject:
    """One object of one variant on one frame."""

    mask: str
    """COCO run-length counts, at video size."""
    predicted_iou: float
    presence: float
    motion: float | None
    iou: float | None
    """With the truth; None where it is not known or not scored."""
    visible: bool | None
    """Whether the object is there; None where that is not known or not scored."""
    memory: MemoryUse

    @classmethod
    def of(cls, one: ObjectRecord, at: int) -> "ViewedObject":
        """One frame of the columns of a record."""
        return cls(
            one.mask[at],
            one.predicted_iou[at],
            one.presence[at],
            one.motion[at],
            one.iou[at],
            one.visible[at],
            one.memory[at],
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame worth a look."""

    kind: str
    sequence: str
    frame: int
    object: str
    variant: int | None
    """Position among the variants; None where it is about all of them."""
    about: str
    weight: float
    """Those of a kind with the largest come first."""
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class _Course:
    """The scored frames of one object of one variant."""

    frames: list[int] = field(default_factory=list)
    iou: list[float] = field(default_factory=list)
    visible: list[bool] = field(default_factory=list)


class SequenceFiles:
    """The files of one video, written frame by frame into `<folder>/<name>`.

    Args:
        variants: how many there are; every frame tells what each found.
    """

    def __init__(self, folder: Path, name: str, size: Size, variants: int) -> None:
        self.name, self.size, self.folder = name, size, safe_name(name)
        self._path, self._variants = folder / self.folder, variants
        self._path.mkdir(parents=True)
        self._curves = (self._path / "curves.js").open("w", encoding="utf-8")
        self._curves.write(f"store.curves({_js(self.folder)}, [\n")
        self._chunk: list[Any] = []
        self._length = 0
        self._objects: set[int] = set()
        self._attributes: dict[str, list[list[int]]] = {}
        self._courses: dict[tuple[int, int], _Course] = {}
        self._parted: dict[tuple[int, int], dict[str, int]] = {
            pair: {} for pair in combinations(range(self._variants), 2)
        }

    def add(
        self,
        image: UInt8[np.ndarray, "Hv Wv 3"],
        found: Sequence[Mapping[int, ViewedObject]],
        truth: Truth | None = None,
        attributes: frozenset[str] = frozenset(),
    ) -> None:
        """The next frame: what each variant found, by object."""
        frame = self._length
        self._length += 1
        self._write_image(frame, image)
        known = {} if truth is None else _truth(truth)
        variants = [{str(key): asdict(one) for key, one in objects.items()} for objects in found]
        self._chunk.append({"truth": known, "variants": variants})
        if len(self._chunk) == CHUNK:
            self._write_chunk()
        self._objects |= {key for objects in found for key in objects}
        numbers = {str(key): [_numbers(objects.get(key)) for objects in found] for key in sorted(self._objects)}
        self._curves.write(f"{_js([frame, numbers])},\n")
        absent = {"absent"} if any(value is None for value in known.values()) else set()
        for name in attributes | absent:
            spans = self._attributes.setdefault(name, [])
            if spans and spans[-1][1] == frame - 1:
                spans[-1][1] = frame
            else:
                spans.append([frame, frame])
        self._note(frame, found)

    def close(self) -> list[Moment]:
        """Completes the files; what is worth a look."""
        if self._chunk:
            self._write_chunk()
        self._curves.write("]);\n")
        self._curves.close()
        pairs = [
            {"variants": pair, **{what: parted.get(what) for what in PARTED}} for pair, parted in self._parted.items()
        ]
        about = {
            "name": self.name,
            "length": self._length,
            "size": self.size,
            "chunk": CHUNK,
            "objects": [str(key) for key in sorted(self._objects)],
            "attributes": dict(sorted(self._attributes.items())),
            "pairs": pairs,
        }
        self._write("about.js", f"store.about({_js(self.folder)}, {_js(about)});\n")
        return sorted([*self._lost(), *self._different()], key=lambda moment: moment.frame)

    def listed(self, first: int = 0, stride: int = 1) -> dict[str, Any]:
        """The sequence in `comparison.js`: its frames are told by place, and numbered as in the video by the page."""
        return {"name": self.name, "folder": self.folder, "first": first, "stride": stride}

    def discard(self) -> None:
        """Lets go of the files after an error."""
        self._curves.close()

    def _write(self, name: str, text: str) -> None:
        (self._path / name).write_text(text, encoding="utf-8")

    def _write_image(self, frame: int, image: UInt8[np.ndarray, "Hv Wv 3"]) -> None:
        shrink = LONGEST / max(image.shape[:2])
        if shrink < 1:
            image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        (self._path / f"{frame:05d}.jpg").write_bytes(jpeg(image, QUALITY))

    def _write_chunk(self) -> None:
        number = (self._length - 1) // CHUNK
        self._write(f"frames-{number}.js", f"store.frames({_js(self.folder)}, {number}, {_js(self._chunk)});\n")
        self._chunk = []

    def _note(self, frame: int, found: Sequence[Mapping[int, ViewedObject]]) -> None:
        """Keeps what moments are found by."""
        for variant, objects in enumerate(found):
            for key, one in objects.items():
                if one.iou is not None and one.visible is not None:
                    course = self._courses.setdefault((variant, key), _Course())
                    course.frames.append(frame)
                    course.iou.append(one.iou)
                    course.visible.append(one.visible)
        for (first, second), parted in self._parted.items():
            if len(parted) < len(PARTED):
                both = [(found[first][key], found[second][key]) for key in found[first].keys() & found[second].keys()]
                for what in PARTED:
                    if any(_part(a, what) != _part(b, what) for a, b in both):
                        parted.setdefault(what, frame)

    def _holding(self, frame: int) -> tuple[str, ...]:
        spans = self._attributes.items()
        return tuple(name for name, those in sorted(spans) if any(first <= frame <= last for first, last in those))

    def _lost(self) -> Iterator[Moment]:
        """Losses, and recoveries from them."""
        for (variant, key), course in self._courses.items():
            for lost, again in losses(np.array(course.iou), np.array(course.visible)):
                end = len(course.frames) if again is None else again
                missed, at = sum(course.visible[lost:end]), course.frames[lost]
                cause = "in view" if course.visible[lost] else "absent"
                about = f"{cause}, missed on {missed} frames" + (" to the end" if again is None else "")
                yield Moment("lost", self.name, at, str(key), variant, about, float(missed), self._holding(at))
                if again is not None:
                    at, about = course.frames[again], f"after {course.frames[again] - course.frames[lost]} frames"
                    yield Moment(
                        "found again", self.name, at, str(key), variant, about, float(missed), self._holding(at)
                    )

    def _different(self) -> Iterator[Moment]:
        """The frame of each object on which variants differ most."""
        for key in sorted({key for _, key in self._courses}):
            courses = [course for (_, other), course in self._courses.items() if other == key]
            shared = sorted(set.intersection(*(set(course.frames) for course in courses)))
            if len(courses) < 2 or not shared:
                continue
            values = np.stack([[course.iou[course.frames.index(frame)] for frame in shared] for course in courses])
            spread = values.max(axis=0) - values.min(axis=0)
            at = int(spread.argmax())
            about = f"IoU from {values[:, at].min():.2f} to {values[:, at].max():.2f}"
            if spread[at] > 0:
                holding = self._holding(shared[at])
                yield Moment("differ", self.name, shared[at], str(key), None, about, float(spread[at]), holding)


def _part(one: ViewedObject, what: str) -> Any:
    """That in which variants may part."""
    use = one.memory
    return {"held": sorted(use.held), "read": (use.spatial, use.pointers, use.gain, use.bias), "mask": one.mask}[what]


def _truth(truth: Truth) -> dict[str, Any]:
    """By object: run-length counts, a box where there are no masks, or null where it is not there."""
    boxes = {str(key): None if box is None else list(box) for key, box in truth.boxes.items()}
    return boxes | {str(key): encode_mask(mask) if mask.any() else None for key, mask in truth.masks.items()}


def _numbers(one: ViewedObject | None) -> list[float | None] | None:
    """What curves show."""
    if one is None:
        return None
    return [None if value is None else round(value, 4) for value in (one.iou, one.predicted_iou, one.presence)]


def _js(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


class Page:
    """The folder of one page, which appears whole or not at all; sequences are added to `part` while it is made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        self.part.mkdir(parents=True)

    def complete(self, about: Mapping[str, Any], moments: Sequence[Moment]) -> Path:
        """The page's own files and `comparison.js`; then its name. Returns the path of what to open."""
        write_page(self.part, about, moments)
        if self.path.exists():
            shutil.rmtree(self.path)
        self.part.replace(self.path)
        return self.path / "index.html"

    def discard(self) -> None:
        """Takes away what is not complete."""
        shutil.rmtree(self.part, ignore_errors=True)


def write_page(folder: Path, about: Mapping[str, Any], moments: Sequence[Moment]) -> None:
    """Writes the page into a folder that holds the files of its sequences."""
    for file in files("framework.report").joinpath("page").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    order = ("differ", "lost", "found again")
    listed = sorted(moments, key=lambda moment: (order.index(moment.kind), -moment.weight))
    content = {**about, "moments": [asdict(moment) for moment in listed]}
    (folder / "comparison.js").write_text(f"store.receive({_js(content)});\n", encoding="utf-8")


@dataclass(frozen=True)
class Viewer:
    """The page of a comparison."""

    comparison: Comparison
    videos: Mapping[str, VideoSequence]
    """The sequences that it shows."""

    def write(self, path: Path) -> Path:
        """Returns the path of what to open."""
        page = Page(path)
        try:
            runs, moments, listed = [run for run in self.comparison.runs if run.tracked], [], []
            for name, video in self.videos.items():
                written = SequenceFiles(page.part, name, video.size, len(runs))
                moments += _write_sequence(written, video, [run.record(name) for run in runs])
                listed.append(written.listed())
            return page.complete({**self._about(), "sequences": listed}, moments)
        except BaseException:
            page.discard()
            raise

    def _about(self) -> dict[str, Any]:
        runs, shown = [run for run in self.comparison.runs if run.tracked], len(self.videos)
        others = len(self.comparison.sequences) - shown
        failed = [f"{run.name} failed on {name}: {why}" for run in runs for name, why in run.failures.items()]
        left = [f"{shown} of {shown + others} sequences, those on which variants differ most"] if others else []
        return {
            "title": f"{self.comparison.data}",
            "variants": [{"name": run.name, "run": run.hash} for run in runs],
            "notes": "; ".join([*left, *failed]),
        }


def _write_sequence(written: SequenceFiles, video: VideoSequence, records: Sequence[SequenceRecord]) -> list[Moment]:
    places = [
        {key: {frame: at for at, frame in enumerate(one.frame)} for key, one in record.objects.items()}
        for record in records
    ]
    for frame in range(video.length):
        found = [
            {key: ViewedObject.of(record.objects[key], at[frame]) for key, at in place.items() if frame in at}
            for record, place in zip(records, places, strict=True)
        ]
        written.add(video.frame(frame), found, Truth.of(video, frame), video.attributes(frame))
    return written.close()
