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


@compiled
def standardised(
    elements: Float32[np.ndarray, "n i"],
    limit: float,
    centre: Float32[np.ndarray, " i"],
    scale: Float32[np.ndarray, " i"],
    used: Float32[np.ndarray, " i"],
) -> Float32[np.ndarray, "n i"]:
    """Centred, scaled, 0 where not used, and cut off at the limit."""
    found = np.empty(elements.shape, np.float32)
    for index in range(len(elements)):
        for place in range(len(centre)):
            value = (elements[index, place] - centre[place]) / scale[place] * used[place]
            found[index, place] = min(max(value, -limit), limit)
    return found


@compiled
def linear(
    elements: Float32[np.ndarray, "n i"], weight: Float32[np.ndarray, "o i"], bias: Float32[np.ndarray, " o"]
) -> Float32[np.ndarray, "n o"]:
    """As `torch.nn.functional.linear`, without its cost per call."""
    found, columns = np.empty((len(elements), len(bias)), np.float32), np.ascontiguousarray(weight.T)
    for index in range(len(elements)):
        line = found[index]
        line[:] = bias
        for place in range(len(columns)):
            column, value = columns[place], elements[index, place]
            for output in range(len(line)):
                line[output] += column[output] * value
    return found
