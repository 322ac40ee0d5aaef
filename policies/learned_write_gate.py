"""A learned write gate: a frame is remembered if a small network takes its mask to be right."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from framework.interfaces import MemoryPolicy
from framework.ops import plugin_weights
from framework.types import Entry, Outcome, Query, Read, Reason, all_hold
from policies.components.bank import POINTERS, SLOTS, Bank, by_rank, keep_pointers, last, pointers_by_rank, read_bank
from policies.components.set_classifier import SetClassifier
from policies.features.frame import FEATURES, GROUPS, FeatureRow, History
from policies.prompt_bias import with_prompt_bias

WEIGHTS = Path(__file__).parent / "weights" / "learned_write_gate.pt"


@dataclass(frozen=True, slots=True)
class WriteGateState:
    """`bank.recent` holds the trusted frames, the last few of them whole."""

    bank: Bank = Bank()
    history: History = History()
    reasons: tuple[Reason, ...] = ()
    """For or against remembering the last frame."""


class LearnedWriteGate(nn.Module, MemoryPolicy[WriteGateState]):
    """Remembers the last `slots` frames on which the object is seen and trusted.

    A frame is trusted if its mask is right (IoU >= .7 in the shipped weights) with a probability above `threshold`, by
    the features of the last ten frames, its own the newest (`policies/features/frame.py`). Slots and pointer distances
    count trusted frames.

    Args:
        checkpoint: weights and the features they were trained on; None for those in the repository, "untrained" for
            none.
        threshold: None trusts every frame on which the object is seen.
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
        self.classifier = SetClassifier(len(FEATURES))
        if checkpoint != "untrained":
            path = Path(checkpoint) if checkpoint else WEIGHTS
            plugin_weights.load(self.classifier, path, FEATURES, "write_gate")
        self.eval().requires_grad_(False)

    def init(self) -> WriteGateState:
        return WriteGateState()

    def read(self, state: WriteGateState, query: Query) -> Read:
        recent = by_rank(last(state.bank.recent, self.slots))
        return with_prompt_bias(read_bank(state.bank, recent, query, self.pointers, pointers_by_rank), self.prompt_bias)

    def write(self, state: WriteGateState, entry: Entry, outcome: Outcome) -> WriteGateState:
        history = state.history.observe(entry, outcome)
        if entry.scores.prompted:
            return WriteGateState(state.bank.anchor(entry), history)
        reasons = self._reasons(entry, history)
        if not all_hold(reasons):
            return WriteGateState(state.bank, history, reasons)
        recent = keep_pointers((*state.bank.recent, entry), self.slots, self.pointers)
        return WriteGateState(state.bank.keep(recent), history, reasons)

    def entries(self, state: WriteGateState) -> Sequence[Entry]:
        return state.bank.entries()

    def explain(self, state: WriteGateState, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return state.reasons

    def features(self, state: WriteGateState) -> FeatureRow | None:
        """Of the last frame; None if it was prompted."""
        return state.history.features

    def checkpoint(self) -> dict[str, Any]:
        """The weights with the names of their inputs."""
        return plugin_weights.checkpoint(self.classifier, FEATURES)

    def initial_rule(self) -> "LearnedWriteGate":
        """The rule that learning starts from, whatever the weights: trusts what is seen."""
        rule = copy.deepcopy(self)
        rule.threshold = None
        for weights in rule.classifier.parameters():
            weights.data.zero_()
        rule.classifier.used.fill_(1)  # or rollouts by the rule would be made again for every ablation
        return rule

    def ignore(self, groups: Sequence[str]) -> None:
        """Leaves out the features of these groups (`policies.features.frame.GROUPS`), for an ablation."""
        if unknown := set(groups) - set(GROUPS):
            raise ValueError(f"feature groups {sorted(unknown)} are unknown: choose among {', '.join(GROUPS)}")
        left_out = {name for group in groups for name in GROUPS[group]}
        self.classifier.used.copy_(torch.tensor([name not in left_out for name in FEATURES]))

    def _reasons(self, entry: Entry, history: History) -> tuple[Reason, ...]:
        """Whether the object is seen, and if so whether the mask of the last frame is likely to be right."""
        seen = (
            Reason("remember", "cells of the mask", entry.scores.area, ">", 0),
            Reason("remember", "object score", entry.scores.presence, ">", 0),
        )
        if self.threshold is None or not all_hold(seen):
            return seen
        logits = self.classifier.on_host(np.array(history.rows, dtype=np.float32)).tolist()
        shares = [exp(logit - max(logits)) for logit in logits]
        right = shares[SetClassifier.RIGHT] / sum(shares)
        return (*seen, Reason("remember", "probability of being right", right, ">", self.threshold))
