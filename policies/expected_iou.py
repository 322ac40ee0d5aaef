"""A frame is remembered if object score and predicted IoU together say that its mask is good."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import tanh

from framework.types import Entry, Outcome, Reason
from policies.components.bank import Bank
from policies.skip_absent import SkipAbsent


@dataclass(frozen=True)
class ExpectedIou(SkipAbsent):
    """Keeps the frames whose expected IoU, presence probability times predicted IoU, is above `threshold`."""

    threshold: float = 0.5

    def keeps(self, entry: Entry, outcome: Outcome) -> bool:
        return expected_iou(entry) > self.threshold

    def explain(self, state: Bank, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return [Reason("remember", "expected IoU", expected_iou(entry), ">", self.threshold)]


def expected_iou(entry: Entry) -> float:
    """Presence probability times predicted IoU, 0..1."""
    return entry.scores.iou * (1 + tanh(entry.scores.presence / 2)) / 2
