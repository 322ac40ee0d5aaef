"""How a grid of mask logits lies on the pixels of a frame: bilinear, corners not aligned."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

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
class Axis:
    """Cell i lies between logits i - 1 and i; the first and the last one lie between a logit and the border."""

    between: Int[np.ndarray, "length 2"]
    """Logits on either side of each pixel; the same one twice at the end."""
    weights: Float[np.ndarray, "length 2"]
    """What they count for there."""
    edges: tuple[int, ...]
    """First pixel of each cell, and the end of the last."""
    at: Int[np.ndarray, " ends"]
    """The same."""


@lru_cache(maxsize=64)
def axis(count: int, length: int) -> Axis:
    """`count` logits on `length` pixels, at positions rounded to float32 like torch's."""
    scale = float(np.float32(count) / np.float32(length))
    position = (scale * (np.arange(length) + 0.5) - 0.5).astype(np.float32).astype(float)
    inside = np.maximum(position, 0)
    low = inside.astype(int)
    between = np.stack((low, np.minimum(low + 1, count - 1)), axis=1)
    weights = np.stack((1 - (inside - low), inside - low), axis=1)
    edges = np.searchsorted(np.floor(position) + 1, np.arange(count + 2))
    return Axis(between, weights, tuple(edges.tolist()), edges)


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """The cells of a frame: areas between four logits, or between two or one and the border.

    An interpolated value is positive if all logits around its cell are, and only if one is.
    """

    down: Axis
    across: Axis
    least: int
    """Pixels in a cell that the border does not cut."""
    most: int
    """Pixels in any cell."""

    def pixels(self, cells: Corners) -> Corners:
        """Around the pixels of a box of cells."""
        x, y = self.across.edges, self.down.edges
        return Corners(x[cells.left], y[cells.top], x[cells.right + 1] - 1, y[cells.bottom + 1] - 1)

    def drawn(self, cells: UInt8[np.ndarray, "rows columns"], box: Corners) -> UInt8[np.ndarray, "H W"]:
        """Pixels of the cells in a box."""
        inside = cells[box.top : box.bottom + 1, box.left : box.right + 1]
        high, wide = np.diff(self.down.at[box.top : box.bottom + 2]), np.diff(self.across.at[box.left : box.right + 2])
        return inside.repeat(high, axis=0).repeat(wide, axis=1)

    def values(
        self, logits: Float[np.ndarray, "h w"], y: Int[np.ndarray, " n"], x: Int[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Interpolated at some pixels."""
        corners = logits[self.down.between[y][:, :, None], self.across.between[x][:, None]]
        return ((corners * self.across.weights[x][:, None]).sum(axis=2) * self.down.weights[y]).sum(axis=1)


@lru_cache(maxsize=64)
def lattice(grid: Size, size: Size) -> Lattice:
    """Of `grid` logits on `size` pixels."""
    down, across = (axis(count, length) for count, length in zip(grid, size, strict=True))
    high, wide = np.diff(down.edges), np.diff(across.edges)
    least = high[1:-1].min(initial=size[0]) * wide[1:-1].min(initial=size[1])
    return Lattice(down, across, int(least), int(high.max() * wide.max()))
