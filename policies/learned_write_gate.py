"""A learned memory: which frames to trust, and which of them to keep for long."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from framework.interfaces import MemoryPolicy
from framework.ops import plugin_weights as trained
from framework.types import Entry, Outcome, Query, Read
from policies.components.bank import (
    POINTERS,
    SLOTS,
    Bank,
    at_anchor,
    by_rank,
    keep_pointers,
    pointers_by_rank,
    pointers_of_anchors,
    span,
)
from policies.components.set_scorer import SetScorer
from policies.features.attention import ATTENTION, AttentionStats, attention_stats
from policies.features.frame import FEATURES, GROUPS, FeatureRow, History
from policies.features.memory import ATTENTION_STATS, HELD, MemoryFeatures, elements
from policies.prompt_bias import with_prompt_bias

INPUTS = (*FEATURES, *HELD)
INPUTS_WITH_ATTENTION = (*FEATURES, *ATTENTION, *HELD, *ATTENTION_STATS)
WEIGHTS = Path(__file__).parent / "weights" / "learned_write_gate.pt"


@dataclass(frozen=True, slots=True)
class WriteGateState:
    """`bank.recent` holds the trusted frames, the last few of them whole; `choice` is a decision just taken."""

    bank: Bank = Bank()
    lasting: tuple[MemoryFeatures, ...] = ()
    """The long tier, oldest first."""
    nominee: MemoryFeatures | None = None
    """Waits for the evidence of what follows before it may enter the long tier."""
    trail: History = History()
    newest: MemoryFeatures | None = None
    frames: int = 0
    """Since the last prompt."""
    now: int = 0
    """Number of the last frame."""
    choice: tuple[MemoryFeatures, ...] = ()
    """On frames on which the long tier had to give one up: the candidates, of which `lasting` are those kept."""

    def heeded(self, heed: AttentionStats) -> "WriteGateState":
        """With what each memory was paid on this frame."""
        lasting = tuple(kept.heeded(heed) for kept in self.lasting)
        nominee, newest = (kept and kept.heeded(heed) for kept in (self.nominee, self.newest))
        return replace(self, lasting=lasting, nominee=nominee, newest=newest)


class LearnedWriteGate(nn.Module, MemoryPolicy[WriteGateState]):
    """Recent and lasting memories, both quality-gated, with deferred commit.

    A frame is trusted, and enters the `recent` tier, if the first head gives its mask more than `threshold` to be right
    (IoU >= .7 in the shipped weights), seeing the evidence of the last ten frames, its own the newest
    (`policies/features/frame.py`).
    With a long tier, the newest trusted frame is nominated for it every `every` frames, and `every` frames later,
    when what followed is known, competes with those in it. The oldest leaves, unless the second head finds that giving
    up another one is better by more than `margin`.

    Args:
        checkpoint: weights and the features they were trained on; None for those in the repository, "untrained" for
            none.
        long_tier: memories that outlast the recent ones.
        recent: trusted frames read beside the long tier; None for what it leaves of six memories.
        threshold: None trusts every frame on which the object is seen.
        margin: inf always gives up the oldest.
        attention: measures whose memories the object's tokens read, and decides by that, too.
        prompt_bias: on the attention logits of prompts (`policies/prompt_bias.py`), chosen for the embedded network.

    Raises:
        ValueError: a checkpoint that is missing, or trained on other features.
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        long_tier: int = 0,
        recent: int | None = None,
        every: int = 5,
        pointers: int = POINTERS,
        threshold: float | None = 0.5,
        margin: float = float("inf"),
        prompt_bias: float = -1.0,
        attention: bool = False,
    ) -> None:
        super().__init__()
        recent = SLOTS - long_tier if recent is None else recent
        if recent < 0 or long_tier < 0 or recent + long_tier > SLOTS or every < 1 or pointers < 0:
            raise ValueError(
                f"learned_write_gate needs recent + long_tier <= {SLOTS} memories, every >= 1 and pointers >= 0"
            )
        self.recent, self.long_tier, self.every, self.pointers = recent, long_tier, every, pointers
        self.threshold, self.margin, self.prompt_bias = threshold, margin, prompt_bias
        self.attention = attention
        self.inputs = INPUTS_WITH_ATTENTION if attention else INPUTS
        self.scorer = SetScorer(len(self.inputs))
        if checkpoint != "untrained":
            trained.load(self.scorer, Path(checkpoint) if checkpoint else WEIGHTS, self.inputs, "write_gate")
        self.eval().requires_grad_(False)

    @property
    def measures(self) -> bool:
        return self.attention

    def init(self) -> WriteGateState:
        return WriteGateState()

    def read(self, state: WriteGateState, query: Query) -> Read:
        bank, reach = state.bank, span(query, self.pointers)
        held = {kept.entry.frame: kept.entry for kept in state.lasting}
        held |= {entry.frame: entry for entry in bank.recent if entry.features is not None}
        read = Read(
            spatial=(*at_anchor(bank.anchors), *by_rank([held[frame] for frame in sorted(held)])),
            pointers=(*pointers_of_anchors(bank.anchors, query), *pointers_by_rank(bank.recent, reach)),
            pointer_span=reach,
        )
        return with_prompt_bias(read, self.prompt_bias)

    def write(self, state: WriteGateState, entry: Entry, outcome: Outcome) -> WriteGateState:
        heed = attention_stats(outcome) if self.measures else None
        trail = state.trail.observe(entry, outcome, heed)
        if entry.scores.prompted:
            return replace(state, bank=state.bank.anchor(entry), trail=trail, frames=0, choice=())
        trust = self.trust(trail)
        seen = entry.scores.area > 0 and entry.scores.presence > 0
        trusted = seen and (self.threshold is None or trust > self.threshold)
        bank, newest = state.bank, state.newest
        if trusted:
            assert trail.newest is not None
            bank = bank.keep(keep_pointers((*bank.recent, entry), self.recent, self.pointers))
            newest = MemoryFeatures(entry, trail.rows[-1], trust, trail.newest.look)
        nominee = state.nominee and replace(state.nominee, after=(*state.nominee.after, trust)[: self.every])
        state = WriteGateState(bank, state.lasting, nominee, trail, newest, state.frames + 1, entry.frame)
        state = state.heeded(heed) if heed else state
        return self._commit(state) if self.long_tier and state.frames % self.every == 0 else state

    def entries(self, state: WriteGateState) -> Sequence[Entry]:
        held = [kept.entry for kept in (*state.lasting, state.nominee, state.newest) if kept is not None]
        return (*state.bank.entries(), *(entry for entry in held if entry not in state.bank.recent))

    def checkpoint(self) -> dict[str, Any]:
        """The weights with the names of their inputs."""
        return trained.checkpoint(self.scorer, self.inputs)

    def by_rule(self) -> "LearnedWriteGate":
        """The rule that learning starts from, whatever the weights: trusts what is seen, gives up the oldest."""
        rule = copy.deepcopy(self)
        rule.threshold, rule.margin = None, float("inf")
        for weights in rule.scorer.parameters():
            weights.data.zero_()
        rule.scorer.used.fill_(1)  # or rollouts by the rule would be made again for every ablation
        return rule

    def ignore(self, groups: Sequence[str]) -> None:
        """Leaves out the features of these groups (`policies.features.frame.GROUPS`), for an ablation."""
        known = {**GROUPS, "attention": (*ATTENTION, *ATTENTION_STATS)}
        if unknown := set(groups) - set(known):
            raise ValueError(f"feature groups {sorted(unknown)} are unknown: choose among {', '.join(known)}")
        left_out = {name for group in groups for name in known[group]}
        self.scorer.used.copy_(torch.tensor([name not in left_out for name in self.inputs]))

    def trust(self, trail: History) -> float:
        """Probability that the mask of the last frame is right."""
        rows = np.zeros((len(trail.rows), len(self.inputs)), dtype=np.float32)
        rows[:, : len(trail.rows[-1])] = trail.rows
        logits = self.scorer.verdict_on(rows).tolist()
        shares = [exp(logit - max(logits)) for logit in logits]
        return shares[SetScorer.RIGHT] / sum(shares)

    def evidence(self, state: WriteGateState) -> FeatureRow | None:
        """On the last frame; None if it was prompted."""
        return state.trail.evidence

    def candidates(self, state: WriteGateState) -> list[FeatureRow]:
        """What the second head saw of the candidates of the last decision; empty without a decision."""
        return elements(state.choice, state.now, self.measures) if state.choice else []

    def alternatives(self, state: WriteGateState) -> tuple[WriteGateState, ...]:
        """The states that giving up each candidate of the last decision leads to; none without a decision."""
        return tuple(
            replace(state, lasting=tuple(kept for kept in state.choice if kept is not given_up), choice=())
            for given_up in state.choice
        )

    def _commit(self, state: WriteGateState) -> WriteGateState:
        """The nominee enters the long tier and the newest trusted frame is nominated."""
        held = state.lasting if state.nominee is None else (*state.lasting, state.nominee)
        choice = held if len(held) > self.long_tier else ()
        if choice:
            leaving = self._worst(choice, state.now)
            held = tuple(kept for kept in choice if kept is not leaving)
        tried = {kept.entry.frame for kept in (*held, *choice)}
        newest = state.newest if state.newest and state.newest.entry.frame not in tried else None
        return replace(state, lasting=held, nominee=newest, choice=choice)

    def _worst(self, choice: Sequence[MemoryFeatures], now: int) -> MemoryFeatures:
        if self.margin == float("inf"):
            return choice[0]
        rows = elements(choice, now, self.measures)
        worth = self.scorer.rate(torch.tensor(rows, device=self.scorer.centre.device)).tolist()
        least = min(range(len(choice)), key=worth.__getitem__)
        return choice[least] if worth[0] - worth[least] > self.margin else choice[0]
