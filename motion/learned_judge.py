"""A learned judge of hypotheses: which mask is the object, by its looks, its place and the network's own opinion."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import nn

from framework.interfaces import MotionModel
from framework.ops import plugin_weights as trained
from framework.types import Candidates, Cue, Features, Outcome
from motion.components.judge import Judge
from motion.features.hypotheses import HypothesisFeatures, describe
from motion.features.relative import FEATURES, GROUPS, RelativeFeatures, compare
from motion.features.target import TargetModel

WEIGHTS = Path(__file__).parent / "weights" / "learned_judge.pt"


@dataclass(frozen=True, slots=True)
class JudgeState:
    """What is known of the object, and the hypotheses being judged."""

    target: TargetModel = TargetModel()
    hypotheses: HypothesisFeatures | None = None
    relative: RelativeFeatures | None = None
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
        hypotheses = describe(candidates, features)
        if state.target.mean is None or not any(hypotheses.areas):
            return JudgeState(state.target, hypotheses), None
        relative = compare(state.target, hypotheses, candidates)
        cue = Cue(self.judge.expect(relative.rows), self.weight) if self.weight else None
        return JudgeState(state.target, hypotheses, relative), cue

    def update(self, state: JudgeState, features: Features, outcome: Outcome) -> JudgeState:
        candidates, hypotheses, target = outcome.candidates, state.hypotheses, state.target
        if candidates.iou.shape[1] == 1:
            return JudgeState(TargetModel.begin(describe(candidates, features).mask(0)))
        assert hypotheses is not None
        association = state.relative and state.relative.association
        tracklets = association.update(hypotheses, outcome.choice) if association else target.tracklets
        return replace(state, target=target.update(hypotheses.mask(outcome.choice), tracklets))

    def rows(self, state: JudgeState) -> Float32[np.ndarray, "M inputs"] | None:
        """Features of the hypotheses of the last frame; None where there was nothing to choose."""
        return state.relative.rows if state.relative else None

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
