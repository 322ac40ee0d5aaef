"""A learned judge of hypotheses: which mask is the object, by its looks, its place and the network's own opinion."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import tanh
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from framework.interfaces import MotionModel
from framework.ops import plugin_weights as trained
from framework.ops.plugin_weights import HostWeights
from framework.ops.vectors import standardised
from framework.types import Candidates, Cue, Features, Outcome
from motion.features.hypotheses import HypothesisFeatures, describe
from motion.features.kernels import judged
from motion.features.relative import FEATURES, GROUPS, KnownObject, RelativeFeatures

WEIGHTS = Path(__file__).parent / "weights" / "learned_judge.pt"
UNUSUAL = 6.0
"""Deviations beyond which an input is cut off, so that no network or video is too strange."""


class Judge(nn.Module):
    """Logit of the IoU that a mask has with the object, from its features; those whose `used` is 0 are ignored."""

    def __init__(self, inputs: int = len(FEATURES), width: int = 64, dropout: float = 0.3) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.used: Tensor
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.register_buffer("used", torch.ones(inputs))
        first = nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)
        second = nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout)
        self.layers = nn.Sequential(*first, *second, nn.Linear(width, 1))
        self._weights, self._host = tuple(self.layers.parameters()), HostWeights()

    def forward(self, rows: Float[Tensor, "*b inputs"]) -> Float[Tensor, "*b"]:
        usual = ((rows - self.centre) / self.scale * self.used).clamp(-UNUSUAL, UNUSUAL)
        return self.layers(usual)[..., 0]

    def expect(self, rows: Float32[np.ndarray, "n inputs"]) -> tuple[float, ...]:
        """IoU of each mask, as `forward` gives it in evaluation, by the weights of this moment."""
        centre, scale, used, *weights = self._host.of(self.centre, self.scale, self.used, *self._weights)
        logits = judged(standardised(rows, UNUSUAL, centre, scale, used), *weights)
        return tuple((1 + tanh(logit / 2)) / 2 for logit in logits[:, 0].tolist())


@dataclass(frozen=True, slots=True)
class JudgeState:
    """What is known of the object, and the hypotheses being judged."""

    known: KnownObject = KnownObject()
    sight: HypothesisFeatures | None = None
    found: RelativeFeatures | None = None
    """How these compare with what is known; None where there was nothing to choose."""


class LearnedJudge(nn.Module, MotionModel[JudgeState]):
    """Agreement is the IoU that a small network expects of each hypothesis by `motion/features/relative.py`.

    Trained on what policies go through on training videos (docs/learning.md). Abstains while nothing is known of the
    object and where all masks are empty.

    Args:
        checkpoint: weights and the features they were trained on; None for those in the repository, "untrained" for
            none.
        weight: share of the agreement in the fused score, 0..1; 0 leaves the choice to the network.

    Raises:
        ValueError: a checkpoint that is missing, or trained on other features.
    """

    def __init__(self, checkpoint: str | None = None, weight: float = 0.75) -> None:
        super().__init__()
        if not 0 <= weight <= 1:
            raise ValueError("learned_judge needs 0 <= weight <= 1")
        self.weight = weight
        self.judge = Judge()
        if checkpoint != "untrained":
            trained.load(self.judge, Path(checkpoint) if checkpoint else WEIGHTS, FEATURES, "judge")
        self.eval().requires_grad_(False)

    def init(self) -> JudgeState:
        return JudgeState()

    def score(self, state: JudgeState, features: Features, candidates: Candidates) -> tuple[JudgeState, Cue | None]:
        sight = describe(candidates, features)
        if state.known.mean is None or not any(sight.areas):
            return JudgeState(state.known, sight), None
        found = state.known.compare(sight, candidates)
        cue = Cue(self.judge.expect(found.rows), self.weight) if self.weight else None
        return JudgeState(state.known, sight, found), cue

    def update(self, state: JudgeState, features: Features, outcome: Outcome) -> JudgeState:
        candidates = outcome.candidates
        if candidates.iou.shape[1] == 1:
            return JudgeState(KnownObject.begin(describe(candidates, features).one(0)))
        assert state.sight is not None
        trails = state.found.meeting.after(state.sight, outcome.choice) if state.found else state.known.trails
        return replace(state, known=state.known.after(state.sight.one(outcome.choice), trails))

    def rows(self, state: JudgeState) -> Float32[np.ndarray, "M inputs"] | None:
        """Features of the hypotheses of the last frame; None where there was nothing to choose."""
        return state.found.rows if state.found else None

    def frozen_copy(self) -> "LearnedJudge":
        """One that judges as this one does now, and no longer learns."""
        return copy.deepcopy(self).eval().requires_grad_(False)

    def features_only(self) -> "LearnedJudge":
        """One that describes the hypotheses and says nothing of them, whatever the weights."""
        judge = self.frozen_copy()
        judge.weight = 0.0
        for weights in judge.judge.parameters():
            weights.data.zero_()
        judge.judge.used.fill_(1)  # or rollouts would be made again for every seed and ablation
        return judge

    def ignore(self, groups: Sequence[str]) -> None:
        """Leaves out the features of these groups (`motion.features.relative.GROUPS`), for an ablation."""
        if unknown := set(groups) - set(GROUPS):
            raise ValueError(f"feature groups {sorted(unknown)} are unknown: choose among {', '.join(GROUPS)}")
        left_out = {name for group in groups for name in GROUPS[group]}
        self.judge.used.copy_(torch.tensor([name.removesuffix("_related") not in left_out for name in FEATURES]))

    def checkpoint(self) -> dict[str, Any]:
        """The weights with the names of their inputs."""
        return trained.checkpoint(self.judge, FEATURES)
