"""VOT regions: their text and binary forms, their pixels and their overlap, as the VOT toolkit has them."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from framework.errors import InputError

LARGEST_MASK = 1 << 28
"""Pixels of a mask in a file; more are a damaged line."""


class Window(NamedTuple):
    """Pixels left..right and top..bottom, both ends included."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top + 1, self.right - self.left + 1

    @property
    def thin(self) -> bool:
        """At most one pixel wide or high."""
        return self.left >= self.right or self.top >= self.bottom

    def union(self, other: "Window") -> "Window":
        return Window(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def clipped(self, size: tuple[int, int]) -> "Window":
        """The part inside an image of that width and height."""
        return Window(max(self.left, 0), max(self.top, 0), min(self.right, size[0] - 1), min(self.bottom, size[1] - 1))


NOWHERE = Window(0, 0, 0, 0)  # of regions without extent


# Every region is `empty` or not, has a `window` (its extent), a `text` and a `binary` form, and a `raster`: its pixels
# in a window, [h w].


@dataclass(frozen=True, slots=True)
class Special:
    """No region but a state: in a truth, 0 is unknown; in a result, 0 is not reported, 1 prompted, 2 failed."""

    code: int

    @property
    def empty(self) -> bool:
        return True

    @property
    def window(self) -> Window:
        return NOWHERE

    @property
    def text(self) -> str:
        return str(self.code)

    @property
    def binary(self) -> bytes:
        return struct.pack("<BI", 0, self.code)

    def raster(self, window: Window) -> Bool[np.ndarray, "h w"]:
        return np.zeros(window.shape, dtype=bool)


UNKNOWN = Special(0)
PROMPTED = Special(1)
FAILED = Special(2)


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Pixels; compared after rounding x, y, width and height, each by itself, half to even."""

    x: float
    y: float
    width: float
    height: float

    @property
    def empty(self) -> bool:
        return self.width <= 0 or self.height <= 0

    @property
    def window(self) -> Window:
        x, y, width, height = np.round(np.array([self.x, self.y, self.width, self.height], np.float32)).astype(int)
        return Window(int(x), int(y), int(x + width - 1), int(y + height - 1))

    @property
    def text(self) -> str:
        return ",".join(decimal(value) for value in (self.x, self.y, self.width, self.height))

    @property
    def binary(self) -> bytes:
        return struct.pack("<Bffff", 1, self.x, self.y, self.width, self.height)

    def raster(self, window: Window) -> Bool[np.ndarray, "h w"]:
        left, top, right, bottom = self.window
        pixels = np.zeros(window.shape, dtype=bool)
        # The far ends are limited by the window's own far ends before the shift: no limit in an image,
        # but without one, a rectangle in a window with a negative corner loses pixels.
        last_row, last_column = min(bottom - window.top, window.bottom), min(right - window.left, window.right)
        pixels[
            max(top - window.top, 0) : max(last_row + 1, 0), max(left - window.left, 0) : max(last_column + 1, 0)
        ] = 1
        return pixels


@dataclass(frozen=True, slots=True)
class Polygon:
    points: tuple[tuple[float, float], ...]  # x, y in pixels; compared after rounding, half to even

    @property
    def empty(self) -> bool:
        return False

    @property
    def corners(self) -> Int[np.ndarray, "P 2"]:
        return np.round(np.array(self.points, np.float32)).astype(np.int64)

    @property
    def window(self) -> Window:
        (left, top), (right, bottom) = self.corners.min(axis=0).tolist(), self.corners.max(axis=0).tolist()
        return Window(left, top, right, bottom)

    @property
    def text(self) -> str:
        return ",".join(decimal(value) for point in self.points for value in point)

    @property
    def binary(self) -> bytes:
        flat = [value for point in self.points for value in point]
        return struct.pack(f"<BH{len(flat)}f", 2, len(self.points), *flat)

    def raster(self, window: Window) -> Bool[np.ndarray, "h w"]:
        pixels = np.zeros(window.shape, dtype=bool)
        height, width = window.shape
        corners = (self.corners - np.array([window.left, window.top])).tolist()
        edges = [
            (*upper, *lower)
            for start, end in zip(corners, corners[1:] + corners[:1], strict=True)
            for upper, lower in [sorted((start, end), key=lambda corner: corner[1])]
            if upper[1] != lower[1]
        ]
        for y in range(height):
            # Even-odd filling, once with every edge open below and once open above: both borders belong to the shape.
            for crossed in (
                [e for e in edges if e[1] <= y < e[3]],
                [e for e in edges if e[1] < y <= e[3]],
            ):
                nodes = sorted(int(x0 + (y - y0) / (y1 - y0) * (x1 - x0)) for x0, y0, x1, y1 in crossed)
                for first, last in zip(nodes[::2], nodes[1::2], strict=True):
                    pixels[y, max(first, 0) : max(min(last, width - 1) + 1, 0)] = True
        return pixels


@dataclass(frozen=True, slots=True)
class Point:
    """Has a place but, in comparisons, no extent."""

    x: float
    y: float

    @property
    def empty(self) -> bool:
        return False

    @property
    def window(self) -> Window:
        return NOWHERE

    @property
    def text(self) -> str:
        return f"{decimal(self.x)},{decimal(self.y)}"

    @property
    def binary(self) -> bytes:
        return struct.pack("<Bff", 4, self.x, self.y)

    def raster(self, window: Window) -> Bool[np.ndarray, "h w"]:
        return np.zeros(window.shape, dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    pixels: Bool[np.ndarray, "h w"]
    x: int = 0  # image position of pixels[0, 0]
    y: int = 0

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Mask)
            and (self.x, self.y) == (other.x, other.y)
            and np.array_equal(self.pixels, other.pixels)
        )

    def __hash__(self) -> int:
        return hash((self.x, self.y, self.pixels.shape, self.pixels.tobytes()))

    @property
    def bounds(self) -> Window:
        """Of the set pixels, in the mask's own coordinates; all zero when none is set."""
        rows, columns = (np.flatnonzero(self.pixels.any(axis=axis)) for axis in (1, 0))
        if len(rows) == 0:
            return NOWHERE
        return Window(int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))

    @property
    def empty(self) -> bool:
        """Also true of a mask one pixel wide or high, because only the far ends of its bounds are looked at."""
        return self.bounds.right == 0 or self.bounds.bottom == 0

    @property
    def cropped(self) -> "Mask":
        """The mask as a reader of a file holds it: without empty borders.

        One whose only pixels are in its first column is gone, so a file loses every mask one pixel wide that was
        cropped before it was written.
        """
        left, top, right, bottom = self.bounds
        if right == 0:
            return Mask(np.zeros((0, 0), dtype=bool))
        return Mask(self.pixels[top : bottom + 1, left : right + 1], self.x + left, self.y + top)

    @property
    def window(self) -> Window:
        if self.pixels.size == 0:
            return NOWHERE
        left, top, right, bottom = self.bounds
        return Window(self.x + left, self.y + top, self.x + right, self.y + bottom)

    @property
    def run_lengths(self) -> tuple[int, ...]:
        """Of the runs of 0, 1, 0 .. pixels in row-major order; the first may be 0."""
        flat = self.pixels.ravel()
        if len(flat) == 0:
            return (0,)
        borders = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        lengths = np.diff(np.concatenate([[0], borders, [len(flat)]])).tolist()
        return (0, *lengths) if flat[0] else tuple(lengths)

    @property
    def text(self) -> str:
        height, width = self.pixels.shape
        return "m" + ",".join(map(str, (self.x, self.y, width, height, *self.run_lengths)))

    @property
    def binary(self) -> bytes:
        height, width = self.pixels.shape
        lengths = self.run_lengths
        try:
            return struct.pack(f"<BhhHHH{len(lengths)}H", 3, self.x, self.y, width, height, len(lengths), *lengths)
        except struct.error:  # more than 65,535 lengths, or a longer one
            raise InputError(
                f"a mask of {len(lengths)} runs of pixels does not fit a binary trajectory; write text instead"
            ) from None

    def raster(self, window: Window) -> Bool[np.ndarray, "h w"]:
        pixels = np.zeros(window.shape, dtype=bool)
        height, width = self.pixels.shape
        left, right = max(self.x, window.left), min(self.x + width - 1, window.right)
        top, bottom = max(self.y, window.top), min(self.y + height - 1, window.bottom)
        if left <= right and top <= bottom:
            pixels[top - window.top : bottom + 1 - window.top, left - window.left : right + 1 - window.left] = (
                self.pixels[top - self.y : bottom + 1 - self.y, left - self.x : right + 1 - self.x]
            )
        return pixels


Region = Special | Rectangle | Polygon | Point | Mask


def decimal(value: float) -> str:
    """Shortest text that reads back as the same 32-bit float."""
    return np.format_float_positional(np.float32(value), trim="-")


def mask_from_run_lengths(lengths: Sequence[int], x: int, y: int, width: int, height: int) -> Mask:
    """A mask from run lengths (0 first); missing pixels at the end are 0. Raises InputError for too many."""
    if sum(lengths) > width * height:
        raise InputError(f"the run lengths of a mask cover {sum(lengths)} pixels, its box {width} x {height} has fewer")
    flat = np.zeros(width * height, dtype=bool)
    flat[: sum(lengths)] = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return Mask(flat.reshape(height, width), x, y)


def parse_region(text: str) -> Region:
    """One line of a trajectory or ground-truth file. Masks come cropped; all-NaN is unknown.

    Raises InputError for anything that is not a region.
    """
    line = text.strip()
    try:
        if line.startswith("m"):
            x, y, width, height, *lengths = (int(value) for value in line[1:].split(","))
            if width * height > LARGEST_MASK:
                raise InputError(f"not a VOT region: a mask of {width} x {height} pixels")
            return mask_from_run_lengths(lengths, x, y, width, height).cropped
        values = [float(np.float32(value)) for value in line.split(",")]
    except ValueError:
        raise InputError(f"not a VOT region: {line[:60]!r}") from None
    if all(math.isnan(value) for value in values):
        return UNKNOWN
    if not all(math.isfinite(value) for value in values):
        raise InputError(f"not a VOT region: {line[:60]!r}")
    if len(values) == 1 and values[0] >= 0 and values[0].is_integer():
        return Special(int(values[0]))
    if len(values) == 2:
        return Point(*values)
    if len(values) == 4:
        return Rectangle(*values)
    if len(values) >= 6 and len(values) % 2 == 0:
        return Polygon(tuple(zip(values[::2], values[1::2], strict=True)))
    raise InputError(f"not a VOT region: {line[:60]!r}")


def write_text(regions: Sequence[Region]) -> str:
    return "".join(f"{region.text}\n" for region in regions)


def write_binary(regions: Sequence[Region]) -> bytes:
    """Raises InputError when a mask has more run lengths than the format can count."""
    return struct.pack("<hI", 1, len(regions)) + b"".join(region.binary for region in regions)


def encode_trajectory(regions: Sequence[Region]) -> tuple[str, bytes]:
    """A result file as (suffix, content): `.bin`, or `.txt` when a mask is too ragged for it."""
    try:
        return ".bin", write_binary(regions)
    except InputError:
        return ".txt", write_text(regions).encode()


def overlap(a: Region, b: Region, size: tuple[int, int] | None, ignore: Region | None = None) -> float:
    """Intersection over union of the pixels of two regions, 0..1.

    size: width and height of the image they are clipped to; None compares them unclipped, which is what the
    toolkit can do but no challenge does (it miscounts rectangles at negative coordinates).
    ignore: pixels that do not count.
    Two regions whose common box is at most one pixel wide or high overlap fully, empty or not.
    """
    window = a.window.union(b.window)
    if window.thin:
        return 1.0
    if size is not None:
        window = window.clipped(size)
        if window.thin:
            return 0.0
    first, second = a.raster(window), b.raster(window)
    if ignore is not None:
        counted = ~ignore.raster(window)
        first, second = first & counted, second & counted
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union > 0 else 0.0
