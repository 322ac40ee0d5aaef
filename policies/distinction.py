"""When a frame tells the target apart from a rival: HiM2SAM's two rules for long-term memory."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from jaxtyping import Float

from framework.types import Outcome, Size
from policies.regions import Corners, Region, hypotheses, relative_size
from policies.rivals import rivals, told_apart


@dataclass(frozen=True)
class Distinction(ABC):
    """When a frame shows the target told apart from a rival and may enter long-term memory.

    Tracking must be reliable: predicted IoU above `min_iou`, size within `size_change` of the typical one.
    """

    min_iou: float = 0.8
    size_change: float = 0.25

    def admits(self, outcome: Outcome, chosen: Region, sizes: Sequence[int], grid: Size) -> bool:
        """`sizes` are those of the last masks, the chosen one's included; all in pixels of `grid`."""
        typical = relative_size(sizes)
        return (
            typical is not None
            and outcome.scores.iou > self.min_iou
            and 1 - self.size_change <= typical <= 1 + self.size_change
            and self.rivalled(outcome, chosen, grid)
        )

    @abstractmethod
    def rivalled(self, outcome: Outcome, chosen: Region, grid: Size) -> bool:
        """Whether another hypothesis holds something else."""


@dataclass(frozen=True)
class ContourDistance(Distinction):
    """The largest region of a rival reaches further from the chosen mask's contour than `distance` diameters.

    A diameter is that of the disc of equal area. The best predicted IoU must be more than `lead` times the second,
    and the agreement with the motion model, where it spoke, above `min_motion`.
    """

    distance: float = 2.0
    lead: float = 1.5
    min_motion: float = 0.8

    def rivalled(self, outcome: Outcome, chosen: Region, grid: Size) -> bool:
        *_, second, first = 0.0, *sorted(outcome.candidates.iou[0].tolist())
        motion = outcome.scores.motion
        if not first > self.lead * second or (motion is not None and not motion > self.min_motion):
            return False
        limit = self.distance * 2 * sqrt(chosen.area / pi)
        contour = chosen.contour()
        if not len(contour):
            return False
        found = rivals(hypotheses(outcome), outcome.choice, chosen, grid)
        near = (rival for rival in found if _may_reach(rival.reach, contour, limit))
        largest = (rival.largest_component() for rival in near)
        return any(
            component
            and _may_reach(component.corners, contour, limit)
            and _reaches(component.region().contour(), contour, limit)
            for component in largest
        )


@dataclass(frozen=True)
class BoxOverlap(Distinction):
    """The box of the chosen mask overlaps the one around it and a rival's largest region by `max_overlap` at most.

    Published with ``quirks=True``: a rival is all of its non-zero logits, so nearly every frame passes.
    """

    size_change: float = 0.2
    max_overlap: float = 0.7
    quirks: bool = False

    def rivalled(self, outcome: Outcome, chosen: Region, grid: Size) -> bool:
        found = rivals(hypotheses(outcome), outcome.choice, chosen, grid, loose=self.quirks)
        return told_apart(chosen, found, self.max_overlap)


def _may_reach(box: Corners, contour: Float[np.ndarray, "m 2"], limit: float) -> bool:
    """False if no point of the box, or of its outline, can be further than `limit` from all of the contour."""
    some = contour[:: max(len(contour) // 32, 1)]
    x = np.maximum(some[:, 0] - box.left + 1, box.right + 1 - some[:, 0])
    y = np.maximum(some[:, 1] - box.top + 1, box.bottom + 1 - some[:, 1])
    return bool(np.hypot(x, y).min() > limit)


def _reaches(points: Float[np.ndarray, "n 2"], contour: Float[np.ndarray, "m 2"], limit: float) -> bool:
    """Whether some point is further than `limit` from all of the contour (directed Hausdorff distance > limit).

    Most answers are plain from the distance to the contour's box or to a few of its points.
    """
    beyond = np.maximum(np.maximum(contour.min(axis=0) - points, points - contour.max(axis=0)), 0)
    if (np.hypot(*beyond.T) > limit).any():
        return True
    for count in (8, 64):
        away = _nearest(points, contour[:: max(len(contour) // count, 1)])
        if (_nearest(points[away.argmax()][None], contour) > limit).all():
            return True
        points = points[away > limit]
        if not len(points):
            return False
    return bool((_nearest(points, contour) > limit).any())


def _nearest(points: Float[np.ndarray, "n 2"], contour: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, " n"]:
    """Distance of each point to the closest one of the contour."""
    dx, dy = (points[:, None, axis] - contour[None, :, axis] for axis in (0, 1))
    return np.sqrt((dx * dx + dy * dy).min(axis=1))
