"""Pixels of a frame as runs, in compiled functions: what is decided at full size without a full-size image.

Runs are rows [n 3] of row, first column and the column after the last, in pixels of the frame. They are in the order of
reading, and no two touch in a row.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from framework.ops.jit import compiled

Runs = Int64[np.ndarray, "_ 3"]
ROW, START, END = range(3)


@compiled
def put(runs: Runs, count: int, row: int, start: int, end: int) -> int:
    """Writes a run after `count` others; returns how many there are."""
    runs[count, ROW], runs[count, START], runs[count, END] = row, start, end
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
def corners(logits: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h+1 w+1"]:
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
def enlarged(logits: Float32[np.ndarray, "h w"], height: int, width: int) -> Runs:
    """Where finite logits are above 0 on [height width] pixels: bilinear, corners not aligned.

    Interpolated values are in float64, so only pixels within float32 rounding of 0 may differ from torch's.
    """
    rows, columns = logits.shape
    tops, down = cells(rows, height)
    lefts, across = cells(columns, width)
    above_zero = corners(logits)
    runs, count = np.empty((height * ((columns + 1) // 2), 3), np.int64), 0
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
                            count = put(runs, count, row, start, column)
                        inside, start = not inside, column
            if inside:
                count = put(runs, count, row, start, width)
    return runs[:count]


@compiled
def extent(runs: Runs) -> tuple[int, int, int, int]:
    """First column and row, last column and row; of one run at least."""
    left, right = runs[0, START], runs[0, END]
    for index in range(len(runs)):
        left, right = min(left, runs[index, START]), max(right, runs[index, END])
    return left, runs[0, ROW], right - 1, runs[-1, ROW]


@compiled
def without(runs: Runs, others: Runs) -> Runs:
    """What others do not cover."""
    left, count = np.empty((len(runs) + len(others), 3), np.int64), 0
    other = 0
    for index in range(len(runs)):
        row, start, end = runs[index, ROW], runs[index, START], runs[index, END]
        while other < len(others) and (
            others[other, ROW] < row or (others[other, ROW] == row and others[other, END] <= start)
        ):
            other += 1
        cover = other
        while cover < len(others) and others[cover, ROW] == row and others[cover, START] < end:
            if start < others[cover, START]:
                count = put(left, count, row, start, others[cover, START])
            start = others[cover, END]
            cover += 1
        if start < end:
            count = put(left, count, row, start, end)
    return left[:count]


@compiled
def largest(runs: Runs) -> Runs:
    """The largest 8-connected component; of equal ones the first in the order of OpenCV's labels, which is that of
    blocks of 2 x 2 pixels of the frame, row by row.
    """
    parents, areas, places = np.empty(len(runs), np.int64), np.empty(len(runs), np.int64), np.empty(len(runs), np.int64)
    above = 0
    for index in range(len(runs)):
        parents[index] = index
        row, start, end = runs[index, ROW], runs[index, START], runs[index, END]
        while runs[above, ROW] < row - 1 or (runs[above, ROW] == row - 1 and runs[above, END] < start):
            above += 1
        touching = above
        while runs[touching, ROW] == row - 1 and runs[touching, START] <= end:
            one, two = root(parents, index), root(parents, touching)
            parents[max(one, two)] = min(one, two)
            touching += 1
    best = 0
    for index in range(len(runs)):
        own = parents[index] = parents[parents[index]]  # parents come first
        area, place = runs[index, END] - runs[index, START], (runs[index, ROW] // 2 << 32) + runs[index, START] // 2
        if own == index:
            areas[own], places[own] = area, place
        else:
            areas[own], places[own] = areas[own] + area, min(places[own], place)
    for index in range(len(runs)):
        if parents[index] == index and (
            areas[index] > areas[best] or (areas[index] == areas[best] and places[index] < places[best])
        ):
            best = index
    found, count = np.empty((len(runs), 3), np.int64), 0
    for index in range(len(runs)):
        if parents[index] == best:
            count = put(found, count, runs[index, ROW], runs[index, START], runs[index, END])
    return found[:count]


@compiled
def root(parents: Int64[np.ndarray, " n"], index: int) -> int:
    """Of the tree that an index is in; shortens the way there."""
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


@compiled
def shared(runs: Runs, mask: Bool[np.ndarray, "H W"]) -> int:
    """How many of the pixels a mask of the frame has as well."""
    count = 0
    for index in range(len(runs)):
        for column in range(runs[index, START], runs[index, END]):
            count += mask[runs[index, ROW], column]
    return count


@compiled
def contour(runs: Runs, height: int, width: int) -> Runs:
    """Pixels around which, 3 x 3 in a frame of [height width], not all are alike: on either side of a border; that of
    the frame is none.
    """
    firsts, index = np.empty(height + 1, np.int64), 0
    for row in range(height + 1):
        while index < len(runs) and runs[index, ROW] < row:
            index += 1
        firsts[row] = 2 * index
    found, count = np.empty((6 * len(runs), 3), np.int64), 0
    for row in range(height):
        first, last = max(row - 1, 0), min(row + 1, height - 1)
        above, middle, below = firsts[first], firsts[row], firsts[last]
        if above == firsts[last + 1]:
            continue
        # From left to right where one of these rows changes; at the border of the frame two are the same.
        start, end, alike = 0, 0, True
        while True:
            one = change(runs, above, firsts[first + 1], width)
            two = change(runs, middle, firsts[row + 1], width)
            three = change(runs, below, firsts[last + 1], width)
            column = min(one, two, three)
            if column > width:
                break
            beside = 0 < column < width
            if alike and column - beside > end:
                if start < end:
                    count = put(found, count, row, start, end)
                start = column - beside
            end = column + beside
            above, middle, below = above + (one == column), middle + (two == column), below + (three == column)
            alike = above % 2 == middle % 2 == below % 2
        if start < end:
            count = put(found, count, row, start, end)
    return found[:count]


@compiled
def change(runs: Runs, place: int, stop: int, width: int) -> int:
    """Column from which on a row is foreground (at even places) or not (at odd ones); beyond it from `stop` on."""
    return runs[place // 2, START + place % 2] if place < stop else width + 1


@compiled
def reaches(runs: Runs, others: Runs, limit: float) -> bool:
    """Whether some pixel is further than `limit` from all of the others, of which there are some."""
    near = 0
    for index in range(len(runs)):
        row, start, end = runs[index, ROW], runs[index, START], runs[index, END]
        # What is near both ends is near all between.
        found = neighbour(others, row, start, end - 1, limit, near)
        if found >= 0:
            near = found
            continue
        for column in range(start, end):
            near = neighbour(others, row, column, column, limit, near)
            if near < 0:
                return True
    return False


@compiled
def neighbour(runs: Runs, row: int, first: int, last: int, limit: float, guess: int) -> int:
    """A run that is within `limit` of two columns of a row, looked for from `guess` on both ways; -1 if none is."""
    before, after = guess, guess + 1
    while before >= 0 or after < len(runs):
        if before >= 0:
            if close(runs, before, row, first, last, limit):
                return before
            before = before - 1 if row - runs[before, ROW] <= limit else -1
        if after < len(runs):
            if close(runs, after, row, first, last, limit):
                return after
            after = after + 1 if runs[after, ROW] - row <= limit else len(runs)
    return -1


@compiled
def close(runs: Runs, index: int, row: int, first: int, last: int, limit: float) -> bool:
    """Whether a run is within `limit` of two columns of a row."""
    start, end = runs[index, START], runs[index, END] - 1
    down = row - runs[index, ROW]
    across = max(start - first, first - end, start - last, last - end, 0)
    return down * down + across * across <= limit * limit
