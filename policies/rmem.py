"""RMem's restricted memory bank: a few frames, those the network attends to and those not tried yet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, sqrt

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read, Reason
from policies.components.bank import POINTERS, SLOTS, Bank, by_rank, pointers_only_except, read_bank


@dataclass(frozen=True, slots=True)
class Tried:
    """A memory and what came of reading it."""

    entry: Entry
    mass: float = 0.0
    """Running mean of its share of the attention that the spatial memories received, 0..1."""
    reads: int = 0


@dataclass(frozen=True, slots=True)
class RMemState:
    """`bank` holds the anchors and, as pointers, the last frames."""

    bank: Bank = Bank()
    tried: tuple[Tried, ...] = ()
    """Oldest first."""
    reasons: tuple[Reason, ...] = ()
    """For the last eviction."""


@dataclass(frozen=True)
class RMem(MemoryPolicy[RMemState]):
    """Relevance and freshness as an upper confidence bound (Zhou et al., CVPR 2024, arXiv:2406.08476, section 3.3).

    Holds at most `slots` frames beside the prompts. When one more arrives, the one with the lowest
    ``mass + bonus * sqrt(log(all reads) / (reads + prior))`` leaves, where mass is an exponential mean (`decay`) of the
    attention it received; the newest frame never does. Slots count ranks; pointers are those of the last frames.
    """

    slots: int = SLOTS
    pointers: int = POINTERS
    decay: float = 0.8
    bonus: float = 1.5
    prior: float = 8.0

    def __post_init__(self) -> None:
        if self.slots < 1 or self.pointers < 0 or self.prior <= 0 or not 0 <= self.decay < 1:
            raise ValueError("rmem needs slots >= 1, pointers >= 0, prior > 0 and 0 <= decay < 1")

    @property
    def measures(self) -> bool:
        return True

    def init(self) -> RMemState:
        return RMemState()

    def read(self, state: RMemState, query: Query) -> Read:
        return read_bank(state.bank, by_rank([memory.entry for memory in state.tried]), query, self.pointers)

    def write(self, state: RMemState, entry: Entry, outcome: Outcome) -> RMemState:
        if entry.scores.prompted:
            tried = tuple(memory for memory in state.tried if memory.entry.frame != entry.frame)
            return RMemState(state.bank.anchor(entry), tried)
        recent = pointers_only_except((*state.bank.recent, entry), (), entry.frame - self.pointers + 1)
        tried = (*self._measured(state, outcome), Tried(entry))
        bank, bounds = state.bank.keep(recent), self._bounds(tried)
        if len(tried) <= self.slots:
            return RMemState(bank, tried)
        worst = min(range(len(bounds)), key=bounds.__getitem__)
        reasons = tuple(
            Reason("evict", "confidence bound", bound, "<=", bounds[worst], memory.entry.frame)
            for bound, memory in zip(bounds, tried, strict=False)
        )
        return RMemState(bank, (*tried[:worst], *tried[worst + 1 :]), reasons)

    def entries(self, state: RMemState) -> Sequence[Entry]:
        return (*state.bank.entries(), *(memory.entry for memory in state.tried))

    def explain(self, state: RMemState, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return state.reasons

    def _measured(self, state: RMemState, outcome: Outcome) -> tuple[Tried, ...]:
        """Memories with the attention they received on this frame."""
        if outcome.reading is None:
            return state.tried
        read = [entry for entry, _ in outcome.read.spatial]
        paid = dict(zip(read, outcome.reading[: len(read)].tolist(), strict=True))
        total = sum(paid.values()) or 1.0
        return tuple(
            replace(
                memory,
                mass=self.decay * memory.mass + (1 - self.decay) * paid[memory.entry] / total,
                reads=memory.reads + 1,
            )
            if memory.entry in paid
            else memory
            for memory in state.tried
        )

    def _bounds(self, tried: Sequence[Tried]) -> list[float]:
        """Upper confidence bounds of all but the newest."""
        total = max(sum(memory.reads for memory in tried), 1)
        return [memory.mass + self.bonus * sqrt(log(total) / (memory.reads + self.prior)) for memory in tried[:-1]]
