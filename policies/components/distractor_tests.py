"""When the target is told from a distractor: what DAM4SAM and HiM2SAM admit long-lasting memories by."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from jaxtyping import Float

from framework.ops.tokens import on_host
from framework.types import Outcome, Reason, all_hold
from policies.components.mask_sizes import relative_size
from policies.components.regions import Region, contour_test, distractor_regions, foreground, least_overlap

SCALE = 4
"""Pixels of the network's input per cell of the mask-logit grid."""


@dataclass(frozen=True, slots=True, eq=False)
class Hypotheses:
    """The masks of one frame, to be judged on a grid of any size."""

    logits: Float[np.ndarray, "M h w"]
    choice: int
    chosen: Region | None
    """None if the chosen mask is empty."""

    @classmethod
    def as_shown(cls, outcome: Outcome) -> "Hypotheses":
        """At video size, with the holes of the chosen mask filled where the tracker fills them."""
        logits = on_host(outcome.candidates.logits[0])
        if outcome.shown is not None:
            logits = logits.copy()
            logits[outcome.choice] = on_host(outcome.shown)
        return cls(logits, outcome.choice, foreground(logits[outcome.choice], outcome.size))

    @classmethod
    def as_predicted(cls, outcome: Outcome) -> "Hypotheses":
        """At the size of the network's input, as the network gave them."""
        logits = on_host(outcome.candidates.logits[0])
        height, width = logits.shape[1:]
        return cls(logits, outcome.choice, foreground(logits[outcome.choice], (SCALE * height, SCALE * width)))

    @property
    def area(self) -> int:
        """Of the chosen mask, in pixels."""
        return 0 if self.chosen is None else self.chosen.area


@dataclass(frozen=True)
class DistractorTest(ABC):
    """Admits frames on which tracking is reliable and another hypothesis holds something else, a distractor.

    Tracking is reliable with a predicted IoU above `min_iou` and a size within `size_change` of the typical one.
    """

    min_iou: float = 0.8
    size_change: float = 0.25

    def judge(self, outcome: Outcome, hypotheses: Hypotheses, sizes: Sequence[int]) -> list[Reason]:
        """A frame is admitted if all of these hold; what comes after one that does not is not looked at.

        `sizes` are those of the last chosen masks, this one's included, on the grid of the hypotheses.
        """
        reasons = self.reliable(outcome, sizes)
        return [*reasons, *self.distractor(outcome, hypotheses)] if all_hold(reasons) else reasons

    def reliable(self, outcome: Outcome, sizes: Sequence[int]) -> list[Reason]:
        """Whether the chosen mask is likely to be the target's."""
        typical = relative_size(sizes)
        if typical is None:
            return [Reason("anchor", "masks to compare the size of", 0, ">", 0)]
        return [
            Reason("anchor", "predicted IoU", outcome.scores.iou, ">", self.min_iou),
            Reason("anchor", "size over the typical one", typical, ">=", 1 - self.size_change),
            Reason("anchor", "size over the typical one", typical, "<=", 1 + self.size_change),
        ]

    @abstractmethod
    def distractor(self, outcome: Outcome, hypotheses: Hypotheses) -> list[Reason]:
        """Whether another hypothesis holds something beside the chosen mask; never if that is empty."""


@dataclass(frozen=True)
class ContourTest(DistractorTest):
    """The largest region of a distractor reaches further from the chosen mask's contour than `distance` diameters.

    A diameter is that of the disc of equal area. The best predicted IoU must be more than `lead` times the second,
    and the agreement with the motion model, where it spoke, above `min_motion`.
    """

    distance: float = 2.0
    lead: float = 1.5
    min_motion: float = 0.8

    def distractor(self, outcome: Outcome, hypotheses: Hypotheses) -> list[Reason]:
        *_, second, first = 0.0, *sorted(outcome.candidates.iou[0].tolist())
        motion, chosen = outcome.scores.motion, hypotheses.chosen
        reasons = [
            Reason("anchor", "pixels of the mask", hypotheses.area, ">", 0),
            Reason("anchor", "best predicted IoU", first, ">", self.lead * second),
        ]
        if motion is not None:
            reasons.append(Reason("anchor", "agreement with the motion model", motion, ">", self.min_motion))
        if chosen is None or not all_hold(reasons):
            return reasons
        limit = self.distance * 2 * sqrt(chosen.area / pi)
        far = contour_test(chosen, distractor_regions(hypotheses.logits, hypotheses.choice, chosen), limit)
        return [*reasons, Reason("anchor", f"distractors further than {limit:.0f} pixels", int(far), ">=", 1)]


@dataclass(frozen=True)
class BoxTest(DistractorTest):
    """The box of the chosen mask overlaps the one around it and a distractor's largest region by `max_overlap` at most.

    HiM2SAM's was published with ``quirks=True``: a distractor is all of its non-zero logits, so nearly every frame
    passes.
    """

    size_change: float = 0.2
    max_overlap: float = 0.7
    quirks: bool = False

    def distractor(self, outcome: Outcome, hypotheses: Hypotheses) -> list[Reason]:
        chosen, overlap = hypotheses.chosen, None
        if chosen is not None:
            found = distractor_regions(hypotheses.logits, hypotheses.choice, chosen, loose=self.quirks)
            overlap = least_overlap(chosen, found)
        if overlap is None:
            return [Reason("anchor", "distractors", 0, ">", 0)]
        return [Reason("anchor", "overlap with the box around a distractor too", overlap, "<=", self.max_overlap)]
