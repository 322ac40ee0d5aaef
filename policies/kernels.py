"""What learned policies measure and compute on every frame, compiled: many small steps, each too small for torch.

Cells are added up line by line, so that the compiler may add many columns at a time.
"""

import numpy as np
from jaxtyping import Float32, Int64

from framework.compiled import compiled
from framework.vectors import linear

AREA, COMMON, LEFT, TOP, RIGHT, BOTTOM = range(6)
"""Cells above logit 0, those of them that the chosen hypothesis has too, first column and row above 0, and those after
the last ones. All 0 where no cell is above."""
ABOVE, AROUND, ACROSS, DOWN = range(4)
"""Of the chosen hypothesis: cells above logit 1 and -1, sums of the columns and rows of those above 0."""


@compiled
def survey(
    logits: Float32[np.ndarray, "M h w"], choice: int
) -> tuple[Int64[np.ndarray, "M 6"], Int64[np.ndarray, " 4"]]:
    """Counts of every hypothesis, and those of the chosen one."""
    hypotheses, height, width = logits.shape
    counts, own, columns = np.zeros((hypotheses, 6), np.int64), np.zeros(4, np.int64), np.empty(width, np.int32)
    for index in range(hypotheses):
        found = counts[index]
        columns[:] = 0
        for y in range(height):
            line, chosen, area, common = logits[index, y], logits[choice, y], 0, 0
            for x in range(width):
                area += line[x] > 0
            if area:
                for x in range(width):
                    columns[x] += line[x] > 0
                    common += (line[x] > 0) & (chosen[x] > 0)
                found[TOP] = found[TOP] if found[AREA] else y
                found[BOTTOM] = y + 1
                found[AREA] += area
                found[COMMON] += common
            if index == choice:
                above, around = 0, 0
                for x in range(width):
                    above += line[x] > 1
                    around += line[x] > -1
                own[ABOVE] += above
                own[AROUND] += around
                own[DOWN] += y * area
        for x in range(width):
            if columns[x]:
                found[LEFT] = found[LEFT] if found[RIGHT] else x
                found[RIGHT] = x + 1
                if index == choice:
                    own[ACROSS] += x * columns[x]
    return counts, own


@compiled
def likest(
    tokens: Float32[np.ndarray, "C y x"], look: Float32[np.ndarray, " C"], cover: Float32[np.ndarray, "y x"]
) -> tuple[float, float]:
    """Largest cosine with a look among the tokens that are covered by more than half, and among the others; or -1."""
    features, covered = tokens.reshape(len(tokens), -1), cover.ravel()
    products, squares = np.zeros(len(covered), np.float32), np.zeros(len(covered), np.float32)
    for channel in range(len(features)):
        line, weight = features[channel], look[channel]
        for token in range(len(covered)):
            products[token] += line[token] * weight
            squares[token] += line[token] * line[token]
    inside = outside = -1.0
    for token in range(len(covered)):
        cosine = products[token] / np.sqrt(max(squares[token], np.float32(1e-12)))
        if covered[token] > 0.5:
            inside = max(inside, cosine)
        else:
            outside = max(outside, cosine)
    return inside, outside


@compiled
def judged(
    elements: Float32[np.ndarray, "n i"],
    embed: Float32[np.ndarray, "o i"],
    embed_bias: Float32[np.ndarray, " o"],
    again: Float32[np.ndarray, "p o"],
    again_bias: Float32[np.ndarray, " p"],
    verdict: Float32[np.ndarray, "q 3*p"],
    verdict_bias: Float32[np.ndarray, " q"],
    last: Float32[np.ndarray, "3 q"],
    last_bias: Float32[np.ndarray, " 3"],
) -> Float32[np.ndarray, " 3"]:
    """`SetScorer.judge` of one set of which no element is missing; inputs are standardised."""
    hidden = np.maximum(linear(elements, embed, embed_bias), np.float32(0))
    embedded = np.maximum(linear(hidden, again, again_bias), np.float32(0))
    width = embedded.shape[1]
    pooled = np.zeros((1, 3 * width), np.float32)
    pooled[0, :width] = embedded[-1]
    for index in range(len(embedded)):
        for place in range(width):
            pooled[0, width + place] += embedded[index, place] / np.float32(len(embedded))
            pooled[0, 2 * width + place] = max(pooled[0, 2 * width + place], embedded[index, place])
    return linear(np.maximum(linear(pooled, verdict, verdict_bias), np.float32(0)), last, last_bias)[0]
