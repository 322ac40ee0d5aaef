"""Surgical SAM 2's memory: SAM2's, less what it says twice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read, Reason
from policies.components.bank import POINTERS, SLOTS, Bank
from policies.sam2 import Sam2


@dataclass(frozen=True, slots=True)
class PrunedState:
    """SAM2's bank, and which of its memories are not read on the next frame."""

    bank: Bank = Bank()
    pruned: tuple[Entry, ...] = ()
    reasons: tuple[Reason, ...] = ()
    """For or against pruning each of those between the newest and the oldest."""


@dataclass(frozen=True)
class SurgicalSam2(MemoryPolicy[PrunedState]):
    """Efficient frame pruning (Liu et al., 2024, arXiv:2408.07931).

    Of the last `slots` frames, between the newest and the oldest, the `drop` whose memories are most similar to the
    newest one's are not read. The others keep the slots of their true distance, and all lend their pointers.
    """

    slots: int = SLOTS
    pointers: int = POINTERS
    drop: int = 2

    def __post_init__(self) -> None:
        if self.slots < 0 or self.pointers < 0 or self.drop < 0:
            raise ValueError("surgical_sam2 needs slots >= 0, pointers >= 0 and drop >= 0")

    @property
    def whole(self) -> Sam2:
        """The memory that is pruned."""
        return Sam2(self.slots, pointers=self.pointers)

    def init(self) -> PrunedState:
        return PrunedState()

    def read(self, state: PrunedState, query: Query) -> Read:
        read = self.whole.read(state.bank, query)
        return replace(read, spatial=tuple(item for item in read.spatial if item[0] not in state.pruned))

    def write(self, state: PrunedState, entry: Entry, outcome: Outcome) -> PrunedState:
        bank = self.whole.write(state.bank, entry, outcome)
        if entry.scores.prompted:
            return replace(state, bank=bank, reasons=())
        held = [known for known in bank.recent if known.features is not None and entry.frame - known.frame < self.slots]
        between = held[1:-1]
        similar = outcome.similarity(entry, between)
        order = sorted(range(len(between)), key=lambda index: -similar[index])
        dropped = order[: self.drop]
        reasons = (
            Reason("prune", "similarity to the newest", similar[index], ">=", similar[dropped[-1]], known.frame)
            for index, known in enumerate(between if dropped else ())
        )
        return PrunedState(bank, tuple(between[index] for index in dropped), tuple(reasons))

    def entries(self, state: PrunedState) -> Sequence[Entry]:
        return state.bank.entries()

    def explain(self, state: PrunedState, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return state.reasons
