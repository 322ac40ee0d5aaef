"""A learned write gate: a frame is remembered if a small network takes its mask to be right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from framework.interfaces import MemoryPolicy
from framework.ops.features.estimator import IouEstimator
from framework.ops.features.history import TargetHistory
from framework.ops.features.hypotheses import describe
from framework.ops.features.relative import compare, follow
from framework.types import Entry, Outcome, Query, Read, Reason, all_hold
from policies.components.bank import POINTERS, SLOTS, Bank, by_rank, keep_pointers, last, pointers_by_rank, read_bank
from policies.prompt_bias import PromptBias, with_prompt_bias
from policies.skip_absent import SkipAbsent

WEIGHTS = Path(__file__).parent / "weights" / "learned_write_gate.pt"


@dataclass(frozen=True, slots=True)
class WriteGateState:
    """`bank.recent` holds the trusted frames, the last few of them whole."""

    bank: Bank = Bank()
    target: TargetHistory = TargetHistory()
    reasons: tuple[Reason, ...] = ()
    """For or against remembering the last frame."""


class LearnedWriteGate(nn.Module, MemoryPolicy[WriteGateState]):
    """Remembers the last `slots` frames on which the object is seen and its mask is taken to be right.

    That is where a small network estimates an IoU above `threshold` by `framework/ops/features/relative.py`. Slots and
    pointer distances count remembered frames.

    Args:
        checkpoint: weights and the features they were trained on; None for those in the repository, "untrained" for
            none.
        threshold: 0..1; None trusts every frame on which the object is seen.
        prompt_bias: on the attention logits of prompts (`policies/prompt_bias.py`), chosen for the embedded network.

    Raises:
        ValueError: a checkpoint that is missing, or trained on other features.
    """

    slots: int = SLOTS

    def __init__(
        self,
        checkpoint: str | None = None,
        slots: int = SLOTS,
        pointers: int = POINTERS,
        threshold: float | None = 0.5,
        prompt_bias: float = -1.0,
    ) -> None:
        super().__init__()
        if slots < 0 or pointers < 0:
            raise ValueError("learned_write_gate needs slots >= 0 and pointers >= 0")
        self.slots, self.pointers, self.threshold, self.prompt_bias = slots, pointers, threshold, prompt_bias
        self.estimator = IouEstimator()
        if checkpoint != "untrained":
            self.estimator.load(Path(checkpoint) if checkpoint else WEIGHTS, "write_gate")
        self.eval().requires_grad_(False)

    def init(self) -> WriteGateState:
        return WriteGateState()

    def read(self, state: WriteGateState, query: Query) -> Read:
        recent = by_rank(last(state.bank.recent, self.slots))
        return with_prompt_bias(read_bank(state.bank, recent, query, self.pointers, pointers_by_rank), self.prompt_bias)

    def write(self, state: WriteGateState, entry: Entry, outcome: Outcome) -> WriteGateState:
        assert outcome.features is not None
        hypotheses = describe(outcome.candidates, outcome.features)
        if entry.scores.prompted:
            return WriteGateState(state.bank.anchor(entry), TargetHistory.begin(hypotheses.mask(outcome.choice)))
        relative = compare(state.target, hypotheses)
        target = follow(state.target, hypotheses, relative, outcome.choice)
        reasons = [
            Reason("remember", "cells of the mask", entry.scores.area, ">", 0),
            Reason("remember", "object score", entry.scores.presence, ">", 0),
        ]
        if self.threshold is not None and relative and all_hold(reasons):
            estimated = self.estimator.estimate(relative.rows)[outcome.choice]
            reasons.append(Reason("remember", "estimated IoU", estimated, ">", self.threshold))
        if not all_hold(reasons):
            return WriteGateState(state.bank, target, tuple(reasons))
        recent = keep_pointers((*state.bank.recent, entry), self.slots, self.pointers)
        return WriteGateState(state.bank.keep(recent), target, tuple(reasons))

    def entries(self, state: WriteGateState) -> Sequence[Entry]:
        return state.bank.entries()

    def explain(self, state: WriteGateState, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return state.reasons

    def initial_rule(self) -> MemoryPolicy:
        """What tracks the videos that learning starts from: trusts what is seen."""
        return PromptBias(SkipAbsent(slots=self.slots, pointers=self.pointers), self.prompt_bias)

    def checkpoint(self) -> dict[str, Any]:
        """The weights with the names of their inputs."""
        return self.estimator.checkpoint()
