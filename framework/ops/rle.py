"""Run-length encoded masks, in compiled functions: what is decided at full size without a full-size image.

Compiled by numba because policies decide on every frame: at 720p a decision takes .2 to .4 ms on run lengths and 50 to
90 ms on dense masks. (The COCO format of masks on disk is `framework.storage.mask_rle`.)

Rows [n 3] are the spans of a mask: row, first column and the column after the last, in pixels of the frame. They are in
raster order, and no two touch in a row.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from framework.ops.jit import compiled

Rle = Int64[np.ndarray, "_ 3"]
ROW, START, END = range(3)


@compiled
def append(rle: Rle, count: int, row: int, start: int, end: int) -> int:
    """Writes a span after `count` others; returns how many there are."""
    rle[count, ROW], rle[count, START], rle[count, END] = row, start, end
    return count + 1


@compiled
def cells(count: int, length: int) -> tuple[Int64[np.ndarray, " {count}+2"], Float64[np.ndarray, " {length}"]]:
    """How `count` logits lie on `length` pixels, at positions rounded to float32 like torch's.

    Cell i lies between logits i - 1 and i; the first and the last one lie between a logit and the border. Returns the
    first pixel of each cell with the end of the last, and what the logit after each pixel counts for there (0..1).
    """
    scale = np.float32(count) / np.float32(length)
    edges, weights = np.empty(count + 2, np.int64), np.empty(length, np.float64)
    cell = 0
    for pixel in range(length):
        position = np.float64(np.float32(scale * (pixel + 0.5) - 0.5))
        before = int(np.floor(position))
        while cell <= before + 1:
            edges[cell] = pixel
            cell += 1
        weights[pixel] = position - before if before >= 0 else 0.0
    while cell < count + 2:
        edges[cell] = length
        cell += 1
    return edges, weights


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


@compiled
def upsampled_mask(logits: Float32[np.ndarray, "h w"], height: int, width: int) -> Rle:
    """Where finite logits are above 0 on [height width] pixels: bilinear, corners not aligned.

    Interpolated values are in float64, so only pixels within float32 rounding of 0 may differ from torch's.
    """
    rows, columns = logits.shape
    tops, down = cells(rows, height)
    lefts, across = cells(columns, width)
    above_zero = positive_corners(logits)
    rle, count = np.empty((height * ((columns + 1) // 2), 3), np.int64), 0
    some, ends = np.empty(columns + 1, np.int64), np.empty(columns + 1, np.int64)
    for cell in range(rows + 1):
        line, parts, before = above_zero[cell], 0, np.uint8(0)
        if tops[cell] == tops[cell + 1] or line.sum() == 0:
            continue
        # A cell whose corners agree is all alike, so its first pixel will do, and none if it continues the one before.
        for column in range(columns + 1):
            if (line[column] != before or line[column] & 3) and lefts[column] < lefts[column + 1]:
                before = line[column]
                some[parts], ends[parts] = column, lefts[column + 1] if before & 3 else lefts[column] + 1
                parts += 1
        upper, lower = logits[max(cell - 1, 0)], logits[min(cell, rows - 1)]
        for row in range(tops[cell], tops[cell + 1]):
            inside, start = False, 0
            for part in range(parts):
                left, right = max(some[part] - 1, 0), min(some[part], columns - 1)
                first = upper[left] * (1 - down[row]) + lower[left] * down[row]
                last = upper[right] * (1 - down[row]) + lower[right] * down[row]
                for column in range(lefts[some[part]], ends[part]):
                    if (first * (1 - across[column]) + last * across[column] > 0) != inside:
                        if inside:
                            count = append(rle, count, row, start, column)
                        inside, start = not inside, column
            if inside:
                count = append(rle, count, row, start, width)
    return rle[:count]


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
