"""Any policy, with the features that a learned write gate would have decided by: how its training records are made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from framework.interfaces import Wrapped
from framework.types import Entry, Outcome, Query, Read, Reason
from policies.features.frame import FeatureRow, History


@dataclass(frozen=True, slots=True)
class Recorded:
    """The policy's own state beside the features of the last frames."""

    memory: Any
    history: History = History()


@dataclass(frozen=True)
class Recorder(Wrapped[Any]):
    """Remembers and reads as `policy` does, which may not measure attention or see the truth."""

    def __post_init__(self) -> None:
        if self.measures or self.privileged:
            raise ValueError("recorder takes policies that neither measure attention nor see the truth")

    def init(self) -> Recorded:
        return Recorded(super().init())

    def read(self, state: Recorded, query: Query) -> Read:
        return super().read(state.memory, query)

    def write(self, state: Recorded, entry: Entry, outcome: Outcome) -> Recorded:
        return Recorded(super().write(state.memory, entry, outcome), state.history.observe(entry, outcome))

    def entries(self, state: Recorded) -> Sequence[Entry]:
        return super().entries(state.memory)

    def explain(self, state: Recorded, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return super().explain(state.memory, entry, outcome)

    def features(self, state: Recorded) -> FeatureRow | None:
        """Of the last frame; None if it was prompted."""
        return state.history.features
