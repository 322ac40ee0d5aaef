"""Which tracked frames may be remembered: the gates of SAMURAI, SAM2Long, SAM 3 and of what was built on them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from framework.types import Entry, Outcome, Reason
from policies.components.bank import passes, passing


class Gate(ABC):
    """Judges a tracked frame once, when it is written."""

    @abstractmethod
    def admits(self, entry: Entry, outcome: Outcome) -> bool:
        """Whether the frame is a candidate for being read later."""

    def explain(self, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        """The numbers that `admits` goes by."""
        return ()


@dataclass(frozen=True)
class Thresholds(Gate):
    """Predicted IoU above `min_iou`, object score above `min_presence` (a logit; 0 is a probability of one half) and,
    where the motion model spoke, agreement above `min_motion` (None does not ask).
    """

    min_iou: float = 0.5
    min_presence: float = 0.0
    min_motion: float | None = 0.0

    def admits(self, entry: Entry, outcome: Outcome) -> bool:
        return passes(entry.scores, self.min_iou, self.min_presence, self.min_motion)

    def explain(self, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return passing(entry.scores, self.min_iou, self.min_presence, self.min_motion)


@dataclass(frozen=True)
class VisibleIou(Gate):
    """SAM 3's: `visible_iou` above `threshold`, whichever mask was chosen."""

    threshold: float = 0.01

    def admits(self, entry: Entry, outcome: Outcome) -> bool:
        return visible_iou(outcome) > self.threshold

    def explain(self, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return [Reason("trust", "presence times best predicted IoU", visible_iou(outcome), ">", self.threshold)]


def visible_iou(outcome: Outcome) -> float:
    """How sure the object is on screen, (2 sigmoid(o) - 1) for a positive object score and else 0, times the best
    predicted IoU of all hypotheses; 0..1.
    """
    seen = outcome.candidates
    return float((2 * torch.sigmoid(seen.presence[0].float()) - 1).clamp_min(0) * seen.iou.max())
