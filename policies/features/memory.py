"""A memory with the evidence for it, and what a choice among several sees of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log1p

import numpy as np
from jaxtyping import Float

from framework.types import Entry
from policies.features.attention import AttentionStats
from policies.features.frame import FeatureRow

HELD = ("age", "gap", "trust", "after", "redundancy", "nominee")
"""What is known of a held memory beside its frame's features: log frames since, log frames since the one before, the
verdict on it and on the frames that followed, its closest likeness among the others, whether it asks to be let in."""
ATTENTION_STATS = ("heed", "reads")
"""The same where attention is measured: mean share that the object's tokens paid it, log times it was read while the
object was seen."""


@dataclass(frozen=True, slots=True)
class MemoryFeatures:
    """A memory with the evidence for it."""

    entry: Entry
    row: FeatureRow
    trust: float
    """Probability that its mask is right."""
    look: Float[np.ndarray, " C"]
    after: tuple[float, ...] = ()
    """Trust in the frames that followed."""
    heed: float = 0.0
    """Sum of the shares of attention that it was paid."""
    reads: int = 0

    def heeded(self, heed: AttentionStats) -> "MemoryFeatures":
        """With what it was paid on one more frame, if it was read there."""
        share = heed.of.get(self.entry.frame)
        return self if share is None else replace(self, heed=self.heed + share, reads=self.reads + 1)


def elements(choice: Sequence[MemoryFeatures], now: int, attention: bool = False) -> list[FeatureRow]:
    """What is seen of the candidates, oldest first, the nominee last: each one's row, `HELD` and, with `attention`,
    `ATTENTION_STATS`; `now` is the frame's number.
    """
    looks = np.stack([kept.look for kept in choice])
    likeness = looks @ looks.T
    np.fill_diagonal(likeness, -1.0)
    before = [choice[0].entry.frame, *(kept.entry.frame for kept in choice)]
    return [
        (
            *kept.row,
            log1p(now - kept.entry.frame),
            log1p(kept.entry.frame - previous),
            kept.trust,
            sum(kept.after) / len(kept.after) if kept.after else kept.trust,
            alike,
            float(kept is choice[-1]),
            *((kept.heed / max(kept.reads, 1), log1p(kept.reads)) if attention else ()),
        )
        for kept, previous, alike in zip(choice, before, likeness.max(axis=1).tolist(), strict=False)
    ]
