"""No memory at all: every frame is segmented as if it were the first, without a prompt."""

from dataclasses import dataclass

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read


@dataclass(frozen=True)
class NoMemory(MemoryPolicy[None]):
    """Reads nothing and keeps nothing; its state is None. The floor of every table."""

    def init(self) -> None:
        return None

    def read(self, state: None, query: Query) -> Read:
        return Read()

    def write(self, state: None, entry: Entry, outcome: Outcome) -> None:
        return None

    def entries(self, state: None) -> tuple[Entry, ...]:
        return ()
