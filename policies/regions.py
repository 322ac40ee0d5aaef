"""Mask regions at full size: what policies judge rivals of the chosen mask by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from framework.types import Outcome, Size

HISTORY = 300
"""Frames after which a size is forgotten."""
TYPICAL = 10
"""Latest non-empty masks that a size is compared with."""

Mask = UInt8[np.ndarray, "H W"]
"""0 and 1."""


@dataclass(frozen=True, slots=True)
class Corners:
    """First and last foreground pixel along each axis, so width = right - left (one pixel has width 0)."""

    left: int
    top: int
    right: int
    bottom: int

    def joined(self, other: "Corners") -> "Corners":
        """Around both."""
        return Corners(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    @property
    def area(self) -> int:
        return (self.right - self.left) * (self.bottom - self.top)


def foreground(logits: Float[Tensor, "h w"], size: Size) -> Mask:
    """What ``framework.types.upsample(logits, size) > 0`` says, several times faster on the host.

    OpenCV rounds its weights differently, so pixels it leaves within rounding of zero are decided with torch's.
    """
    host = logits.detach().float().cpu().numpy()
    values = cv2.resize(host, size[::-1], interpolation=cv2.INTER_LINEAR)
    mask = (values > 0).view(np.uint8)
    tolerance = 1e-4 * float(np.abs(host).max())
    close = cv2.inRange(values, -tolerance, tolerance)
    if cv2.countNonZero(close):
        y, x = np.nonzero(close)
        mask[y, x] = _interpolated(host, size, y, x) > 0
    return mask


def _interpolated(
    logits: Float[np.ndarray, "h w"], size: Size, y: Int[np.ndarray, " n"], x: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Bilinear values at some pixels of `size`, at positions rounded to float32 like torch's."""
    low, high, share = [], [], []
    for count, length, at in zip(logits.shape, size, (y, x), strict=True):
        scale = float(np.float32(count) / np.float32(length))
        position = np.maximum((scale * (at + 0.5) - 0.5).astype(np.float32), 0).astype(float)
        low.append(position.astype(int))
        high.append(np.minimum(low[-1] + 1, count - 1))
        share.append(position - low[-1])
    above = logits[low[0], low[1]] * (1 - share[1]) + logits[low[0], high[1]] * share[1]
    below = logits[high[0], low[1]] * (1 - share[1]) + logits[high[0], high[1]] * share[1]
    return above * (1 - share[0]) + below * share[0]


def corners(mask: Mask) -> Corners:
    """Around the foreground of a mask that is not empty."""
    x, y, width, height = cv2.boundingRect(mask)
    return Corners(x, y, x + width - 1, y + height - 1)


def rivals(outcome: Outcome, chosen: Mask, loose: bool = False) -> Iterator[Mask]:
    """What each other hypothesis claims beside the chosen mask, where it claims anything.

    `loose` counts every non-zero logit as foreground.
    """
    size = (chosen.shape[0], chosen.shape[1])
    for index, logits in enumerate(outcome.candidates.logits[0]):
        if index != outcome.choice:
            claimed = foreground(logits.abs() if loose else logits, size)
            beside = claimed & (chosen ^ 1)
            if cv2.countNonZero(beside):
                yield beside


def largest_component(mask: Mask) -> tuple[Mask, Corners]:
    """Largest 8-connected component of a mask that is not empty (the first one on ties), and its corners."""
    x, y, width, height = cv2.boundingRect(mask)
    window = (slice(y, y + height), slice(x, x + width))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask[window], connectivity=8)
    label = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    left, top, wide, high = (int(value) for value in stats[label, :4])
    component = np.zeros_like(mask)
    component[window] = labels == label
    return component, Corners(x + left, y + top, x + left + wide - 1, y + top + high - 1)


def remembered(sizes: Sequence[int], size: int) -> tuple[int, ...]:
    """Mask sizes of the last frames with one more."""
    return (*sizes, size)[-HISTORY:]


def relative_size(sizes: Sequence[int]) -> float | None:
    """Last size over the median of the latest non-empty ones, itself included; None if empty or the first."""
    if len(sizes) < 2 or sizes[-1] < 1:
        return None
    return sizes[-1] / median([size for size in sizes if size > 0][-TYPICAL:])
