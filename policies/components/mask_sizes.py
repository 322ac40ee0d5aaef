"""How large the chosen masks have been."""

from collections.abc import Sequence
from statistics import median

HISTORY = 300
"""Frames after which a size is forgotten."""
TYPICAL = 10
"""Latest non-empty masks that a size is compared with."""


def remembered(sizes: Sequence[int], size: int) -> tuple[int, ...]:
    """Mask sizes of the last frames with one more."""
    return (*sizes, size)[-HISTORY:]


def relative_size(sizes: Sequence[int]) -> float | None:
    """Last size over the median of the latest non-empty ones, itself included; None if empty or the first."""
    if len(sizes) < 2 or sizes[-1] < 1:
        return None
    return sizes[-1] / median([size for size in sizes if size > 0][-TYPICAL:])
