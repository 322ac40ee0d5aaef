"""Mask regions at full size: what policies judge rivals of the chosen mask by."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from statistics import median

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

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

    @property
    def area(self) -> int:
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def boxes(self) -> Int[np.ndarray, "1 4"]:
        """As a row of numbers."""
        return np.array([[self.left, self.top, self.right, self.bottom]])


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
        return around(self.mask, self.left, self.top)

    def without(self, other: "Region", box: Corners) -> "Region":
        """What of it lies in the box and is not covered by the other one."""
        mask = np.zeros_like(self.mask)
        height, width = mask.shape
        rows = slice(max(box.top - self.top, 0), min(box.bottom + 1 - self.top, height))
        columns = slice(max(box.left - self.left, 0), min(box.right + 1 - self.left, width))
        mask[rows, columns] = self.mask[rows, columns]
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + height, other.top + other.mask.shape[0])
        right = min(self.left + width, other.left + other.mask.shape[1])
        if top < bottom and left < right:
            covered = other.mask[top - other.top : bottom - other.top, left - other.left : right - other.left]
            beside = mask[top - self.top : bottom - self.top, left - self.left : right - self.left]
            np.greater(beside, covered, out=beside)
        return Region(mask, self.left, self.top)

    def largest_component(self) -> "Component | None":
        """The largest 8-connected component; None if there is no foreground."""
        outlines, tree = cv2.findContours(self.mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        best: Component | None = None
        outer = [index for index, path in enumerate(outlines) if tree[0, index, _PARENT] < 0]
        for index in sorted(outer, key=lambda index: -len(outlines[index])):
            if best and (len(outlines[index]) // 2 + 1) ** 2 < best.area:
                break  # shorter paths cannot hold more
            area, hole = _enclosed(outlines[index], 1), tree[0, index, _CHILD]
            while hole >= 0:
                area -= _enclosed(outlines[hole], -1)
                hole = tree[0, hole, _NEXT]
            found = Component(self, outlines[index], area)
            best = found if best is None or found.precedes(best) else best
        return best

    def rim(self, size: Size) -> Float[np.ndarray, "n 2"]:
        """Some of the contour: foreground inside a frame of `size` with background beside it."""
        outlines, _ = cv2.findContours(self.mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        found = np.concatenate(outlines)[:, 0] + np.array([self.left, self.top])
        inside = ((found > 0) & (found < (size[1] - 1, size[0] - 1))).all(axis=1)
        return found[inside].astype(np.float32)

    def contour(self) -> Float[np.ndarray, "n 2"]:
        """Pixels (x, y) on either side of the foreground's border; the border of the frame is none."""
        ring = cv2.morphologyEx(self.mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        found = cv2.findNonZero(ring)
        if found is None:
            return np.empty((0, 2), dtype=np.float32)
        return found.reshape(-1, 2).astype(np.float32) + np.array([self.left, self.top], dtype=np.float32)


_NEXT, _, _CHILD, _PARENT = range(4)
"""Places in OpenCV's tree of outlines: components are roots, their holes are children."""


def _enclosed(outline: Int[np.ndarray, "n 1 2"], side: int) -> int:
    """Pixels on or inside a closed path through pixels (`side` = 1), or strictly inside (-1), by Pick's theorem.

    Spares visiting them, which OpenCV's component statistics do at several times the cost.
    """
    steps = len(outline) if len(outline) > 1 else 0
    return round(cv2.contourArea(outline) + side * steps / 2 + 1)


def components(mask: UInt8[np.ndarray, "H W"]) -> Int[np.ndarray, "n 5"]:
    """Left, top, right, bottom and area of all 8-connected components of a mask that is not empty, the largest first.

    As `Region.largest_component` finds them, for all outlines at once.
    """
    outlines, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lengths = np.array([len(path) for path in outlines])
    ends = lengths.cumsum()
    starts, points = ends - lengths, np.concatenate(outlines)[:, 0]
    following = np.empty_like(points)
    following[:-1], following[ends - 1] = points[1:], points[starts]
    crossed = np.add.reduceat(points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0], starts)
    parent, steps = tree[0, :, _PARENT], np.where(lengths > 1, lengths, 0)
    outer = parent < 0
    enclosed = (np.abs(crossed) + np.where(outer, steps, -steps)) // 2 + 1
    enclosed -= np.bincount(parent[~outer], enclosed[~outer], len(enclosed)).astype(int)
    found = np.empty((len(outlines), 5), dtype=int)
    found[:, :2], found[:, 2:4] = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    found[:, 4] = enclosed
    return found[outer][(-enclosed[outer]).argsort(kind="stable")]


def around(points: Int[np.ndarray, "n 1 2"] | UInt8[np.ndarray, "H W"], left: int = 0, top: int = 0) -> Corners:
    """Around points or foreground given from (left, top) on."""
    x, y, width, height = cv2.boundingRect(points)
    return Corners(left + x, top + y, left + x + width - 1, top + y + height - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """An 8-connected component of a region."""

    whole: Region
    outline: Int[np.ndarray, "n 1 2"]
    """Pixels (x, y) of the window on a closed path around it."""
    area: int

    @property
    def corners(self) -> Corners:
        return around(self.outline, self.whole.left, self.whole.top)

    def precedes(self, other: "Component") -> bool:
        """Whether it is the larger one or, on ties, comes first in the order of OpenCV's labels."""
        return self.area > other.area or (self.area == other.area and self._place < other._place)

    @property
    def _place(self) -> tuple[int, int]:
        """OpenCV labels blocks of 2 x 2 pixels of the frame, row by row."""
        x, y = (self.outline[:, 0] + (self.whole.left, self.whole.top)).T // 2
        return int(y.min()), int(x[y == y.min()].min())

    def region(self) -> Region:
        """On its own."""
        filled = self.whole.mask.copy()
        cv2.floodFill(filled, None, self.outline[0, 0].tolist(), 2, flags=8)
        return Region((filled == 2).view(np.uint8), self.whole.left, self.whole.top)


def foreground(logits: Float[np.ndarray, "h w"], size: Size) -> Region | None:
    """What ``framework.types.upsample(logits, size) > 0`` says; None if nothing."""
    positive = (logits > 0).view(np.uint8)
    region = enlarged(logits, around(positive), size) if positive.any() else None
    return region if region and region.area else None


def enlarged(logits: Float[np.ndarray, "h w"], part: Corners, size: Size) -> Region:
    """Foreground around these logits, up to their neighbours; beyond, values are not reliable.

    OpenCV rounds its weights differently from torch, so pixels within rounding of zero are decided with torch's.
    """
    top, bottom = _aligned(part.top - 1, part.bottom + 2, logits.shape[0], size[0])
    left, right = _aligned(part.left - 1, part.right + 2, logits.shape[1], size[1])
    window = logits[top:bottom, left:right]
    y, x = top * size[0] // logits.shape[0], left * size[1] // logits.shape[1]
    high, wide = bottom * size[0] // logits.shape[0] - y, right * size[1] // logits.shape[1] - x
    values = cv2.resize(window, (wide, high), interpolation=cv2.INTER_LINEAR)
    tolerance = 1e-4 * float(np.abs(window).max())
    mask, possible = values > tolerance, values >= -tolerance
    if cv2.countNonZero(mask.view(np.uint8)) < cv2.countNonZero(possible.view(np.uint8)):
        rows, columns = np.divmod(np.flatnonzero(mask != possible), wide)
        mask[rows, columns] = _interpolated(logits, size, rows + y, columns + x) > 0
    return Region(mask.view(np.uint8), x, y)


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


def hypotheses(outcome: Outcome) -> Float[np.ndarray, "M h w"]:
    """Logits on the host, in one transfer, as the network gave them: before holes are filled."""
    return outcome.candidates.logits[0].detach().float().cpu().numpy()


def remembered(sizes: Sequence[int], size: int) -> tuple[int, ...]:
    """Mask sizes of the last frames with one more."""
    return (*sizes, size)[-HISTORY:]


def relative_size(sizes: Sequence[int]) -> float | None:
    """Last size over the median of the latest non-empty ones, itself included; None if empty or the first."""
    if len(sizes) < 2 or sizes[-1] < 1:
        return None
    return sizes[-1] / median([size for size in sizes if size > 0][-TYPICAL:])
