"""A uniform sample of the past: the control that a policy has to beat to claim that its choice matters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read, Reason
from policies.components.bank import POINTERS, SLOTS, Bank, by_rank, read_bank


@dataclass(frozen=True, slots=True)
class Reservoir:
    """A bank whose recent entries are a uniform sample of `seen` frames."""

    bank: Bank = Bank()
    seen: int = 0


@dataclass(frozen=True)
class Random(MemoryPolicy[Reservoir]):
    """Keeps a reservoir of `slots` tracked frames, every past frame equally likely (Vitter 1985, algorithm R).

    Which frame is replaced depends on `seed` and the frame number alone, so equal seeds decide equally.
    """

    slots: int = SLOTS
    pointers: int = POINTERS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.slots < 0 or self.pointers < 0 or self.seed < 0:
            raise ValueError("random needs slots >= 0, pointers >= 0 and seed >= 0")

    def init(self) -> Reservoir:
        return Reservoir()

    def read(self, state: Reservoir, query: Query) -> Read:
        return read_bank(state.bank, by_rank(state.bank.recent), query, self.pointers)

    def write(self, state: Reservoir, entry: Entry, outcome: Outcome) -> Reservoir:
        if entry.scores.prompted:
            return Reservoir(state.bank.anchor(entry), state.seen)
        seen, recent = state.seen + 1, list(state.bank.recent)
        draw = self._draw(entry.frame, seen)
        if len(recent) < self.slots:
            recent.append(entry)
        elif draw < self.slots:
            recent.pop(draw)
            recent.append(entry)
        return Reservoir(state.bank.keep(recent), seen)

    def entries(self, state: Reservoir) -> tuple[Entry, ...]:
        return state.bank.entries()

    def explain(self, state: Reservoir, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return [Reason("remember", f"draw from {state.seen}", self._draw(entry.frame, state.seen), "<", self.slots)]

    def _draw(self, frame: int, seen: int) -> int:
        return int(np.random.default_rng((self.seed, frame)).integers(seen))
