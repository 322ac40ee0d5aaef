"""What is counted and added up of the hypotheses of a frame, compiled: many small steps, each too small for torch.

Cells are added up line by line, so that the compiler may add many columns at a time.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from framework.ops.jit import compiled
from framework.ops.vectors import unit

COUNTS = AREA, ABOVE, AROUND, LEFT, TOP, RIGHT, BOTTOM = range(7)
"""Cells above logit 0, 1 and -1; of those above 0, first column and row, and those after the last ones. Where no cell
is above 0, all but `AROUND` are 0."""
BINS = 16
"""Of a chromaticity histogram, along a side."""
SAMPLED = 1024
"""Pixels of a mask that its colours are taken from, about."""


@compiled
def count_cells(
    logits: Float32[np.ndarray, "M h w"],
) -> tuple[UInt8[np.ndarray, "M h w"], Int64[np.ndarray, "M 7"], Float64[np.ndarray, " M"]]:
    """Masks (0 and 1), `COUNTS` and sums of the logits above 0."""
    hypotheses, height, width = logits.shape
    masks, counts, sums = np.zeros(logits.shape, np.uint8), np.zeros((hypotheses, 7), np.int64), np.zeros(hypotheses)
    for index in range(hypotheses):
        columns, inside, found = np.zeros(width, np.int32), np.zeros(width, np.float32), counts[index]
        for y in range(height):
            line, mask, around, area, above = logits[index, y], masks[index, y], 0, 0, 0
            for x in range(width):
                around += line[x] > -1
            if not around:
                continue
            for x in range(width):
                mask[x] = line[x] > 0
                area += line[x] > 0
                above += line[x] > 1
                columns[x] += line[x] > 0
                inside[x] += line[x] if line[x] > 0 else np.float32(0)
            if area:
                found[TOP] = found[TOP] if found[AREA] else y
                found[BOTTOM] = y + 1
            found[AREA] += area
            found[ABOVE] += above
            found[AROUND] += around
        for x in range(width):
            if columns[x]:
                found[LEFT] = found[LEFT] if sums[index] else x
                found[RIGHT] = x + 1
                sums[index] += inside[x]
    return masks, counts, sums


@compiled
def intersections(
    masks: UInt8[np.ndarray, "M h w"], counts: Int64[np.ndarray, "M 7"], others: UInt8[np.ndarray, "N h w"]
) -> Int64[np.ndarray, "M N"]:
    """Cells that each mask has in common with each of the others."""
    found = np.zeros((len(masks), len(others)), np.int64)
    for index in range(len(masks)):
        left, right = counts[index, LEFT], counts[index, RIGHT]
        for other in range(len(others)):
            for y in range(counts[index, TOP], counts[index, BOTTOM]):
                mask, line, common = masks[index, y, left:right], others[other, y, left:right], 0
                for x in range(len(mask)):
                    common += mask[x] & line[x]
                found[index, other] += common
    return found


@compiled
def cover(
    masks: UInt8[np.ndarray, "M h w"], counts: Int64[np.ndarray, "M 7"], tokens_down: int, tokens_across: int
) -> Float32[np.ndarray, "M {tokens_down} {tokens_across}"]:
    """Share of each token that a mask covers; a token has the cells whose upper left corner lies in it."""
    hypotheses, height, width = masks.shape
    share = np.float32(tokens_down * tokens_across / (height * width))
    found = np.zeros((hypotheses, tokens_down, tokens_across), np.float32)
    for index in range(hypotheses):
        left, right, bottom = counts[index, LEFT], counts[index, RIGHT], counts[index, BOTTOM]
        y, columns = counts[index, TOP], np.empty(right - left, np.int32)
        while y < bottom:
            token = y * tokens_down // height
            columns[:] = 0
            while y < bottom and y * tokens_down // height == token:
                mask = masks[index, y, left:right]
                for x in range(len(columns)):
                    columns[x] += mask[x]
                y += 1
            for x in range(len(columns)):
                found[index, token, (left + x) * tokens_across // width] += columns[x] * share
    return found


@compiled
def colours(
    pixels: Float32[np.ndarray, "3 h w"],
    masks: UInt8[np.ndarray, "M h w"],
    counts: Int64[np.ndarray, "M 7"],
    mean: Float32[np.ndarray, " 3"],
    deviation: Float32[np.ndarray, " 3"],
) -> Float32[np.ndarray, "M {BINS}*{BINS}"]:
    """Square root of the histogram of chromaticities under each mask, of unit length; 0 under none.

    Every pixel counts by its brightness, and in the four bins around it by how near it is to them, so that neither
    shades nor a slight change of light make another colour. Of a large mask some thousand pixels are looked at.
    """
    found, histogram = np.zeros((len(masks), BINS * BINS), np.float32), np.empty((BINS, BINS), np.float32)
    for index in range(len(masks)):
        if not counts[index, AREA]:
            continue
        step = int(np.ceil(np.sqrt(counts[index, AREA] / SAMPLED)))
        histogram[:] = 0
        for y in range(counts[index, TOP], counts[index, BOTTOM], step):
            for x in range(counts[index, LEFT], counts[index, RIGHT], step):
                if masks[index, y, x]:
                    red = max(pixels[0, y, x] * deviation[0] + mean[0], np.float32(0))
                    green = max(pixels[1, y, x] * deviation[1] + mean[1], np.float32(0))
                    blue = max(pixels[2, y, x] * deviation[2] + mean[2], np.float32(0))
                    bright = red + green + blue + np.float32(1e-5)
                    across = ((red - green) / bright * np.float32(0.5) + np.float32(0.5)) * (BINS - 1)
                    down = ((red + green - 2 * blue) / bright + 2) * np.float32(1 / 3) * (BINS - 1)
                    column, row = min(int(across), BINS - 2), min(int(down), BINS - 2)
                    right, below = across - column, down - row
                    histogram[row, column] += bright * (1 - right) * (1 - below)
                    histogram[row, column + 1] += bright * right * (1 - below)
                    histogram[row + 1, column] += bright * (1 - right) * below
                    histogram[row + 1, column + 1] += bright * right * below
        for row in range(BINS):
            for column in range(BINS):
                found[index, row * BINS + column] = np.sqrt(histogram[row, column])
    return unit(found)


@compiled
def rows(
    own: Float64[np.ndarray, "own M"], related: Int64[np.ndarray, " related"], presence: float, away: float
) -> Float32[np.ndarray, "M _"]:
    """Of each hypothesis its own features, those that are `related` less the largest among the others (less 0 where it
    is alone), what all share, and which one it is."""
    features, hypotheses = own.shape
    shared = features + len(related)
    found = np.zeros((hypotheses, shared + 5), np.float32)
    for index in range(hypotheses):
        row = found[index]
        for place in range(features):
            row[place] = own[place, index]
        for place in range(len(related)):
            largest = 0.0 if hypotheses == 1 else -np.inf
            for other in range(hypotheses):
                if other != index:
                    largest = max(largest, own[related[place], other])
            row[features + place] = own[related[place], index] - largest
        row[shared], row[shared + 1] = presence, away
        if index < 3:
            row[shared + 2 + index] = 1
    return found
