"""Videos of one's own, as folders of frames with whatever is known of their objects.

    <sequence>/*.jpg or *.png          the frames, or in <sequence>/frames/
    <sequence>/prompts.json            where objects start (see `framework.data.prompts`)
    <sequence>/masks/<frame>.png       true masks of some or all frames (`framework.data.label_image`)
    <sequence>/boxes.txt               or the true boxes of one object: x, y, width, height per frame; NaN is unknown,
                                       a size of 0 is an object that is not there

Without prompts.json, each object starts from its first mask, or else the one object from its first known box.

A folder that is laid out as DAVIS and YouTube-VOS are is read too:

    JPEGImages/<sequence>/*.jpg        the frames
    Annotations/<sequence>/<frame>.png true masks of some or all frames
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from framework.data.prompts import read_prompts, schedule
from framework.data.readers.box_sequence import TARGET, BoxTruth, box_of, seen
from framework.data.readers.mask_sequence import LabelSequence
from framework.data.readers.release import PublicData, Release
from framework.data.sources.image_folder import image_names
from framework.data.text import read_rows
from framework.errors import InputError
from framework.types import Box, Prompt

CORNERS = 0.1
"""Variance of sizes, if numbers are read as corners, in parts of that if they are read as sizes."""


@dataclass(frozen=True)
class FolderSequence(LabelSequence):
    """One folder."""

    prompt_file: Path | None = None
    boxes: Path | None = None

    @cached_property
    def annotation(self) -> BoxTruth | None:
        if self.boxes is None:
            return None
        rows = read_rows(self.boxes, 4)
        turned = np.flatnonzero((rows[:, 2] < 0) != (rows[:, 3] < 0))  # both below 0 mark a box that is not there
        if len(turned):
            raise InputError(f"{self.boxes}, line {turned[0] + 1}: width or height is below 0: correct the file")
        if _look_like_corners(rows):
            raise InputError(
                f"{self.boxes}: its rows look like xmin, ymin, xmax, ymax, as the last two numbers move with the first "
                "two: write x, y, width, height"
            )
        return BoxTruth(rows).until(self.length, self.name)

    @cached_property
    def plan(self) -> Mapping[int, Mapping[int, Prompt]] | None:
        """What the prompt file says; None without one."""
        if self.prompt_file is None:
            return None
        plan = schedule(read_prompts(file=str(self.prompt_file)), self.size, self.length)
        if plan.removed:
            raise InputError(f"{self.prompt_file}: a data set keeps its objects to the end; drop 'remove'")
        single: dict[int, dict[int, Prompt]] = {}
        for frame, given in plan.prompts.items():
            for key, prompt in given.items():
                if not isinstance(prompt, Prompt):
                    raise InputError(
                        f"{self.prompt_file}: a data set gives one prompt per object and frame, but object {key} has "
                        f"{len(prompt)} on frame {frame}: keep one"
                    )
                single.setdefault(frame, {})[key] = prompt
        return single

    @property
    def known(self) -> frozenset[int]:
        return frozenset(key for given in (self.plan or {}).values() for key in given)

    @cached_property
    def starts(self) -> dict[int, int]:
        if self.plan is None and self.annotated:
            return super().starts
        starts: dict[int, int] = {}
        for frame, given in sorted(self.prompts().items()):
            for key in given:
                starts.setdefault(key, frame)
        return starts

    def prompts(self) -> Mapping[int, Mapping[int, Prompt]]:
        if self.annotated and self.plan is None:
            return super().prompts()
        if self.plan is not None:
            return self.fitting_plan
        boxes = ((index, self.truth_boxes(index).get(TARGET)) for index in range(self.length))
        first = next(((index, box) for index, box in boxes if box is not None), None)
        if first is None:
            raise InputError(f"{self.name}: nothing says where the object is; add prompts.json, masks/ or boxes.txt")
        return {first[0]: {TARGET: Prompt(box=seen(first[1], self.size, self.name))}}

    @cached_property
    def fitting_plan(self) -> Mapping[int, Mapping[int, Prompt]]:
        """What the prompt file says. Raises InputError for a truth that cannot be that of its objects."""
        if self.annotated:
            occurring = {n for index in self.annotated for n in np.unique(self.labels(index)).tolist()}
            for key in sorted(self.known - occurring):
                there = ", ".join(map(str, sorted(occurring - {0}))) or "none"
                raise InputError(
                    f"{self.prompt_file}: object {key} is on none of the masks in {self.annotations} (objects there: "
                    f"{there}); give it its number, or leave the masks out"
                )
        if self.annotation is not None and self.known - {TARGET}:
            raise InputError(f"{self.boxes} is of object {TARGET}, but {self.prompt_file} has others: drop one of them")
        return self.plan or {}

    def truth_boxes(self, index: int) -> Mapping[int, Box | None]:
        return {} if self.annotation is None else box_of(self.annotation, index)


def _look_like_corners(rows: Float[np.ndarray, "T 4"]) -> bool:
    """Whether boxes that move would keep their size if the last two numbers were corners, and only then."""
    rows = rows[(rows[:, 2:] > 0).all(axis=1)]
    corner, extent = rows[:, :2], rows[:, 2:]
    if len(rows) < 3 or (extent <= corner).any():
        return False
    return bool((extent - corner).var(axis=0).sum() < CORNERS * extent.var(axis=0).sum())


@dataclass(frozen=True)
class AnyFolder(PublicData):
    """Every folder in `root` that holds frames, or `root` itself when it does.

    Args:
        version: part of the name under which results are kept; change it when the data change.
    """

    version: str = "1"

    release = Release(
        "Folder of videos",
        "your own disk",
        "which holds <sequence>/{*.jpg or frames/*.jpg, and prompts.json, masks/*.png or boxes.txt}, or "
        "JPEGImages/<sequence>/*.jpg and Annotations/<sequence>/*.png",
    )

    @property
    def name(self) -> str:
        return f"{self.folder.resolve().name}-v{self.version}"

    @property
    def images(self) -> Path | None:
        """Where the frames of all sequences are, in the layout of DAVIS; None in the other one."""
        return images if (images := self.folder / "JPEGImages").is_dir() else None

    def listed(self) -> list[str]:
        if self.images is not None:
            return [name for name in self.release.folders(self.images) if frames(self.images / name) is not None]
        others = [name for name in self.release.folders(self.folder) if frames(self.folder / name) is not None]
        if frames(self.folder) is None:
            return others
        if sequences := [name for name in others if is_sequence(self.folder / name)]:
            raise InputError(
                f"{self.folder} holds images and the sequence {sequences[0]}: move the images away, or give "
                f"data.root={self.folder / sequences[0]}"
            )
        return [self.folder.resolve().name]

    def open(self, name: str) -> FolderSequence:
        if self.images is not None:
            masks = self.folder / "Annotations" / name
            return FolderSequence(name, self.images / name, annotations=masks, prompted="first appearance")
        folder = self.folder if frames(self.folder) is not None else self.folder / name
        images = frames(folder)
        if images is None:
            raise self.release.error(f"no frames in {folder}")
        prompts, boxes = folder / "prompts.json", folder / "boxes.txt"
        return FolderSequence(
            name,
            images,
            annotations=folder / "masks",
            prompted="first appearance",
            prompt_file=prompts if prompts.exists() else None,
            boxes=boxes if boxes.exists() else None,
        )


def frames(folder: Path) -> Path | None:
    """Where a sequence's folder keeps its frames; None when it has none."""
    return next((place for place in (folder / "frames", folder) if place.is_dir() and image_names(place)), None)


def is_sequence(folder: Path) -> bool:
    """Whether a folder holds more than images."""
    return any((folder / name).exists() for name in ("frames", "masks", "prompts.json", "boxes.txt"))
