"""Compiling by numba, for decisions on every frame that are many small steps, each too small for torch.

Importing numba takes most of a second, so only what decides in compiled code imports this.
"""

from collections.abc import Callable
from functools import cache
from inspect import unwrap
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numba import config, njit, types
from numba.core.caching import InTreeCacheLocator, UserWideCacheLocator
from numba.extending import intrinsic

from framework.storage.identity import code_digest

P = ParamSpec("P")
T = TypeVar("T")


class _ByContent:
    """Makes numba's cache notice when a function of another module has changed that is called, too."""

    def __init__(self, function: Callable[..., object], path: str) -> None:
        super().__init__(function, path)  # type: ignore[call-arg]
        self.module = function.__module__

    def get_source_stamp(self) -> tuple[object, str]:
        return super().get_source_stamp(), code_digest(self.module)  # type: ignore[misc]


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


@cache
def start() -> None:
    """Starts the compiler, once: most of a second, which would else count as the decision of whoever comes first."""
    njit(lambda value: value)(0)


@intrinsic
def _fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


fused_multiply_add: Callable[[np.float32, np.float32, np.float32], np.float32] = _fma  # type: ignore[assignment]
"""In compiled functions: ``a * b + c`` with one rounding."""
