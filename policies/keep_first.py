"""The prompt and nothing else: what a tracker without any further memory does."""

from dataclasses import dataclass

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read
from policies.components.bank import Bank, read_bank


@dataclass(frozen=True)
class KeepFirst(MemoryPolicy[Bank]):
    """Reads the prompted frames only."""

    def init(self) -> Bank:
        return Bank()

    def read(self, state: Bank, query: Query) -> Read:
        return read_bank(state, (), query)

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        return state.anchor(entry) if entry.scores.prompted else state

    def entries(self, state: Bank) -> tuple[Entry, ...]:
        return state.entries()
