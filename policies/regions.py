"""Mask regions at full size: what policies judge rivals of the chosen mask by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import gcd
from statistics import median

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from framework.types import Outcome, Size
from policies.lattice import Corners, lattice

HISTORY = 300
"""Frames after which a size is forgotten."""
TYPICAL = 10
"""Latest non-empty masks that a size is compared with."""


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

    def connected(self, x: int, y: int) -> "Region":
        """The 8-connected component of a foreground pixel of the window."""
        filled = self.mask.copy()
        cv2.floodFill(filled, None, (x, y), 2, flags=8)
        return Region((filled == 2).view(np.uint8), self.left, self.top)

    def components(self) -> "Iterator[Component]":
        """All 8-connected components, the largest first."""
        outlines, tree = cv2.findContours(self.mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        parents = tree[0, :, _PARENT].tolist() if outlines else []
        areas = [_enclosed(path, 1 if parent < 0 else -1) for path, parent in zip(outlines, parents, strict=True)]
        for index, parent in enumerate(parents):
            if parent >= 0:
                areas[parent] -= areas[index]
        for index in sorted(range(len(areas)), key=areas.__getitem__, reverse=True):
            if parents[index] < 0:
                yield Component(self, outlines[index], areas[index])

    def largest_component(self) -> "Component | None":
        """The largest 8-connected component; None if there is no foreground."""
        found = self.components()
        largest = next(found, None)
        if largest is None:
            return None
        equal = [largest, *takewhile(lambda other: other.area == largest.area, found)]
        return min(equal, key=lambda component: component.place) if len(equal) > 1 else largest

    def rim(self, size: Size) -> Float[np.ndarray, "n 2"]:
        """Some of the contour: where some rows enter and leave the foreground inside a frame of `size`."""
        rows = np.arange(0, len(self.mask), len(self.mask) // _ROWS + 1)
        lines = self.mask[rows]
        first, last = lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
        some = lines[np.arange(len(rows)), first] > 0
        left, right = some & (first + self.left > 0), some & (last + self.left < size[1] - 1)
        x, y = np.concatenate((first[left], last[right])), np.concatenate((rows[left], rows[right]))
        return np.stack((x + self.left, y + self.top), axis=1).astype(np.float32)

    def contour(self) -> Float[np.ndarray, "n 2"]:
        """Pixels (x, y) on either side of the foreground's border; the border of the frame is none."""
        ring = cv2.morphologyEx(self.mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        y, x = np.divmod(np.flatnonzero(ring.view(bool)), ring.shape[1])
        return np.stack((x + self.left, y + self.top), axis=1).astype(np.float32)


_PARENT = 3
"""Place in OpenCV's tree of outlines: components are roots, their holes are children."""
_ROWS = 12
"""That a rim is looked for in."""


def _enclosed(outline: Int[np.ndarray, "n 1 2"], side: int) -> int:
    """Pixels on or inside a closed path through pixels (`side` = 1), or strictly inside (-1), by Pick's theorem.

    Spares visiting them, which OpenCV's component statistics do at several times the cost.
    """
    steps = len(outline) if len(outline) > 1 else 0
    return round(cv2.contourArea(outline) + side * steps / 2 + 1)


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
        return self.area > other.area or (self.area == other.area and self.place < other.place)

    @property
    def place(self) -> tuple[int, int]:
        """In the order of OpenCV's labels: of blocks of 2 x 2 pixels of the frame, row by row."""
        x, y = (self.outline[:, 0] + (self.whole.left, self.whole.top)).T // 2
        return int(y.min()), int(x[y == y.min()].min())

    def region(self) -> Region:
        """On its own."""
        x, y = self.outline[0, 0].tolist()
        return self.whole if self.area == self.whole.area else self.whole.connected(x, y)


def foreground(logits: Float[np.ndarray, "h w"], size: Size) -> Region | None:
    """What ``framework.types.upsample(logits, size) > 0`` says; None if nothing."""
    positive = around((logits > 0).view(np.uint8))
    region = enlarged(logits, positive, size) if positive.left <= positive.right else None
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
    tolerance = 1e-4 * cv2.norm(window, cv2.NORM_INF)
    mask, possible = values > tolerance, values >= -tolerance
    close = np.flatnonzero(mask != possible)
    if len(close):
        rows, columns = np.divmod(close, wide)
        mask[rows, columns] = lattice(logits.shape, size).values(logits, rows + y, columns + x) > 0
    return Region(mask.view(np.uint8), x, y)


def _aligned(first: int, last: int, count: int, length: int) -> tuple[int, int]:
    """The smallest range of cells around first ... last whose ends fall between two pixels of the larger grid."""
    period = count // gcd(count, length)
    return max(first // period * period, 0), min(-(-last // period) * period, count)


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
