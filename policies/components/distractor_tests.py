"""When a frame tells the target apart from a rival: HiM2SAM's two rules for long-term memory."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

from framework.types import Outcome
from policies.components.mask_sizes import hypotheses, relative_size
from policies.components.regions import Region, box_test, contour_test, distractor_regions


@dataclass(frozen=True)
class DistractorTest(ABC):
    """When a frame shows the target told apart from a rival and may enter long-term memory.

    Tracking must be reliable: predicted IoU above `min_iou`, size within `size_change` of the typical one.
    """

    min_iou: float = 0.8
    size_change: float = 0.25

    def admits(self, outcome: Outcome, chosen: Region, sizes: Sequence[int]) -> bool:
        """`sizes` are those of the last masks, the chosen one's included; all in pixels of the same grid."""
        typical = relative_size(sizes)
        return (
            typical is not None
            and outcome.scores.iou > self.min_iou
            and 1 - self.size_change <= typical <= 1 + self.size_change
            and self.rivalled(outcome, chosen)
        )

    @abstractmethod
    def rivalled(self, outcome: Outcome, chosen: Region) -> bool:
        """Whether another hypothesis holds something else."""


@dataclass(frozen=True)
class ContourTest(DistractorTest):
    """The largest region of a rival reaches further from the chosen mask's contour than `distance` diameters.

    A diameter is that of the disc of equal area. The best predicted IoU must be more than `lead` times the second,
    and the agreement with the motion model, where it spoke, above `min_motion`.
    """

    distance: float = 2.0
    lead: float = 1.5
    min_motion: float = 0.8

    def rivalled(self, outcome: Outcome, chosen: Region) -> bool:
        *_, second, first = 0.0, *sorted(outcome.candidates.iou[0].tolist())
        motion = outcome.scores.motion
        if not first > self.lead * second or (motion is not None and not motion > self.min_motion):
            return False
        limit = self.distance * 2 * sqrt(chosen.area / pi)
        found = distractor_regions(hypotheses(outcome), outcome.choice, chosen)
        return contour_test(chosen, found, limit)


@dataclass(frozen=True)
class BoxTest(DistractorTest):
    """The box of the chosen mask overlaps the one around it and a rival's largest region by `max_overlap` at most.

    Published with ``quirks=True``: a rival is all of its non-zero logits, so nearly every frame passes.
    """

    size_change: float = 0.2
    max_overlap: float = 0.7
    quirks: bool = False

    def rivalled(self, outcome: Outcome, chosen: Region) -> bool:
        found = distractor_regions(hypotheses(outcome), outcome.choice, chosen, loose=self.quirks)
        return box_test(chosen, found, self.max_overlap)
