"""Mask regions at full size: what policies judge distractors by."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from framework.ops.rle import (
    END,
    START,
    Rle,
    bounding_box,
    contour,
    difference,
    hausdorff_exceeds,
    intersection_area,
    largest_component,
    upsampled_mask,
)
from framework.types import Size


class Corners(NamedTuple):
    """First and last foreground pixel along each axis, so width = right - left (one pixel has width 0)."""

    left: int
    top: int
    right: int
    bottom: int

    def joined(self, other: "Corners") -> "Corners":
        """Around both."""
        return Corners(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    @property
    def area(self) -> int:
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Some pixels of a frame, at least one."""

    rle: Rle
    """See `framework.ops.rle`."""
    size: Size
    """Of the frame."""

    @property
    def area(self) -> int:
        return int((self.rle[:, END] - self.rle[:, START]).sum())

    @property
    def corners(self) -> Corners:
        return Corners(*bounding_box(self.rle))

    def shared(self, mask: Bool[np.ndarray, "H W"]) -> int:
        """Pixels that a mask of the frame has as well."""
        return intersection_area(self.rle, mask)


def foreground(logits: Float[np.ndarray, "h w"], size: Size) -> Region | None:
    """What ``framework.types.upsample(logits, size) > 0`` says on the CPU, to the pixel; None if nothing."""
    found = upsampled_mask(logits, *size)
    return Region(found, size) if len(found) else None


def distractor_regions(
    logits: Float[np.ndarray, "M h w"], choice: int, chosen: Region, loose: bool = False
) -> Iterator[Region]:
    """The largest 8-connected component of what each other hypothesis claims beside the chosen mask, if anything.

    Of equal ones the first in the order of OpenCV's labels. `loose` counts every non-zero logit as a claim.
    """
    for index, other in enumerate(logits):
        if index != choice:
            claimed = upsampled_mask(np.abs(other) if loose else other, *chosen.size)
            beside = difference(claimed, chosen.rle)
            if len(beside):
                yield Region(largest_component(beside), chosen.size)


def least_overlap(chosen: Region, found: Iterable[Region]) -> float | None:
    """DAM4SAM's test: how much the chosen mask's box overlaps the one around it and the distractor's that is furthest.

    None where no distractor has a box around both that is not flat.
    """
    own = chosen.corners
    joint = (own.joined(distractor.corners).area for distractor in found)
    return min((own.area / area for area in joint if area > 0), default=None)


def contour_test(chosen: Region, found: Iterable[Region], limit: float) -> bool:
    """HiM2SAM's test: the contour of a distractor is somewhere further than `limit` pixels from all of the chosen
    mask's (directed Hausdorff distance > limit), and neither is empty.

    A contour is all pixels on either side of a border; the border of the frame is none.
    """
    own = contour(chosen.rle, *chosen.size)
    contours = (contour(distractor.rle, *distractor.size) for distractor in found)
    return len(own) > 0 and any(hausdorff_exceeds(other, own, limit) for other in contours)
