"""Hole filling and measures of mask logits against OpenCV and numpy."""

import cv2
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.masks import HOLE_LOGIT, area_and_box, fill_holes


def filled_by_opencv(logits: np.ndarray, area: int) -> np.ndarray:
    _, labels, stats, _ = cv2.connectedComponentsWithStats((logits <= 0).astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] <= area
    small[0] = False
    return np.where(small[labels], np.float32(HOLE_LOGIT), logits)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.2, 0.9), area=st.sampled_from([1, 3, 8]))
def test_holes_are_the_small_background_components(seed: int, share: float, area: int) -> None:
    noise = np.random.default_rng(seed).random((2, 24, 31), dtype=np.float32)
    logits = noise - np.float32(1 - share)
    expected = np.stack([filled_by_opencv(mask, area) for mask in logits])
    np.testing.assert_array_equal(fill_holes(torch.from_numpy(logits), area).numpy(), expected)


def test_no_area_fills_nothing() -> None:
    logits = torch.randn(3, 8, 8)
    assert fill_holes(logits, 0) is logits


@given(seed=st.integers(0, 2**32 - 1))
def test_area_and_box(seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 14)) > 0.93
    area, x0, y0, x1, y1 = area_and_box(torch.from_numpy(np.where(mask, 1.0, -1.0).astype(np.float32))[None])[
        0
    ].tolist()
    y, x = np.nonzero(mask)
    assert area == mask.sum()
    assert (x0, y0, x1, y1) == ((x.min(), y.min(), x.max() + 1, y.max() + 1) if mask.any() else (0, 0, 0, 0))
