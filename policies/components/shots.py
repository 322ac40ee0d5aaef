"""When the shot changes: SeC's trigger (arXiv:2507.15852), a distance of colour histograms."""

import cv2
import numpy as np
from jaxtyping import Float32

from framework.ops.tokens import on_host
from framework.types import Features

HUES, SATURATIONS = 30, 32
"""Bins."""
STEP = 4
"""Of every how many pixels, each way, one is counted."""

Histogram = Float32[np.ndarray, "hues saturations"]


def colours(features: Features) -> Histogram:
    """Histogram of hue and saturation of a frame as the network was shown it."""
    rgb = features.normalisation.undo(features.image[:, ::STEP, ::STEP]).clamp(0, 1)
    picture = np.ascontiguousarray((on_host(rgb) * 255).round().astype(np.uint8).transpose(1, 2, 0))
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    return cv2.calcHist([hsv], [0, 1], None, [HUES, SATURATIONS], [0, 180, 0, 256])


def distance(first: Histogram, second: Histogram) -> float:
    """Bhattacharyya's: 0 for equal shares of colours, 1 for none in common."""
    return float(cv2.compareHist(first, second, cv2.HISTCMP_BHATTACHARYYA))
