"""Which points of a mask are tracked."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def interior(mask: UInt8[np.ndarray, "H W"], size: int) -> Float[np.ndarray, "n 2"]:
    """Pixels (x, y) whose size x size neighbourhood is foreground, in raster order; outside the image all is.

    An even neighbourhood lies half a pixel off, so there is one more row and column of them.
    """
    even = 1 - size % 2
    padded = cv2.copyMakeBorder(mask, 0, even, 0, even, cv2.BORDER_CONSTANT, value=1)
    eroded = cv2.erode(padded, np.ones((size, size), np.uint8), anchor=(size // 2, size // 2))
    y, x = np.nonzero(eroded)
    return np.stack([x, y], axis=1).astype(np.float32)


def farthest_points(points: Float[np.ndarray, "n 2"], count: int) -> Float[np.ndarray, "q 2"]:
    """Farthest-point sampling from the first point on."""
    x, y = np.ascontiguousarray(points.T)
    chosen = [0]
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    dx, dy = np.empty_like(nearest), np.empty_like(nearest)
    for _ in range(min(count, len(points)) - 1):
        np.subtract(x, x[chosen[-1]], out=dx)
        np.subtract(y, y[chosen[-1]], out=dy)
        np.multiply(dx, dx, out=dx)
        np.multiply(dy, dy, out=dy)
        np.add(dx, dy, out=dx)
        np.minimum(nearest, dx, out=nearest)
        chosen.append(int(nearest.argmax()))
    return points[chosen]
