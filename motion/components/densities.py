"""Where points and masks are, as densities on a grid that can be compared."""

import cv2
import numpy as np
from jaxtyping import Float
from torch import Tensor

from framework.types import Size

_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
"""A density below half of this is 0 in float32; the published clip level depends on where that is."""


def point_density(points: Float[np.ndarray, "n 2"], bandwidth: int, grid: int) -> Float[np.ndarray, "H W"] | None:
    """Kernel density on the grid, clipped, scaled to 0..1 and cut at 0.4; None for fewer than 10 points.

    The kernel is a product of one in x and one in y, so the sum over points is one matrix product.
    """
    if len(points) < 10:
        return None
    at = np.linspace(0, grid, grid)
    x, y = (np.exp(-((at[:, None] - points[:, axis].astype(float)) ** 2) / (2 * bandwidth**2)) for axis in (0, 1))
    density = y @ x.T / (len(points) * 2 * np.pi * bandwidth**2)
    positive = density[density > _SMALLEST / 2]
    if len(positive) < 2:
        return None
    density = np.minimum(density, positive.mean() + 2 * positive.std(ddof=1))
    density /= density.max()
    density[density < 0.4] = 0
    return density


def mask_density(logits: Float[Tensor, "h w"], size: Size) -> Float[np.ndarray, "H W"] | None:
    """Logits of the foreground scaled to 0..1; None for an empty mask."""
    values = cv2.resize(logits.detach().float().cpu().numpy(), size[::-1], interpolation=cv2.INTER_LINEAR)
    values = np.where(values < 0.15, 0, values).astype(float)
    return None if values.sum() < 0.1 else values / (values.max() + 1e-5)
