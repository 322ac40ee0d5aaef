"""What the learned write gate computes on every frame, compiled: many small steps, each too small for torch."""

import numpy as np
from jaxtyping import Float32, UInt8

from framework.ops.jit import compiled
from framework.ops.vectors import linear


@compiled
def sharpness(logits: Float32[np.ndarray, "h w"], mask: UInt8[np.ndarray, "h w"], area: int) -> float:
    """Mean probability in a mask of `area` cells; 0 if it is empty."""
    total = 0.0
    for y in range(len(mask)):
        line, inside = logits[y], mask[y]
        for x in range(len(inside)):
            if inside[x]:
                total += 1 / (1 + np.exp(-line[x]))
    return total / max(area, 1)


@compiled
def largest_cosines(
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
def classified(
    elements: Float32[np.ndarray, "n i"],
    embed: Float32[np.ndarray, "o i"],
    embed_bias: Float32[np.ndarray, " o"],
    again: Float32[np.ndarray, "p o"],
    again_bias: Float32[np.ndarray, " p"],
    head: Float32[np.ndarray, "q 3*p"],
    head_bias: Float32[np.ndarray, " q"],
    last: Float32[np.ndarray, "3 q"],
    last_bias: Float32[np.ndarray, " 3"],
) -> Float32[np.ndarray, " 3"]:
    """`SetClassifier.forward` of one set of which no element is missing; inputs are standardised."""
    hidden = np.maximum(linear(elements, embed, embed_bias), np.float32(0))
    embedded = np.maximum(linear(hidden, again, again_bias), np.float32(0))
    width = embedded.shape[1]
    pooled = np.zeros((1, 3 * width), np.float32)
    pooled[0, :width] = embedded[-1]
    for index in range(len(embedded)):
        for place in range(width):
            pooled[0, width + place] += embedded[index, place] / np.float32(len(embedded))
            pooled[0, 2 * width + place] = max(pooled[0, 2 * width + place], embedded[index, place])
    return linear(np.maximum(linear(pooled, head, head_bias), np.float32(0)), last, last_bias)[0]
