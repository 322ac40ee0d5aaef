"""Every n-th frame: a longer past at the price of a coarser one."""

from collections.abc import Sequence
from dataclasses import dataclass

from framework.types import Entry, Outcome, Reason
from policies.components.bank import Bank
from policies.skip_absent import SkipAbsent


@dataclass(frozen=True)
class EveryNth(SkipAbsent):
    """Remembers the frames whose number is a multiple of `interval`, the object seen or not."""

    interval: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interval < 1:
            raise ValueError("every_nth needs interval >= 1")

    def keeps(self, entry: Entry, outcome: Outcome) -> bool:
        return entry.frame % self.interval == 0

    def explain(self, state: Bank, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return [Reason("remember", f"frame modulo {self.interval}", entry.frame % self.interval, "==", 0)]
