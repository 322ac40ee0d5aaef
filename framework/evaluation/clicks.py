"""Simulated clicks: what a user would click who starts an object and corrects what is shown, until it is right."""

import cv2
import numpy as np
from jaxtyping import Bool

from framework.errors import InputError
from framework.interfaces import Network
from framework.types import Features, Prompt, upsample

Point = tuple[float, float]


def clicked(
    start: Prompt, truth: Bool[np.ndarray, "Hv Wv"] | None, count: int, network: Network, features: Features
) -> tuple[Prompt, ...]:
    """`count` clicks in turn, each with those before it; from a box on, they come after it.

    The first one is in the middle of the object, each further one in the middle of what is most wrong of the mask that
    the clicks before it gave. There are fewer where nothing is wrong any more. The network alone is asked, so that all
    trackers are told the same. Raises InputError where the true mask is not known or empty.
    """
    if truth is None or not truth.any():
        raise InputError(
            "protocol.clicks needs the true mask of an object to click at: give data with masks, or clicks=0"
        )
    prompts = [start] if start.box is not None else []
    points: list[Point] = []
    labels: list[int] = []
    shown, previous = np.zeros_like(truth), None
    for turn in range(len(prompts) + count):
        if turn >= len(prompts):
            if (shown == truth).all():
                break
            point, label = next_click(truth, shown)
            points.append(point)
            labels.append(label)
            prompts.append(Prompt(None, start.box, tuple(points), tuple(labels), refine=bool(prompts)))
        logits = network.prompt(features, prompts[-1:], None, previous).logits[:, 0]
        previous = logits
        shown = (upsample(logits, features.video_size)[0] > 0).cpu().numpy()
    return tuple(prompts)


def next_click(truth: Bool[np.ndarray, "H W"], shown: Bool[np.ndarray, "H W"]) -> tuple[Point, int]:
    """Point (x, y) and label: furthest inside what is missing (1), or inside what is too much (0) where that is deeper.

    RITM's rule (Sofiiuk et al. 2021, arXiv:2102.06583), by which SAM 2 is trained and evaluated interactively. Raises
    ValueError where nothing is wrong.
    """
    missing, surplus = (_depth(truth & ~shown), _depth(shown & ~truth))
    inside = missing.max() > surplus.max()
    depth = missing if inside else surplus
    if not depth.any():
        raise ValueError("a mask that is right has nothing to click at")
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return (float(x), float(y)), int(inside)


def _depth(region: Bool[np.ndarray, "H W"]) -> np.ndarray:
    """Distance of each pixel to the nearest one outside; outside the picture is outside."""
    return cv2.distanceTransform(np.pad(region, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
