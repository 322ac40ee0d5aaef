"""Run-length encoded masks, in compiled functions: what is decided at full size without a full-size image.

Compiled by numba because policies decide on every frame: at 720p a decision takes .2 to .4 ms on run lengths and 50 to
90 ms on dense masks. (The COCO format of masks on disk is `framework.storage.mask_rle`.)

Rows [n 3] are the spans of a mask: row, first column and the column after the last, in pixels of the frame. They are in
raster order, and no two touch in a row.
"""

from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8

from framework.ops.jit import compiled, fused_multiply_add
from framework.types import upsample

Rle = Int64[np.ndarray, "_ 3"]
ROW, START, END = range(3)


@compiled
def append(rle: Rle, count: int, row: int, start: int, end: int) -> int:
    """Writes a span after `count` others; returns how many there are."""
    rle[count, ROW], rle[count, START], rle[count, END] = row, start, end
    return count + 1


@compiled
def weighted(a: np.float32, share: np.float32, b: np.float32, other: np.float32, fused: bool) -> np.float32:
    """``a * share + b * other`` in float32; `fused` rounds the first product and the sum once, as compilers have it."""
    return fused_multiply_add(a, share, b * other) if fused else a * share + b * other


@compiled
def cells(
    count: int, length: int, fused: bool
) -> tuple[Int64[np.ndarray, " {count}+2"], Float32[np.ndarray, " {length}"], Float32[np.ndarray, " {length}"]]:
    """How `count` logits lie on `length` pixels, in torch's float32 arithmetic.

    Cell i lies between logits i - 1 and i; the first and the last one lie between a logit and the border. Returns the
    first pixel of each cell with the end of the last, and what the logits before and after each pixel count for there
    (0..1).
    """
    scale, half = np.float32(count) / np.float32(length), np.float32(0.5)
    edges, before, after = np.empty(count + 2, np.int64), np.empty(length, np.float32), np.empty(length, np.float32)
    cell = 0
    for pixel in range(length):
        position = weighted(scale, np.float32(pixel) + half, -half, np.float32(1), fused)
        last = int(np.floor(position))
        while cell <= last + 1:
            edges[cell] = pixel
            cell += 1
        after[pixel] = max(position, np.float32(0)) - np.float32(max(last, 0))
        before[pixel] = np.float32(1) - after[pixel]
    while cell < count + 2:
        edges[cell] = length
        cell += 1
    return edges, before, after


@compiled
def positive_corners(logits: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h+1 w+1"]:
    """At how many of their corners cells are above 0; corners outside are those nearest to them."""
    rows, columns = logits.shape
    counts, ends = np.empty((rows + 1, columns + 1), np.uint8), np.empty(columns, np.uint8)
    for row in range(rows + 1):
        upper, lower, found = logits[max(row - 1, 0)], logits[min(row, rows - 1)], counts[row]
        for column in range(columns):
            ends[column] = np.uint8(upper[column] > 0) + np.uint8(lower[column] > 0)
        for column in range(1, columns):
            found[column] = ends[column - 1] + ends[column]
        found[0], found[columns] = 2 * ends[0], 2 * ends[columns - 1]
    return counts


def upsampled_mask(logits: Float32[np.ndarray, "h w"], height: int, width: int) -> Rle:
    """Where finite logits are above 0 on [height width] pixels: bilinear, corners not aligned.

    To the pixel what ``framework.types.upsample(logits, size) > 0`` is on the CPU, ties near 0 included.
    """
    return positive_spans(logits, height, width, torch_is_fused())


@cache
def torch_is_fused() -> bool:
    """Whether torch's kernels on this CPU multiply and add with one rounding, which its build decides.

    With one, ``.75 v - round(.75 v)`` is what rounding takes off; with two it is 0.
    """
    third = np.float32(1 / 3)
    pair = torch.from_numpy(np.array([[third, np.float32(-4) * (np.float32(0.75) * third)]]))
    return bool(upsample(pair, (200, 4))[0, 1] != 0)


@compiled
def positive_spans(logits: Float32[np.ndarray, "h w"], height: int, width: int, fused: bool) -> Rle:
    """See `upsampled_mask`. Torch interpolates across and then down; where the output's sides sum to 128 at most, it
    weights all four corners at once.
    """
    rows, columns = logits.shape
    tops, up, down = cells(rows, height, fused)
    lefts, left, right = cells(columns, width, fused)
    counts = positive_corners(logits)
    # A row has no more spans than that, but for logits that round to either side of 0 within a cell.
    rle, count = np.empty((height * ((columns + 1) // 2), 3), np.int64), 0
    some, ends = np.empty(columns + 1, np.int64), np.empty(columns + 1, np.int64)
    above, below = np.empty(width, np.float32), np.empty(width, np.float32)
    small = height + width <= 128
    for cell in range(rows + 1):
        line, parts, before = counts[cell], 0, np.uint8(0)
        if tops[cell] == tops[cell + 1] or line.sum() == 0:
            continue
        # A cell whose corners agree is all alike, so its first pixel will do, and none if it continues the one before.
        for column in range(columns + 1):
            if (line[column] != before or line[column] & 3) and lefts[column] < lefts[column + 1]:
                before = line[column]
                some[parts], ends[parts] = column, lefts[column + 1] if before & 3 else lefts[column] + 1
                parts += 1
        upper, lower = logits[max(cell - 1, 0)], logits[min(cell, rows - 1)]
        for part in range(parts if not small else 0):
            one, two = max(some[part] - 1, 0), min(some[part], columns - 1)
            for column in range(lefts[some[part]], ends[part]):
                above[column] = weighted(upper[one], left[column], upper[two], right[column], fused)
                below[column] = weighted(lower[one], left[column], lower[two], right[column], fused)
        for row in range(tops[cell], tops[cell + 1]):
            if count + (width + 1) // 2 > len(rle):
                rle = np.concatenate((rle, np.empty((len(rle) + (width + 1) // 2, 3), np.int64)))
            inside, start = False, 0
            for part in range(parts):
                one, two = max(some[part] - 1, 0), min(some[part], columns - 1)
                for column in range(lefts[some[part]], ends[part]):
                    if small:
                        value = weighted(upper[one], up[row] * left[column], upper[two], up[row] * right[column], fused)
                        value = weighted(lower[one], down[row] * left[column], value, np.float32(1), fused)
                        value = weighted(lower[two], down[row] * right[column], value, np.float32(1), fused)
                    else:
                        value = weighted(above[column], up[row], below[column], down[row], fused)
                    if (value > 0) != inside:
                        if inside:
                            count = append(rle, count, row, start, column)
                        inside, start = not inside, column
            if inside:
                count = append(rle, count, row, start, width)
    return rle[:count]


@compiled
def dense(rle: Rle, height: int, width: int) -> UInt8[np.ndarray, "{height} {width}"]:
    """0/1 mask of the frame."""
    mask = np.zeros((height, width), np.uint8)
    for index in range(len(rle)):
        mask[rle[index, ROW], rle[index, START] : rle[index, END]] = 1
    return mask


@compiled
def bounding_box(rle: Rle) -> tuple[int, int, int, int]:
    """First column and row, last column and row; of one span at least."""
    left, right = rle[0, START], rle[0, END]
    for index in range(len(rle)):
        left, right = min(left, rle[index, START]), max(right, rle[index, END])
    return left, rle[0, ROW], right - 1, rle[-1, ROW]


@compiled
def difference(rle: Rle, others: Rle) -> Rle:
    """What others do not cover."""
    left, count = np.empty((len(rle) + len(others), 3), np.int64), 0
    other = 0
    for index in range(len(rle)):
        row, start, end = rle[index, ROW], rle[index, START], rle[index, END]
        while other < len(others) and (
            others[other, ROW] < row or (others[other, ROW] == row and others[other, END] <= start)
        ):
            other += 1
        cover = other
        while cover < len(others) and others[cover, ROW] == row and others[cover, START] < end:
            if start < others[cover, START]:
                count = append(left, count, row, start, others[cover, START])
            start = others[cover, END]
            cover += 1
        if start < end:
            count = append(left, count, row, start, end)
    return left[:count]


@compiled
def largest_component(rle: Rle) -> Rle:
    """The largest 8-connected component; of equal ones the first in the order of OpenCV's labels, which is that of
    blocks of 2 x 2 pixels of the frame, row by row.
    """
    parents, areas, places = np.empty(len(rle), np.int64), np.empty(len(rle), np.int64), np.empty(len(rle), np.int64)
    above = 0
    for index in range(len(rle)):
        parents[index] = index
        row, start, end = rle[index, ROW], rle[index, START], rle[index, END]
        while rle[above, ROW] < row - 1 or (rle[above, ROW] == row - 1 and rle[above, END] < start):
            above += 1
        touching = above
        while rle[touching, ROW] == row - 1 and rle[touching, START] <= end:
            one, two = find_root(parents, index), find_root(parents, touching)
            parents[max(one, two)] = min(one, two)
            touching += 1
    best = 0
    for index in range(len(rle)):
        own = parents[index] = parents[parents[index]]  # parents come first
        area, place = rle[index, END] - rle[index, START], (rle[index, ROW] // 2 << 32) + rle[index, START] // 2
        if own == index:
            areas[own], places[own] = area, place
        else:
            areas[own], places[own] = areas[own] + area, min(places[own], place)
    for index in range(len(rle)):
        if parents[index] == index and (
            areas[index] > areas[best] or (areas[index] == areas[best] and places[index] < places[best])
        ):
            best = index
    found, count = np.empty((len(rle), 3), np.int64), 0
    for index in range(len(rle)):
        if parents[index] == best:
            count = append(found, count, rle[index, ROW], rle[index, START], rle[index, END])
    return found[:count]


@compiled
def find_root(parents: Int64[np.ndarray, " n"], index: int) -> int:
    """Of the tree that an index is in; shortens the way there."""
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


@compiled
def intersection_area(rle: Rle, mask: Bool[np.ndarray, "H W"]) -> int:
    """How many of the pixels a mask of the frame has as well."""
    count = 0
    for index in range(len(rle)):
        for column in range(rle[index, START], rle[index, END]):
            count += mask[rle[index, ROW], column]
    return count


@compiled
def contour(rle: Rle, height: int, width: int) -> Rle:
    """Pixels around which, 3 x 3 in a frame of [height width], not all are alike: on either side of a border; that of
    the frame is none.
    """
    firsts, index = np.empty(height + 1, np.int64), 0
    for row in range(height + 1):
        while index < len(rle) and rle[index, ROW] < row:
            index += 1
        firsts[row] = 2 * index
    found, count = np.empty((6 * len(rle), 3), np.int64), 0
    for row in range(height):
        first, last = max(row - 1, 0), min(row + 1, height - 1)
        above, middle, below = firsts[first], firsts[row], firsts[last]
        if above == firsts[last + 1]:
            continue
        # From left to right where one of these rows changes; at the border of the frame two are the same.
        start, end, alike = 0, 0, True
        while True:
            one = next_change(rle, above, firsts[first + 1], width)
            two = next_change(rle, middle, firsts[row + 1], width)
            three = next_change(rle, below, firsts[last + 1], width)
            column = min(one, two, three)
            if column > width:
                break
            beside = 0 < column < width
            if alike and column - beside > end:
                if start < end:
                    count = append(found, count, row, start, end)
                start = column - beside
            end = column + beside
            above, middle, below = above + (one == column), middle + (two == column), below + (three == column)
            alike = above % 2 == middle % 2 == below % 2
        if start < end:
            count = append(found, count, row, start, end)
    return found[:count]


@compiled
def next_change(rle: Rle, place: int, stop: int, width: int) -> int:
    """Column from which on a row is foreground (at even places) or not (at odd ones); beyond it from `stop` on."""
    return rle[place // 2, START + place % 2] if place < stop else width + 1


@compiled
def hausdorff_exceeds(rle: Rle, others: Rle, limit: float) -> bool:
    """Whether some pixel is further than `limit` from all of the others, of which there are some."""
    near = 0
    for index in range(len(rle)):
        row, start, end = rle[index, ROW], rle[index, START], rle[index, END]
        # What is near both ends is near all between.
        found = span_within(others, row, start, end - 1, limit, near)
        if found >= 0:
            near = found
            continue
        for column in range(start, end):
            near = span_within(others, row, column, column, limit, near)
            if near < 0:
                return True
    return False


@compiled
def span_within(rle: Rle, row: int, first: int, last: int, limit: float, guess: int) -> int:
    """A span that is within `limit` of two columns of a row, looked for from `guess` on both ways; -1 if none is."""
    before, after = guess, guess + 1
    while before >= 0 or after < len(rle):
        if before >= 0:
            if within(rle, before, row, first, last, limit):
                return before
            before = before - 1 if row - rle[before, ROW] <= limit else -1
        if after < len(rle):
            if within(rle, after, row, first, last, limit):
                return after
            after = after + 1 if rle[after, ROW] - row <= limit else len(rle)
    return -1


@compiled
def within(rle: Rle, index: int, row: int, first: int, last: int, limit: float) -> bool:
    """Whether a span is within `limit` of two columns of a row."""
    start, end = rle[index, START], rle[index, END] - 1
    down = row - rle[index, ROW]
    across = max(start - first, first - end, start - last, last - end, 0)
    return down * down + across * across <= limit * limit
