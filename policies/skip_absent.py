"""Recency over the frames on which the object was seen: the simplest rule that forgets less during an absence."""

from collections.abc import Sequence
from dataclasses import dataclass

from framework.types import Entry, Outcome, Query, Read, Reason
from policies.components.bank import Bank, by_rank, keep_pointers, last, pointers_by_rank, read_bank
from policies.sam2 import Sam2


@dataclass(frozen=True)
class SkipAbsent(Sam2):
    """Frames whose object score is not above `presence` (a logit) are not remembered.

    Slots and pointer distances count remembered frames, so a memory never leaves the range the network knows.
    """

    presence: float = 0.0

    def read(self, state: Bank, query: Query) -> Read:
        recent = by_rank(last(state.recent, self.slots))
        return read_bank(state, recent, query, self.pointers, pointers_by_rank)

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        if entry.scores.prompted:
            return state.anchor(entry)
        if not self.keeps(entry, outcome):
            return state
        return state.keep(keep_pointers((*state.recent, entry), self.slots, self.pointers))

    def keeps(self, entry: Entry, outcome: Outcome) -> bool:
        """Whether this frame is worth remembering."""
        return entry.scores.presence > self.presence

    def explain(self, state: Bank, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        if type(self).keeps is not SkipAbsent.keeps:
            return ()  # what another rule went by is its own to say
        return [Reason("remember", "object score", entry.scores.presence, ">", self.presence)]
