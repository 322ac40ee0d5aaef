"""Mask regions at full size: what policies judge rivals of the chosen mask by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd
from statistics import median

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8, UInt16
from torch import Tensor

from framework.types import Outcome, Size

HISTORY = 300
"""Frames after which a size is forgotten."""
TYPICAL = 10
"""Latest non-empty masks that a size is compared with."""


@dataclass(frozen=True, slots=True)
class Corners:
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
    """Foreground inside a window of the frame; there is none outside."""

    mask: UInt8[np.ndarray, "H W"]
    """0 and 1. The outermost pixels are background unless they lie at the border of the frame."""
    left: int
    """Of the window, in pixels of the frame."""
    top: int

    @property
    def area(self) -> int:
        return cv2.countNonZero(self.mask)

    @property
    def corners(self) -> Corners:
        """Around the foreground, which may not be empty."""
        x, y, width, height = cv2.boundingRect(self.mask)
        left, top = x + self.left, y + self.top
        return Corners(left, top, left + width - 1, top + height - 1)

    def without(self, other: "Region") -> "Region | None":
        """What the other one does not cover; None if nothing."""
        height, width = self.mask.shape
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + height, other.top + other.mask.shape[0])
        right = min(self.left + width, other.left + other.mask.shape[1])
        mask = self.mask.copy()
        if top < bottom and left < right:
            covered = other.mask[top - other.top : bottom - other.top, left - other.left : right - other.left]
            mask[top - self.top : bottom - self.top, left - self.left : right - self.left] &= covered ^ 1
        return Region(mask, self.left, self.top) if cv2.countNonZero(mask) else None

    def largest_component(self) -> "Region":
        """Largest 8-connected component (the first one on ties) of foreground that is not empty."""
        (left, top, width, height), labels, label, _ = self._largest()
        component = np.zeros_like(self.mask)
        component[top : top + height, left : left + width] = labels == label
        return Region(component, self.left, self.top)

    def largest_corners(self) -> Corners:
        """Around the largest component."""
        (left, top, _, _), _, _, (x, y, width, height) = self._largest()
        x, y = self.left + left + x, self.top + top + y
        return Corners(x, y, x + width - 1, y + height - 1)

    def _largest(self) -> tuple[Sequence[int], UInt16[np.ndarray, "h w"], int, Sequence[int]]:
        """Window around the foreground, labels in it, label and window (in that one) of the largest component."""
        around = x, y, width, height = cv2.boundingRect(self.mask)
        window = self.mask[y : y + height, x : x + width]
        _, labels, stats, _ = cv2.connectedComponentsWithStats(window, connectivity=8, ltype=cv2.CV_16U)
        label = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        return around, labels, label, tuple(int(value) for value in stats[label, :4])

    def contour(self) -> Float[np.ndarray, "n 2"]:
        """Pixels (x, y) on either side of the foreground's border; the border of the frame is none."""
        ring = cv2.morphologyEx(self.mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        found = cv2.findNonZero(ring)
        if found is None:
            return np.empty((0, 2), dtype=np.float32)
        return found.reshape(-1, 2).astype(np.float32) + np.array([self.left, self.top], dtype=np.float32)


def foreground(logits: Float[np.ndarray, "h w"], size: Size) -> Region | None:
    """What ``framework.types.upsample(logits, size) > 0`` says; None if nothing.

    Only the surroundings of the foreground are enlarged, by OpenCV. It rounds its weights differently, so pixels within
    rounding of zero are decided with torch's.
    """
    x, y, width, height = cv2.boundingRect((logits > 0).view(np.uint8))
    if width == 0:
        return None
    top, bottom = _aligned(y - 1, y + height + 1, logits.shape[0], size[0])
    left, right = _aligned(x - 1, x + width + 1, logits.shape[1], size[1])
    window = logits[top:bottom, left:right]
    y, x = top * size[0] // logits.shape[0], left * size[1] // logits.shape[1]
    high, wide = bottom * size[0] // logits.shape[0] - y, right * size[1] // logits.shape[1] - x
    values = cv2.resize(window, (wide, high), interpolation=cv2.INTER_LINEAR)
    mask = (values > 0).view(np.uint8)
    tolerance = 1e-4 * float(np.abs(window).max())
    close = cv2.findNonZero(cv2.inRange(values, -tolerance, tolerance))
    if close is not None:
        columns, rows = close.reshape(-1, 2).T
        mask[rows, columns] = _interpolated(logits, size, rows + y, columns + x) > 0
    return Region(mask, x, y) if cv2.countNonZero(mask) else None


def _aligned(first: int, last: int, count: int, length: int) -> tuple[int, int]:
    """The smallest range of cells around first ... last whose ends fall between two pixels of the larger grid."""
    period = count // gcd(count, length)
    return max(first // period * period, 0), min(-(-last // period) * period, count)


def _interpolated(
    logits: Float[np.ndarray, "h w"], size: Size, y: Int[np.ndarray, " n"], x: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Bilinear values at some pixels of `size`, at positions rounded to float32 like torch's."""
    low, high, share = [], [], []
    for count, length, at in zip(logits.shape, size, (y, x), strict=True):
        scale = float(np.float32(count) / np.float32(length))
        position = np.maximum((scale * (at + 0.5) - 0.5).astype(np.float32), 0).astype(float)
        low.append(position.astype(int))
        high.append(np.minimum(low[-1] + 1, count - 1))
        share.append(position - low[-1])
    above = logits[low[0], low[1]] * (1 - share[1]) + logits[low[0], high[1]] * share[1]
    below = logits[high[0], low[1]] * (1 - share[1]) + logits[high[0], high[1]] * share[1]
    return above * (1 - share[0]) + below * share[0]


def chosen_logits(outcome: Outcome) -> Float[np.ndarray, "h w"]:
    """Of the chosen mask on the host, as the network gave them: before holes are filled."""
    return _host(outcome.candidates.logits[0, outcome.choice])


def _host(logits: Float[Tensor, "h w"]) -> Float[np.ndarray, "h w"]:
    return logits.detach().float().cpu().numpy()


def rivals(outcome: Outcome, chosen: Region, size: Size, loose: bool = False) -> Iterator[Region]:
    """What each other hypothesis claims beside the chosen mask, where it claims anything.

    `loose` counts every non-zero logit as a claim.
    """
    for index, logits in enumerate(outcome.candidates.logits[0]):
        if index != outcome.choice:
            claimed = foreground(_host(logits.abs() if loose else logits), size)
            beside = None if claimed is None else claimed.without(chosen)
            if beside is not None:
                yield beside


def remembered(sizes: Sequence[int], size: int) -> tuple[int, ...]:
    """Mask sizes of the last frames with one more."""
    return (*sizes, size)[-HISTORY:]


def relative_size(sizes: Sequence[int]) -> float | None:
    """Last size over the median of the latest non-empty ones, itself included; None if empty or the first."""
    if len(sizes) < 2 or sizes[-1] < 1:
        return None
    return sizes[-1] / median([size for size in sizes if size > 0][-TYPICAL:])
