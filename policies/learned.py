"""A learned memory: which frames to trust, and which of them to keep for long."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log1p
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from framework import trained
from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read
from policies.bank import POINTERS, Bank, anchored, pointers_of_anchors, ranked, span, thin
from policies.evidence import FEATURES, GROUPS, Row, Trail
from policies.prompt_bias import with_prompt_bias
from policies.set_scorer import SetScorer

HELD = ("age", "gap", "trust", "after", "redundancy", "nominee")
"""What is known of a held memory beside its frame's features: log frames since, log frames since the one before, the
verdict on it and on the frames that followed, its closest likeness among the others, whether it asks to be let in."""
INPUTS = (*FEATURES, *HELD)
WEIGHTS = Path(__file__).parent / "weights" / "learned.pt"


@dataclass(frozen=True, slots=True)
class Kept:
    """A memory with the evidence for it."""

    entry: Entry
    row: Row
    trust: float
    """Probability that its mask is right."""
    look: Float[np.ndarray, " C"]
    after: tuple[float, ...] = ()
    """Trust in the frames that followed."""


@dataclass(frozen=True, slots=True)
class LearnedState:
    """`bank.recent` holds the trusted frames, the last few of them whole; `choice` is a decision just taken."""

    bank: Bank = Bank()
    lasting: tuple[Kept, ...] = ()
    """The long tier, oldest first."""
    nominee: Kept | None = None
    """Waits for the evidence of what follows before it may enter the long tier."""
    trail: Trail = Trail()
    newest: Kept | None = None
    frames: int = 0
    """Since the last prompt."""
    now: int = 0
    """Number of the last frame."""
    choice: tuple[Kept, ...] = ()
    """On frames on which the long tier had to give one up: the candidates, of which `lasting` are those kept."""


class Learned(nn.Module, MemoryPolicy[LearnedState]):
    """Recent and lasting memories, both quality-gated, with deferred commit.

    A frame is trusted, and enters the `recent` tier, if the first head gives its mask more than `threshold` to be right
    (IoU >= .7 in the shipped weights), seeing the evidence of this frame and of the last ten (`policies/evidence.py`).
    With a `lasting` tier, the newest trusted frame is nominated for it every `every` frames, and `every` frames later,
    when what followed is known, competes with those in it. The oldest leaves, unless the second head finds that giving
    up another one is better by more than `margin`.

    Args:
        checkpoint: weights and the features they were trained on; None for those in the repository, "untrained" for
            none.
        threshold: None trusts every frame on which the object is seen.
        margin: inf always gives up the oldest.
        prompt_bias: on the attention logits of prompts (`policies/prompt_bias.py`), chosen for the embedded network.

    Raises:
        ValueError: a checkpoint that is missing, or trained on other features.
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        recent: int = 6,
        lasting: int = 0,
        every: int = 5,
        pointers: int = POINTERS,
        threshold: float | None = 0.5,
        margin: float = float("inf"),
        prompt_bias: float = -1.0,
    ) -> None:
        super().__init__()
        if recent < 0 or lasting < 0 or recent + lasting > 6 or every < 1 or pointers < 0:
            raise ValueError("learned needs recent + lasting <= 6 memories, every >= 1 and pointers >= 0")
        self.recent, self.lasting, self.every, self.pointers = recent, lasting, every, pointers
        self.threshold, self.margin, self.prompt_bias = threshold, margin, prompt_bias
        self.scorer = SetScorer(len(INPUTS))
        if checkpoint != "untrained":
            trained.load(self.scorer, Path(checkpoint) if checkpoint else WEIGHTS, INPUTS, "keep")
        self.eval().requires_grad_(False)

    def init(self) -> LearnedState:
        return LearnedState()

    def read(self, state: LearnedState, query: Query) -> Read:
        bank, reach = state.bank, span(query, self.pointers)
        whole_ = {kept.entry.frame: kept.entry for kept in state.lasting}
        whole_ |= {entry.frame: entry for entry in bank.recent if entry.features is not None}
        ranks = tuple((entry, rank) for rank, entry in enumerate(reversed(bank.recent), start=1) if rank <= reach)
        read = Read(
            spatial=(*anchored(bank.anchors), *ranked([whole_[frame] for frame in sorted(whole_)])),
            pointers=(*pointers_of_anchors(bank.anchors, query), *ranks),
            pointer_span=reach,
        )
        return with_prompt_bias(read, self.prompt_bias)

    def write(self, state: LearnedState, entry: Entry, outcome: Outcome) -> LearnedState:
        trail = state.trail.observe(entry, outcome)
        if entry.scores.prompted:
            return replace(state, bank=state.bank.anchor(entry), trail=trail, frames=0, choice=())
        trust = self.trust(trail)
        seen = entry.scores.area > 0 and entry.scores.presence > 0
        trusted = seen and (self.threshold is None or trust > self.threshold)
        bank, newest = state.bank, state.newest
        if trusted:
            assert trail.newest is not None
            bank = bank.keep(thin((*bank.recent, entry), self.recent, self.pointers))
            newest = Kept(entry, trail.rows[-1], trust, trail.newest.look)
        nominee = state.nominee and replace(state.nominee, after=(*state.nominee.after, trust)[: self.every])
        state = LearnedState(bank, state.lasting, nominee, trail, newest, state.frames + 1, entry.frame)
        return self._commit(state) if self.lasting and state.frames % self.every == 0 else state

    def entries(self, state: LearnedState) -> Sequence[Entry]:
        held = [kept.entry for kept in (*state.lasting, state.nominee, state.newest) if kept is not None]
        return (*state.bank.entries(), *(entry for entry in held if entry not in state.bank.recent))

    def checkpoint(self) -> dict[str, Any]:
        """The weights with the names of their inputs."""
        return trained.checkpoint(self.scorer, INPUTS)

    def by_rule(self) -> "Learned":
        """The rule that learning starts from, whatever the weights: trusts what is seen, gives up the oldest."""
        rule = copy.deepcopy(self)
        rule.threshold, rule.margin = None, float("inf")
        for weights in rule.scorer.parameters():
            weights.data.zero_()
        rule.scorer.used.fill_(1)  # or rollouts by the rule would be made again for every ablation
        return rule

    def ignore(self, groups: Sequence[str]) -> None:
        """Leaves out the features of these groups (`policies.evidence.GROUPS`), for an ablation."""
        if unknown := set(groups) - set(GROUPS):
            raise ValueError(f"feature groups {sorted(unknown)} are unknown: choose among {', '.join(GROUPS)}")
        left_out = {name for group in groups for name in GROUPS[group]}
        self.scorer.used.copy_(torch.tensor([name not in left_out for name in INPUTS]))

    def trust(self, trail: Trail) -> float:
        """Probability that the mask of the last frame is right."""
        elements = np.zeros((len(trail.rows), len(INPUTS)), dtype=np.float32)
        elements[:, : len(FEATURES)] = trail.rows
        logits = self.scorer.verdict_on(elements).tolist()
        shares = [exp(logit - max(logits)) for logit in logits]
        return shares[SetScorer.RIGHT] / sum(shares)

    def evidence(self, state: LearnedState) -> Row | None:
        """On the last frame; None if it was prompted."""
        return state.trail.evidence

    def candidates(self, state: LearnedState) -> list[Row]:
        """What the second head saw of the candidates of the last decision; empty without a decision."""
        return elements(state.choice, state.now) if state.choice else []

    def alternatives(self, state: LearnedState) -> tuple[LearnedState, ...]:
        """The states that giving up each candidate of the last decision leads to; none without a decision."""
        return tuple(
            replace(state, lasting=tuple(kept for kept in state.choice if kept is not given_up), choice=())
            for given_up in state.choice
        )

    def _commit(self, state: LearnedState) -> LearnedState:
        """The nominee enters the long tier and the newest trusted frame is nominated."""
        held = state.lasting if state.nominee is None else (*state.lasting, state.nominee)
        choice = held if len(held) > self.lasting else ()
        if choice:
            leaving = self._worst(choice, state.now)
            held = tuple(kept for kept in choice if kept is not leaving)
        tried = {kept.entry.frame for kept in (*held, *choice)}
        newest = state.newest if state.newest and state.newest.entry.frame not in tried else None
        return replace(state, lasting=held, nominee=newest, choice=choice)

    def _worst(self, choice: Sequence[Kept], now: int) -> Kept:
        if self.margin == float("inf"):
            return choice[0]
        worth = self.scorer.rate(torch.tensor(elements(choice, now))).tolist()
        least = min(range(len(choice)), key=worth.__getitem__)
        return choice[least] if worth[0] - worth[least] > self.margin else choice[0]


def elements(choice: Sequence[Kept], now: int) -> list[Row]:
    """What the second head sees of the candidates, oldest first, the nominee last; `now` is the frame's number."""
    looks = np.stack([kept.look for kept in choice])
    likeness = looks @ looks.T
    np.fill_diagonal(likeness, -1.0)
    before = [choice[0].entry.frame, *(kept.entry.frame for kept in choice)]
    return [
        (
            *kept.row,
            log1p(now - kept.entry.frame),
            log1p(kept.entry.frame - previous),
            kept.trust,
            sum(kept.after) / len(kept.after) if kept.after else kept.trust,
            alike,
            float(kept is choice[-1]),
        )
        for kept, previous, alike in zip(choice, before, likeness.max(axis=1).tolist(), strict=False)
    ]
