"""Videos of one's own, as folders of frames with whatever is known of their objects.

    <sequence>/*.jpg or *.png          the frames, or in <sequence>/frames/
    <sequence>/prompts.json            where objects start (see `framework.data.prompts`)
    <sequence>/masks/<frame>.png       true masks of some or all frames: palette or grey PNGs, value = object number
    <sequence>/boxes.txt               or the true boxes of one object: x, y, width, height per frame; NaN is unknown

Without prompts.json, each object starts from its first mask, or else the one object from its first box.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from framework.data.prompts import read_prompts, schedule
from framework.data.readers.boxes import TARGET, BoxTruth, box_of
from framework.data.readers.release import PublicData, Release, read_rows
from framework.data.readers.vos import LabelSequence
from framework.data.sources.image_folder import IMAGE_SUFFIXES
from framework.errors import InputError
from framework.types import Box, Prompt


@dataclass(frozen=True)
class FolderSequence(LabelSequence):
    """One folder."""

    prompt_file: Path | None = None
    boxes: Path | None = None

    @cached_property
    def annotation(self) -> BoxTruth | None:
        return BoxTruth(read_rows(self.boxes)).until(self.length, self.name) if self.boxes is not None else None

    @cached_property
    def starts(self) -> dict[int, int]:
        if self.prompt_file is None:
            return super().starts if self.annotated else {TARGET: 0}
        starts: dict[int, int] = {}
        for frame, given in sorted(self.prompts().items()):
            for key in given:
                starts.setdefault(key, frame)
        return starts

    def prompts(self) -> Mapping[int, Mapping[int, Prompt]]:
        if self.prompt_file is not None:
            plan = schedule(read_prompts(file=str(self.prompt_file)), self.size, self.length)
            if plan.removed:
                raise InputError(f"{self.prompt_file}: a data set keeps its objects to the end; drop 'remove'")
            return plan.prompts
        if self.annotated:
            return super().prompts()
        box = self.truth_boxes(0).get(TARGET)
        if box is None:
            raise InputError(f"{self.name}: nothing says where the object is; add prompts.json, masks/ or boxes.txt")
        return {0: {TARGET: Prompt(box=box)}}

    def truth_boxes(self, index: int) -> Mapping[int, Box | None]:
        return {} if self.annotation is None else box_of(self.annotation, index)


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
        "which holds <sequence>/{*.jpg or frames/*.jpg, and prompts.json, masks/*.png or boxes.txt}",
    )

    @property
    def name(self) -> str:
        return f"{self.folder.resolve().name}-v{self.version}"

    def listed(self) -> list[str]:
        if frames(self.folder) is not None:
            return [self.folder.resolve().name]
        return [name for name in self.release.folders(self.folder) if frames(self.folder / name) is not None]

    def open(self, name: str) -> FolderSequence:
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
    for place in (folder / "frames", folder):
        if place.is_dir() and any(path.suffix.lower() in IMAGE_SUFFIXES for path in place.iterdir()):
            return place
    return None
