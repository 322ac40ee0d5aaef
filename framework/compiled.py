"""Functions compiled by numba, for decisions on every frame that are many small steps, each too small for torch.

Importing numba takes most of a second, so only what decides in compiled code imports this.
"""

from collections.abc import Callable
from inspect import unwrap
from typing import ParamSpec, TypeVar

import numpy as np
from jaxtyping import Float32
from numba import config, njit
from numba.core.caching import InTreeCacheLocator, UserWideCacheLocator

from framework.identity import code_digest

P = ParamSpec("P")
T = TypeVar("T")


class _ByContent:
    """Makes numba's cache notice when a function of another module has changed that is called, too."""

    def __init__(self, function: Callable[..., object], path: str) -> None:
        super().__init__(function, path)  # type: ignore[call-arg]
        self.module = function.__module__

    def get_source_stamp(self) -> str:
        return code_digest(self.module)


class Beside(_ByContent, InTreeCacheLocator):
    """In the `__pycache__` of the source."""


class Aside(_ByContent, UserWideCacheLocator):
    """In the user's cache, where the source lies write-protected."""


LOCATORS = ",".join(f"{one.__module__}.{one.__name__}" for one in (Beside, Aside))


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """On its first call, or read from a cache on disk; without the checks of types that tests put around a function.

    Whole-array operations, unpacking and a second kind of integer take long to compile, so there should be few of them.
    """
    plain: Callable[P, T] = unwrap(function)
    usual: str = config.CACHE_LOCATOR_CLASSES  # type: ignore[attr-defined]
    config.CACHE_LOCATOR_CLASSES = LOCATORS  # type: ignore[attr-defined]
    try:
        made: Callable[P, T] = njit(cache=True)(plain)
    except RuntimeError:  # nowhere to keep it
        made = njit(plain)
    finally:
        config.CACHE_LOCATOR_CLASSES = usual  # type: ignore[attr-defined]
    return made


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
def blended(mean: Float32[np.ndarray, " C"], now: Float32[np.ndarray, " C"], share: float) -> Float32[np.ndarray, " C"]:
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
