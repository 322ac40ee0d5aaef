"""The write gate nobody has: remember a frame only if its mask is truly right. An upper bound for learned gates."""

from dataclasses import dataclass

import numpy as np

from framework.types import Entry, Outcome
from policies.components.regions import foreground
from policies.skip_absent import SkipAbsent


@dataclass(frozen=True)
class OracleGate(SkipAbsent):
    """Remembers a frame when the chosen mask has an IoU above `iou` (0..1) with the true one.

    Sees the truth, so it is a bound and not a method. Frames without the object or without annotation are not kept.
    """

    iou: float = 0.7

    @property
    def privileged(self) -> bool:
        return True

    def keeps(self, entry: Entry, outcome: Outcome) -> bool:
        if outcome.truth is None:
            return False
        truth = outcome.truth.cpu().numpy()
        size = int(np.count_nonzero(truth))
        found = foreground(outcome.logits.detach().float().cpu().numpy(), outcome.size) if size else None
        if found is None:
            return False
        shared = found.shared(truth)
        return shared > self.iou * (size + found.area - shared)
