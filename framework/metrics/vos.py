"""Video object segmentation: region similarity J, contour accuracy F, and the official protocols around them.

J and F follow Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"
(CVPR 2016), section 4. What differs between the official evaluators is which frames and objects they score.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float

Contour = Callable[[np.ndarray], np.ndarray]  # mask [H W] -> its boundary pixels [H W]

BOUNDARY_TOLERANCE = 0.008  # matching radius of F, in image diagonals


def jaccard(prediction: Bool[np.ndarray, "*T H W"], truth: Bool[np.ndarray, "*T H W"]) -> Float[np.ndarray, "*T"]:
    """Region similarity J, intersection over union per mask, 0..1; 1 where both masks are empty."""
    intersection = np.asarray(np.logical_and(prediction, truth).sum(axis=(-2, -1)), dtype=np.float64)
    union = np.asarray(np.logical_or(prediction, truth).sum(axis=(-2, -1)), dtype=np.float64)
    return np.asarray(np.divide(intersection, union, out=np.ones_like(union), where=union > 0))


def step_contour(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Pixels that differ from their right, lower or lower-right neighbour (DAVIS, SA-V, LVOS in Python)."""
    contour = np.zeros_like(mask)
    contour[:-1, :-1] = (
        (mask[:-1, :-1] ^ mask[:-1, 1:]) | (mask[:-1, :-1] ^ mask[1:, :-1]) | (mask[:-1, :-1] ^ mask[1:, 1:])
    )
    contour[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    contour[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return contour


def outer_step_contour(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Pixels that differ from the union of those three neighbours: LVOS's compiled build. Its F is lower."""
    contour = np.zeros_like(mask)
    contour[:-1, :-1] = mask[:-1, :-1] ^ (mask[:-1, 1:] | mask[1:, :-1] | mask[1:, 1:])
    contour[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    contour[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return contour


def boundary_f(
    prediction: Bool[np.ndarray, "H W"], truth: Bool[np.ndarray, "H W"], contour: Contour = step_contour
) -> float:
    """Contour accuracy F of one mask, 0..1: harmonic mean of boundary precision and recall.

    A boundary pixel is matched by any boundary pixel of the other mask within ceil(0.008 image diagonals).
    1 where neither mask has a boundary, 0 where only one has.
    """
    radius = math.ceil(BOUNDARY_TOLERANCE * math.hypot(*truth.shape))
    offsets = np.arange(-radius, radius + 1)
    disk = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2).astype(np.uint8)
    predicted, true = contour(prediction), contour(truth)
    n_predicted, n_true = int(predicted.sum()), int(true.sum())
    if n_predicted == 0 or n_true == 0:
        return 1.0 if n_predicted == n_true else 0.0
    near_true = cv2.dilate(true.astype(np.uint8), disk) > 0
    near_predicted = cv2.dilate(predicted.astype(np.uint8), disk) > 0
    precision = int((predicted & near_true).sum()) / n_predicted
    recall = int((true & near_predicted).sum()) / n_true
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def boundary_fs(
    prediction: Bool[np.ndarray, "T H W"], truth: Bool[np.ndarray, "T H W"], contour: Contour = step_contour
) -> Float[np.ndarray, " T"]:
    """Contour accuracy F of every frame."""
    return np.array([boundary_f(p, t, contour) for p, t in zip(prediction, truth, strict=True)], dtype=np.float64)
