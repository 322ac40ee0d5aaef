"""Recency over the frames on which the object was seen, written so that each eviction could have gone otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read, Reason
from policies.components.bank import (
    POINTERS,
    SLOTS,
    Bank,
    by_rank,
    last,
    pointers_by_rank,
    pointers_only_except,
    read_bank,
)


@dataclass(frozen=True, slots=True)
class Evictions:
    """`bank.recent` holds the last frames for their pointers alone."""

    bank: Bank = Bank()
    held: tuple[Entry, ...] = ()
    """Spatial memories, oldest first."""
    choice: tuple[Entry, ...] = ()
    """When one had to leave on the last frame: what there was to choose from, of which `held` are those kept."""


@dataclass(frozen=True)
class EvictOldest(MemoryPolicy[Evictions]):
    """Decides as `skip_absent` does, and offers the `alternatives` that an oracle may take instead.

    Holds `slots` frames beside the prompts and gives up the oldest for a new one. Frames whose object score is not
    above `presence` (a logit) are not remembered. Slots and pointer distances count remembered frames.
    """

    slots: int = SLOTS
    pointers: int = POINTERS
    presence: float = 0.0

    def __post_init__(self) -> None:
        if self.slots < 1 or self.pointers < 0:
            raise ValueError("evict_oldest needs slots >= 1 and pointers >= 0")

    def init(self) -> Evictions:
        return Evictions()

    def read(self, state: Evictions, query: Query) -> Read:
        return read_bank(state.bank, by_rank(state.held), query, self.pointers, pointers_by_rank)

    def write(self, state: Evictions, entry: Entry, outcome: Outcome) -> Evictions:
        if entry.scores.prompted:
            return Evictions(state.bank.anchor(entry), tuple(e for e in state.held if e.frame != entry.frame))
        if entry.scores.presence <= self.presence:
            return replace(state, choice=())
        recent = pointers_only_except(last((*state.bank.recent, entry), self.pointers), (), 0)
        held = (*state.held, entry)
        return Evictions(state.bank.keep(recent), held[-self.slots :], held if len(held) > self.slots else ())

    def entries(self, state: Evictions) -> Sequence[Entry]:
        return (*state.bank.entries(), *(state.choice or state.held))

    def explain(self, state: Evictions, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return [Reason("remember", "object score", entry.scores.presence, ">", self.presence)]

    def alternatives(self, state: Evictions) -> tuple[Evictions, ...]:
        """The states that giving up each candidate of the last eviction leads to, the oldest first; () without one."""
        return tuple(
            replace(state, held=tuple(entry for entry in state.choice if entry is not given_up), choice=())
            for given_up in state.choice
        )
