"""Any policy, with the evidence that a learned one would have decided by: how its training records are made."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read
from policies.features.attention import attention_stats
from policies.features.frame import FeatureRow, History


@dataclass(frozen=True, slots=True)
class Recorded:
    """The policy's own state beside the trail of evidence."""

    memory: Any
    trail: History = History()


@dataclass(frozen=True)
class Recorder(MemoryPolicy[Recorded]):
    """Remembers and reads as `policy` does, which may not measure attention or see the truth; with `attention` the
    evidence is on that, too.
    """

    policy: MemoryPolicy
    attention: bool = False

    def __post_init__(self) -> None:
        if self.policy.measures or self.policy.privileged:
            raise ValueError("witness watches policies that neither measure attention nor see the truth")

    @property
    def measures(self) -> bool:
        return self.attention

    def init(self) -> Recorded:
        return Recorded(self.policy.init())

    def read(self, state: Recorded, query: Query) -> Read:
        return self.policy.read(state.memory, query)

    def write(self, state: Recorded, entry: Entry, outcome: Outcome) -> Recorded:
        trail = state.trail.observe(entry, outcome, attention_stats(outcome) if self.attention else None)
        return replace(state, memory=self.policy.write(state.memory, entry, outcome), trail=trail)

    def entries(self, state: Recorded) -> Sequence[Entry]:
        return self.policy.entries(state.memory)

    def evidence(self, state: Recorded) -> FeatureRow | None:
        """On the last frame; None if it was prompted."""
        return state.trail.evidence
