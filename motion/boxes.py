"""Boxes of mask hypotheses on the network grid."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from framework.types import Size

Corners = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax of the foreground pixels, all inclusive: one pixel has width 0."""

NOWHERE: Corners = (0.0, 0.0, 0.0, 0.0)
"""What published code measures on an empty mask."""


def foreground(logits: Float[Tensor, "M h w"], size: Size) -> list[UInt8[np.ndarray, "H W"]]:
    """0/1 mask of every hypothesis at `size`, bilinear like `framework.types.upsample`."""
    return [_mask(mask, size) for mask in logits.detach().float().cpu().numpy()]


def boxes(logits: Float[Tensor, "M h w"], size: Size) -> tuple[Corners | None, ...]:
    """Around the foreground of every hypothesis at `size`; None where there is none."""
    return tuple(_box(mask, size) for mask in logits.detach().float().cpu().numpy())


def corners(mask: UInt8[np.ndarray, "H W"]) -> Corners | None:
    """Around the foreground; None when there is none."""
    x, y, width, height = cv2.boundingRect(mask)
    return (float(x), float(y), float(x + width - 1), float(y + height - 1)) if width else None


def overlap(a: Corners, b: Corners | None) -> float:
    """Intersection over union of two rectangles; 0 where there is nothing to compare."""
    if b is None:
        return 0.0
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def _mask(logits: Float[np.ndarray, "h w"], size: Size) -> UInt8[np.ndarray, "H W"]:
    return (cv2.resize(logits, size[::-1], interpolation=cv2.INTER_LINEAR) > 0).view(np.uint8)


def _box(logits: Float[np.ndarray, "h w"], size: Size) -> Corners | None:
    """Found on strips along the four sides if these leave no doubt, or else on the whole mask."""
    x, y, width, height = cv2.boundingRect((logits > 0).view(np.uint8))
    if not width:
        return None  # what lies between values below 0 is no foreground
    rows, columns = logits.shape
    down, across = (divmod(length, count) for length, count in zip(size, logits.shape, strict=True))
    # Weights are exact, and so the same in a strip, for powers of two.
    if not down[1] == across[1] == 0 or down[0].bit_count() != 1 or across[0].bit_count() != 1:
        return corners(_mask(logits, size))
    scale = down[0], across[0]
    wide = logits[:, max(x - 1, 0) : x + width + 1]
    high = logits[max(y - 1, 0) : y + height + 1].T
    left, right = _before(high, x, scale[::-1]), _before(high[::-1], columns - x - width, scale[::-1])
    top, bottom = _before(wide, y, scale), _before(wide[::-1], rows - y - height, scale)
    if left is None or top is None or right is None or bottom is None:
        return corners(_mask(logits, size))
    return float(left), float(top), float(size[1] - 1 - right), float(size[0] - 1 - bottom)


def _before(logits: Float[np.ndarray, "h w"], first: int, scale: Size) -> int | None:
    """Rows of pixels before the foreground begins, which is not before the logit in row `first`; None in doubt."""
    start, end = max(first - 1, 0), min(first + 3, len(logits))
    strip = logits[start:end]
    size = strip.shape[1] * scale[1], len(strip) * scale[0]
    most = cv2.resize(strip, size, interpolation=cv2.INTER_LINEAR).max(axis=1)
    rounding = 1e-6 * cv2.norm(strip, cv2.NORM_INF)
    reliable = len(most) if end == len(logits) else len(most) - scale[0]
    for row, value in enumerate(most[:reliable].tolist()):
        if value >= -rounding:
            return start * scale[0] + row if value > rounding else None
    return None
