"""A learned gate on what memory attention reads: a bias for every memory, from what is known about it.

The bias goes into the network's own softmax: 0 leaves a memory as it is, minus infinity is as good as forgetting it.
The gate is trained through memory attention, by `experiments.train learner=read_gate`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from framework.interfaces import MemoryPolicy
from framework.types import ANCHOR, Entry, Outcome, Query, Read, Reason
from policies.components.read_features import ReadHistory
from policies.components.read_gate import ReadGate
from policies.spread import Spread


@dataclass(frozen=True, slots=True)
class ReadGateState:
    """`memory` is the state of the policy that is read; `history` is about the entries it holds whole."""

    memory: Any
    history: ReadHistory = ReadHistory()


@dataclass(frozen=True)
class LearnedReadGate(MemoryPolicy[ReadGateState]):
    """Reads the memories of `policy`, and the pointers of their frames, with the bias that `gate` gives them.

    It comes on top of the policy's own. With a `budget` only so many memories are read, without it: the prompts, then
    those that the gate puts first (the newer one of equals, so that over `Spread` an untrained gate reads what
    `SkipAbsent` does).
    """

    gate: ReadGate
    policy: MemoryPolicy = Spread()
    budget: int | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget < 1:
            raise ValueError("learned_read_gate needs budget >= 1, or null")

    @property
    def privileged(self) -> bool:
        return self.policy.privileged

    @property
    def measures(self) -> bool:
        return self.policy.measures

    @property
    def slots(self) -> int:
        return self.policy.slots

    def init(self) -> ReadGateState:
        return ReadGateState(self.policy.init())

    def read(self, state: ReadGateState, query: Query) -> Read:
        read = self.policy.read(state.memory, query)
        older = [entry for entry, slot in read.spatial if slot == ANCHOR and not entry.scores.prompted]
        bias = self.gate(state.history.features([entry for entry, _ in read.spatial], older, query))
        if self.budget is not None:
            return self._best(read, bias.tolist(), self.budget)
        if not bias.requires_grad and not bias.any():
            return read  # what zeros would do, by the network's own attention
        at = {entry.frame: index for index, (entry, _) in enumerate(read.spatial)}
        pointed = [at.get(entry.frame, len(at)) for entry, _ in read.pointers]
        return read.biased(torch.cat([bias, F.pad(bias, (0, 1))[pointed]]))

    def write(self, state: ReadGateState, entry: Entry, outcome: Outcome) -> ReadGateState:
        memory = self.policy.write(state.memory, entry, outcome)
        held = {other.frame for other in self.policy.entries(memory) if other.features is not None}
        return ReadGateState(memory, state.history.add(entry, outcome, held))

    def entries(self, state: ReadGateState) -> Sequence[Entry]:
        return self.policy.entries(state.memory)

    def explain(self, state: ReadGateState, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return self.policy.explain(state.memory, entry, outcome)

    @staticmethod
    def _best(read: Read, order: Sequence[float], budget: int) -> Read:
        """The read cut down to its first memories, which keep their order, slots and the policy's own weights."""
        worth = [(e.scores.prompted, value, e.frame) for (e, _), value in zip(read.spatial, order, strict=True)]
        chosen = sorted(sorted(range(len(worth)), key=worth.__getitem__, reverse=True)[:budget])
        items = [*chosen, *range(len(worth), len(worth) + len(read.pointers))]
        gain, bias = (None if weights is None else weights[items] for weights in (read.gain, read.bias))
        return replace(read, spatial=tuple(read.spatial[index] for index in chosen), gain=gain, bias=bias)
