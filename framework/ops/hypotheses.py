"""What the hypotheses of one frame cover, counted once for all learned plug-ins that look at them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from framework.ops.jit import compiled
from framework.ops.memo import memoised
from framework.ops.tokens import on_host
from framework.types import Candidates

CELLS = 128
"""Cells along a side of the mask-logit grid, at most."""
COUNTS = AREA, ABOVE, AROUND, LEFT, TOP, RIGHT, BOTTOM, ACROSS, DOWN = range(9)
"""Cells above logit 0, 1 and -1; of those above 0, first column and row, those after the last ones, and sums of columns
and rows. Where no cell is above 0, all but `AROUND` are 0."""


@dataclass(frozen=True, slots=True, eq=False)
class HypothesisMasks:
    """Masks of one row, in cells of the mask-logit grid, of which every `step`th is looked at."""

    logits: Float32[np.ndarray, "M h w"]
    step: int
    binary: UInt8[np.ndarray, "M h w"]
    """0 and 1."""
    counts: Int64[np.ndarray, "M 9"]
    """See `COUNTS`."""
    sums: Float64[np.ndarray, " M"]
    """Of the logits above 0."""
    common: Int64[np.ndarray, "M M"]
    """Cells that each has in common with each."""


@memoised
def hypothesis_masks(candidates: Candidates) -> HypothesisMasks:
    """Of the first row; transferred and counted once for all that look at these candidates."""
    logits = candidates.logits[0]
    step = max(1, -(-max(logits.shape[-2:]) // CELLS))
    grid = on_host(logits[:, ::step, ::step])
    masks, counts, sums = count_cells(grid)
    return HypothesisMasks(grid, step, masks, counts, sums, intersections(masks, counts, masks))


@compiled
def count_cells(
    logits: Float32[np.ndarray, "M h w"],
) -> tuple[UInt8[np.ndarray, "M h w"], Int64[np.ndarray, "M 9"], Float64[np.ndarray, " M"]]:
    """Masks, `COUNTS` and sums of the logits above 0.

    Cells are added up line by line, so that the compiler may add many columns at a time.
    """
    hypotheses, height, width = logits.shape
    masks, counts, sums = np.zeros(logits.shape, np.uint8), np.zeros((hypotheses, 9), np.int64), np.zeros(hypotheses)
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
            found[DOWN] += y * area
        for x in range(width):
            if columns[x]:
                found[LEFT] = found[LEFT] if sums[index] else x
                found[RIGHT] = x + 1
                found[ACROSS] += x * columns[x]
                sums[index] += inside[x]
    return masks, counts, sums


@compiled
def intersections(
    masks: UInt8[np.ndarray, "M h w"], counts: Int64[np.ndarray, "M 9"], others: UInt8[np.ndarray, "N h w"]
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
