"""ReSurgSAM2's memory: the last frames, and long-term ones that differ from one another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.interfaces import MemoryPolicy
from framework.types import ANCHOR, Entry, Outcome, Query, Read, Reason
from policies.components.bank import POINTERS, SLOTS, Bank, at_anchor, last, passing
from policies.sam2 import Sam2


@dataclass(frozen=True, slots=True)
class DiverseState:
    """SAM2's bank beside the long-term memory."""

    bank: Bank = Bank()
    pool: tuple[Entry, ...] = ()
    """Frames of which one will be promoted, oldest first."""
    long: tuple[Entry, ...] = ()
    """Long-term frames, oldest first."""


@dataclass(frozen=True)
class ReSurgSam2(MemoryPolicy[DiverseState]):
    """Diversity-driven long-term memory (Liu et al., MICCAI 2025, arXiv:2505.08581).

    Frames on which the object is seen with a predicted IoU above `min_iou` join a pool. When it holds `pool` of them,
    the one whose memory is least similar to that of the last long-term frame (at first of the last prompt) is promoted,
    and the pool starts anew. The last `long` promoted frames are read as anchors, and SAM2's last `slots` frames
    beside them; a frame that is both is read as an anchor.
    """

    slots: int = SLOTS
    pointers: int = POINTERS
    min_iou: float = 0.95
    pool: int = 5
    long: int = 3

    def __post_init__(self) -> None:
        if self.slots < 0 or self.pointers < 0 or self.pool < 1 or self.long < 0:
            raise ValueError("resurgsam2 needs slots >= 0, pointers >= 0, pool >= 1 and long >= 0")

    @property
    def short(self) -> Sam2:
        """The short-term memory."""
        return Sam2(self.slots, pointers=self.pointers)

    def init(self) -> DiverseState:
        return DiverseState()

    def read(self, state: DiverseState, query: Query) -> Read:
        read, long = self.short.read(state.bank, query), {entry.frame for entry in state.long}
        prompts = [item for item in read.spatial if item[1] == ANCHOR]
        recent = [item for item in read.spatial if item[1] != ANCHOR and item[0].frame not in long]
        return replace(read, spatial=(*prompts, *at_anchor(state.long), *recent))

    def write(self, state: DiverseState, entry: Entry, outcome: Outcome) -> DiverseState:
        bank = self.short.write(state.bank, entry, outcome)
        if entry.scores.prompted:
            pool, long = ([e for e in part if e.frame != entry.frame] for part in (state.pool, state.long))
            return DiverseState(bank, tuple(pool), tuple(long))
        if entry.scores.iou <= self.min_iou or entry.scores.presence <= 0:
            return replace(state, bank=bank)
        pool = [*state.pool, entry]
        if len(pool) < self.pool:
            return replace(state, bank=bank, pool=tuple(pool))
        reference = [*bank.anchors, *state.long][-1:]
        similar = outcome.similarity(reference[0], pool) if reference else (0.0,) * len(pool)
        different = min(range(len(pool)), key=similar.__getitem__)
        return DiverseState(bank, (), tuple(last((*state.long, pool[different]), self.long)))

    def entries(self, state: DiverseState) -> Sequence[Entry]:
        return (*state.bank.entries(), *state.pool, *state.long)

    def explain(self, state: DiverseState, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return passing(entry.scores, self.min_iou, 0.0, None)
