"""A frame is remembered if object score and predicted IoU together say that its mask is good (as in SAM 3)."""

from dataclasses import dataclass
from math import tanh

from framework.types import Entry, Outcome
from policies.skip_absent import SkipAbsent


@dataclass(frozen=True)
class ScoreGate(SkipAbsent):
    """Keeps the frames whose score, presence probability times predicted IoU, is above `threshold`.

    A simplified form of SAM 3's memory selection (Carion et al., 2025, arXiv:2511.16719).
    """

    threshold: float = 0.5

    def keeps(self, entry: Entry, outcome: Outcome) -> bool:
        return score(entry) > self.threshold


def score(entry: Entry) -> float:
    """Presence probability times predicted IoU, 0..1."""
    return entry.scores.iou * (1 + tanh(entry.scores.presence / 2)) / 2
