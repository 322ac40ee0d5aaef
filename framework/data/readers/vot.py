"""Data sets in the format of the VOT toolkit: DiDi, VOT-ST 2020 to 2022 (multistart) and VOTS (several objects).

    list.txt                            or none: every folder with a ground truth
    <sequence>/sequence                 lines key=value
    <sequence>/color/00000001.jpg ..    or wherever `channels.color` says
    <sequence>/groundtruth.txt          one region per frame, or groundtruth_<object>.txt each
    <sequence>/anchor.value             VOT-ST: above 0, a sub-sequence starts here; below 0, one goes back
    <sequence>/first_frame_segm.txt     DiDi: the mask to start from, as its ground truth is rectangles

A sub-sequence that starts at an anchor is a sequence of its own here, frames in the order in which they are tracked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from framework.data.readers.box_sequence import seen
from framework.data.readers.release import ImageSequence, PublicData, Release
from framework.data.sources.image_folder import image_names
from framework.data.text import numbers_of, read_lines, read_rows
from framework.errors import InputError
from framework.metrics.regions import UNKNOWN, Mask, Polygon, Rectangle, Region, Window, parse_region
from framework.types import Box, Prompt

IGNORED = "_ignore"
"""An object of this name marks pixels that do not count."""


@lru_cache(maxsize=16)
def region_lines(path: Path) -> tuple[str, ...]:
    """Lines of a ground-truth file; parsed one by one, for masks of a whole video take much more room."""
    return tuple(read_lines(path))


def region_of(line: str) -> Region:
    """A region whose numbers are separated by commas, as the toolkit writes them, or like other rows of numbers."""
    shape = "m" if line.startswith("m") else ""
    try:
        return parse_region(shape + ",".join(numbers_of(line.removeprefix("m").lstrip())))
    except InputError:
        raise InputError(f"not a VOT region: {line[:60]!r}") from None


@dataclass(frozen=True)
class VotSequence(ImageSequence):
    """One video, or one sub-sequence of it."""

    video: str = ""
    """The sequence in the data."""
    truths: Mapping[int, Path] = field(default_factory=dict)
    """Object id -> ground-truth file."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Object id -> name, where there are several."""
    anchor: int | None = None
    """Frame of the video on which a sub-sequence begins."""
    first_mask: Path | None = None
    """Region to start from, in place of the ground truth of the first frame."""

    @property
    def object_names(self) -> Mapping[int, str]:
        return self.names

    def result_name(self, key: int) -> str:
        """Result file of an object, without its suffix."""
        if self.anchor is not None:
            return f"{self.video}_{self.anchor:08d}"
        return f"{self.video}_{self.names[key]}_001" if key in self.names else f"{self.video}_001"

    def region(self, key: int, index: int) -> Region:
        """Ground truth of an object on a frame; unknown where the file ends early."""
        lines, position, frames = region_lines(self.truths[key]), self.positions[index], self.images.length
        if len(lines) > frames:
            raise InputError(f"{self.truths[key]}: {len(lines)} regions for {frames} frames; unpack the data again")
        try:
            return region_of(lines[position]) if position < len(lines) else UNKNOWN
        except InputError as error:
            raise InputError(f"{self.truths[key]}, line {position + 1}: {error}") from None

    def regions(self, key: int) -> tuple[Region, ...]:
        """Ground truth of an object on all frames."""
        return tuple(self.region(key, index) for index in range(self.length))

    def truth(self, index: int) -> Mapping[int, Bool[np.ndarray, "Hv Wv"]]:
        regions = {key: self.region(key, index) for key in self.truths}
        return {key: self._pixels(region) for key, region in regions.items() if isinstance(region, Mask)}

    def truth_boxes(self, index: int) -> Mapping[int, Box | None]:
        regions = {key: self.region(key, index) for key in self.truths}
        return {key: region_box(r) for key, r in regions.items() if isinstance(r, Rectangle | Polygon)}

    def prompts(self) -> Mapping[int, Mapping[int, Prompt]]:
        """Each object's first region that is known and not empty."""
        if self.first_mask is not None:
            line = next(iter(region_lines(self.first_mask)), "")
            return {0: dict.fromkeys(self.truths, self._prompt(region_of(line), 0))}
        prompts: dict[int, dict[int, Prompt]] = {}
        for key in self.truths:
            start = next((i for i in range(self.length) if not self.region(key, i).empty), None)
            if start is None or (self.anchor is not None and start > 0):
                raise InputError(f"{self.name}: {self.truths[key]} has no region to start from; unpack the data again")
            prompts.setdefault(start, {})[key] = self._prompt(self.region(key, start), start)
        return prompts

    def _prompt(self, region: Region, index: int) -> Prompt:
        if isinstance(region, Mask):
            mask = self._pixels(region)
            if not mask.any():
                raise InputError(f"{self.name}: the mask to start from on frame {index} is outside the frames")
            return Prompt(mask=mask)
        box = region_box(region) if isinstance(region, Rectangle | Polygon) else None
        if box is None:
            raise InputError(f"{self.name}: tracking cannot start from '{region.text}' on frame {index}")
        return Prompt(box=seen(box, self.size, self.name))

    def _pixels(self, region: Mask) -> Bool[np.ndarray, "Hv Wv"]:
        height, width = self.size
        return region.raster(Window(0, 0, width - 1, height - 1))


def region_box(region: Rectangle | Polygon) -> Box | None:
    """Edges of a region, those on the right and below exclusive; None when it is empty."""
    if isinstance(region, Rectangle):
        box = region.x, region.y, region.x + region.width, region.y + region.height
        return None if region.empty else box
    left, top, right, bottom = region.window
    return float(left), float(top), float(right + 1), float(bottom + 1)


@dataclass(frozen=True)
class VotData(PublicData):
    """Sequences of a VOT workspace; `root` is the folder with list.txt, or the workspace that holds it in sequences/.

    Only for its subclasses.
    """

    @property
    def sequences(self) -> Path:
        places = (self.folder, self.folder / "sequences")
        listed = [place for place in places if (place / "list.txt").exists()]
        found = listed or [place for place in places if any(place.glob("*/groundtruth*.txt"))]
        return found[0] if found else self.release.first(place / "list.txt" for place in places)

    def listed(self) -> list[str]:
        if (self.sequences / "list.txt").exists():
            return self.release.lines(self.sequences / "list.txt")
        names = self.release.folders(self.sequences)
        return [name for name in names if any((self.sequences / name).glob("groundtruth*.txt"))]

    def open(self, name: str) -> VotSequence:
        folder = self.sequences / name
        return VotSequence(name, self.frames(folder), None, name, {1: folder / "groundtruth.txt"})

    def frames(self, folder: Path) -> Path:
        """Folder of the colour images: as `sequence` says, by a pattern or a folder; without it (VOT2013 to VOT2017),
        color/ or the sequence's own folder."""
        if not (folder / "sequence").exists():
            own = (folder / "color", folder)
            return next((place for place in own if place.is_dir() and image_names(place)), own[0])
        lines = self.release.lines(folder / "sequence")
        about = dict(line.split("=", 1) for line in lines if "=" in line)
        place = folder / about.get("channels.color", "color/%08d.jpg").strip()
        return place if place.is_dir() else place.parent


@dataclass(frozen=True)
class Didi(VotData):
    """DiDi (Videnovic et al., CVPR 2025): 180 videos with distractors, annotated with rectangles."""

    release = Release(
        "DiDi",
        "https://github.com/jovanavidenovic/DAM4SAM",
        "which holds list.txt and <sequence>/{sequence, groundtruth.txt, first_frame_segm.txt, color/00000001.jpg ..}",
    )

    @property
    def name(self) -> str:
        return "didi"

    def open(self, name: str) -> VotSequence:
        folder = self.sequences / name
        first = self.release.first([folder / "first_frame_segm.txt"])
        truths = {1: self.release.first([folder / "groundtruth.txt"])}
        return VotSequence(name, self.frames(folder), None, name, truths, first_mask=first)


@dataclass(frozen=True)
class VotSt(VotData):
    """VOT-ST 2020 or 2022 (Kristan et al.): every anchor of every video starts a sub-sequence, forward or backward.

    Args:
        split: 2020, 2021 or 2022.
    """

    split: str = "2022"

    release = Release(
        "VOT-ST",
        "https://www.votchallenge.net/ (vot initialize vot2022/shortterm)",
        "which holds list.txt and <sequence>/{sequence, groundtruth.txt, anchor.value, color/00000001.jpg ..}",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "2020", "2021", "2022")

    @property
    def name(self) -> str:
        return f"vot-st{self.split}"

    def listed(self) -> list[str]:
        """Sub-sequences, named <sequence>_<frame of the anchor>."""
        return [f"{name}_{frame:08d}" for name in super().listed() for frame in self.anchors(name)]

    def anchors(self, name: str) -> dict[int, float]:
        """Frame -> above 0 for a sub-sequence to the end of the video, below 0 for one back to its first frame."""
        path = self.release.first([self.sequences / name / "anchor.value"])
        values = read_rows(path, 1).ravel().tolist()
        anchors = {frame: value for frame, value in enumerate(values) if value != 0}
        if not anchors:
            raise InputError(f"{path}: no anchor to start from; unpack the data again")
        return anchors

    def open(self, name: str) -> VotSequence:
        video, _, number = name.rpartition("_")
        folder, anchor = self.sequences / video, int(number)
        images = self.frames(folder)
        files = ImageSequence(video, images).length
        order = range(anchor, files) if self.anchors(video)[anchor] > 0 else range(anchor, -1, -1)
        truths = {1: self.release.first([folder / "groundtruth.txt"])}
        return VotSequence(name, images, order, video, truths, anchor=anchor)


@dataclass(frozen=True)
class Vots(VotData):
    """VOTS (Kristan et al., 2023 to 2025): several objects per video, tracked without resets.

    The truth is secret in the challenge sets; of it, only the first regions are there.

    Args:
        split: name of the edition, such as 2024, 2025 or val.
    """

    split: str = "2024"

    release = Release(
        "VOTS",
        "https://www.votchallenge.net/ (vot initialize vots2024/main)",
        "which holds list.txt and <sequence>/{sequence, groundtruth_<object>.txt .., color/00000001.jpg ..}",
    )

    @property
    def name(self) -> str:
        return f"vots{self.split}"

    def open(self, name: str) -> VotSequence:
        folder = self.sequences / name
        paths = {
            path.stem.removeprefix("groundtruth").removeprefix("_"): path for path in folder.glob("groundtruth*.txt")
        }
        objects = sorted(key for key in paths if key != IGNORED)
        if not objects:
            raise self.release.error(f"no groundtruth*.txt in {folder}")
        numbered = dict(enumerate(objects, 1))
        names = numbered if len(paths) > 1 else {}  # also a single named object has results without its name
        return VotSequence(name, self.frames(folder), None, name, {i: paths[key] for i, key in numbered.items()}, names)
