"""Boxes of mask hypotheses on the network grid."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from framework.ops.rle import bounding_box, dense, upsampled_mask
from framework.types import Size

Corners = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax of the foreground pixels, all inclusive: one pixel has width 0."""

EMPTY_BOX: Corners = (0.0, 0.0, 0.0, 0.0)
"""What published code measures on an empty mask."""


def foreground(logits: Float[Tensor, "M h w"], size: Size) -> list[UInt8[np.ndarray, "H W"]]:
    """0/1 mask of every hypothesis at `size`: where `framework.types.upsample` is above 0."""
    return [dense(upsampled_mask(mask, *size), *size) for mask in logits.detach().float().cpu().numpy()]


def boxes(logits: Float[Tensor, "M h w"], size: Size) -> tuple[Corners | None, ...]:
    """Around the foreground of every hypothesis at `size`; None where there is none."""
    return tuple(_box(mask, size) for mask in logits.detach().float().cpu().numpy())


def mask_box(mask: UInt8[np.ndarray, "H W"]) -> Corners | None:
    """Around the foreground; None when there is none."""
    x, y, width, height = cv2.boundingRect(mask)
    return (float(x), float(y), float(x + width - 1), float(y + height - 1)) if width else None


def box_iou(a: Corners, b: Corners | None) -> float:
    """Intersection over union of two rectangles; 0 where there is nothing to compare."""
    if b is None:
        return 0.0
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def _box(logits: Float[np.ndarray, "h w"], size: Size) -> Corners | None:
    found = upsampled_mask(logits, *size)
    if not len(found):
        return None
    left, top, right, bottom = bounding_box(found)
    return float(left), float(top), float(right), float(bottom)
