"""Overlap and centre error of boxes, frame by frame, as the known tools compute them.

Boxes are rows x, y, w, h in pixels. The order of operations decides exact ties, so each tool's own is kept.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Boxes = Float[np.ndarray, "T 4"]

INF = float("inf")


def pixel_iou(prediction: Boxes, truth: Boxes) -> Float[np.ndarray, " T"]:
    """Intersection over union of boxes that include their last pixel."""
    top_left = np.maximum(prediction[:, :2], truth[:, :2])
    bottom_right = np.minimum(prediction[:, :2] + prediction[:, 2:] - 1, truth[:, :2] + truth[:, 2:] - 1)
    intersection = np.maximum(bottom_right - top_left + 1, 0).prod(axis=1)
    union = prediction[:, 2:].prod(axis=1) + truth[:, 2:].prod(axis=1) - intersection
    with np.errstate(divide="ignore", invalid="ignore"):
        return intersection / union


def continuous_iou(prediction: Boxes, truth: Boxes) -> Float[np.ndarray, " T"]:
    """Intersection over union of boxes on the plane, 0 for two empty ones."""
    top_left = np.maximum(prediction[:, :2], truth[:, :2])
    bottom_right = np.minimum(prediction[:, :2] + prediction[:, 2:], truth[:, :2] + truth[:, 2:])
    intersection = np.maximum(bottom_right - top_left, 0).prod(axis=1)
    union = prediction[:, 2:].prod(axis=1) + truth[:, 2:].prod(axis=1) - intersection
    return np.clip(intersection / (union + np.finfo(float).eps), 0.0, 1.0)


def centres(boxes: Boxes) -> Float[np.ndarray, "T 2"]:
    return boxes[:, :2] + 0.5 * (boxes[:, 2:] - 1)


def centre_error(prediction: Boxes, truth: Boxes) -> Float[np.ndarray, " T"]:
    """Distance of the centres, pixels."""
    return np.sqrt(((centres(prediction) - centres(truth)) ** 2).sum(axis=1))


def error_of_scaled_centres(prediction: Boxes, truth: Boxes) -> Float[np.ndarray, " T"]:
    """Distance of the centres after dividing each by the true width and height."""
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = centres(prediction) / truth[:, 2:] - centres(truth) / truth[:, 2:]
    return np.sqrt((difference**2).sum(axis=1))


def scaled_error_of_centres(prediction: Boxes, truth: Boxes) -> Float[np.ndarray, " T"]:
    """Difference of the centres, divided by the true width and height (at least one pixel)."""
    difference = (centres(prediction) - centres(truth)) / np.maximum(1.0, truth[:, 2:])
    return np.sqrt((difference**2).sum(axis=1))


def infinite_where_empty(error: Callable[[Boxes, Boxes], np.ndarray], prediction: Boxes, truth: Boxes) -> np.ndarray:
    """An empty prediction has no centre, so it is infinitely far away."""
    return np.where((prediction[:, 2:] > 0).all(axis=1), error(prediction, truth), INF)
