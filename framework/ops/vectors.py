"""What learned plug-ins do with rows of numbers, compiled."""

import numpy as np
from jaxtyping import Float32

from framework.ops.jit import compiled


@compiled
def unit(vectors: Float32[np.ndarray, "n C"]) -> Float32[np.ndarray, "n C"]:
    """Of length 1, or 0."""
    found = np.empty(vectors.shape, np.float32)
    for index in range(len(vectors)):
        vector = vectors[index]
        squares = np.float32(0)
        for value in vector:
            squares += value * value
        found[index] = vector / max(np.sqrt(squares), np.float32(1e-12))
    return found


@compiled
def moving_average(
    mean: Float32[np.ndarray, " C"], now: Float32[np.ndarray, " C"], share: float
) -> Float32[np.ndarray, " C"]:
    """The mean moved by `share` towards what is seen now, of unit length."""
    moved = np.empty((1, len(mean)), np.float32)
    for index in range(len(mean)):
        moved[0, index] = (1 - share) * mean[index] + share * now[index]
    return unit(moved)[0]
