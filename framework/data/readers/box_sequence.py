"""Videos of one object annotated with boxes, x, y, width, height in pixels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from framework.data.label_image import read_label_image
from framework.data.readers.release import ImageSequence
from framework.errors import InputError
from framework.types import Box, Prompt, Size

TARGET = 1
"""Object id of the one object."""


@dataclass(frozen=True, slots=True)
class BoxTruth:
    """The annotation of one video, one row per frame or, where it is kept secret, for the first frame only."""

    rows: Float[np.ndarray, "T 4"]
    """x, y, width, height; NaN where unknown or, with `visible` False, where there is nothing to annotate."""
    visible: Bool[np.ndarray, " T"] | None = None
    """None: the data do not say."""
    cover: Int[np.ndarray, " T"] | None = None
    """Visible eighths of the object (GOT-10k)."""

    def until(self, length: int, name: str) -> "BoxTruth":
        """One row per frame; rows that are secret are NaN. Raises InputError for any other length."""
        if len(self.rows) == length:
            return self
        if len(self.rows) != 1:
            raise InputError(f"{name}: {len(self.rows)} boxes for {length} frames; one row per frame is needed")
        rows = np.full((length, 4), np.nan)
        rows[0] = self.rows[0]
        return BoxTruth(rows)


def box_of(truth: BoxTruth, index: int) -> dict[int, Box | None]:
    """The object's box on a frame, None where it is absent; {} where it is unknown."""
    x, y, width, height = truth.rows[index].tolist()
    if truth.visible is not None and not truth.visible[index]:
        return {TARGET: None}
    if np.isnan(truth.rows[index]).any():
        return {}
    return {TARGET: (x, y, x + width, y + height) if width > 0 and height > 0 else None}


def seen(box: Box, size: Size, name: str) -> Box:
    """A box to start from. Raises InputError where no part of it is in the picture, of height and width `size`."""
    xmin, ymin, xmax, ymax = box
    height, width = size
    if xmin >= width or ymin >= height or xmax <= 0 or ymax <= 0:
        shown = ", ".join(f"{value:g}" for value in (xmin, ymin, xmax - xmin, ymax - ymin))
        raise InputError(f"{name}: its first box ({shown}: x, y, width, height) is outside the {width}x{height} frames")
    return box


@dataclass(frozen=True)
class BoxSequence(ImageSequence):
    """One video with the box of one object."""

    read: Callable[[], BoxTruth] = lambda: BoxTruth(np.zeros((0, 4)))
    init_mask: Path | None = None
    """PNG of the object on the first frame; takes the place of the box."""

    @cached_property
    def annotation(self) -> BoxTruth:
        return self.read().until(self.length, self.name)

    def truth_boxes(self, index: int) -> Mapping[int, Box | None]:
        return box_of(self.annotation, index)

    def prompts(self) -> Mapping[int, Mapping[int, Prompt]]:
        if self.init_mask is not None:
            mask = read_label_image(self.init_mask).marked
            self.check(self.init_mask, mask.shape)
            return {0: {TARGET: Prompt(mask=mask)}}
        x, y, width, height = self.annotation.rows[0].tolist()
        if not (width > 0 and height > 0):
            raise InputError(f"{self.name}: the first frame has no box to start from; unpack the data again")
        return {0: {TARGET: Prompt(box=seen((x, y, x + width, y + height), self.size, self.name))}}
