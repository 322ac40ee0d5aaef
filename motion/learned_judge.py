"""A learned judge of hypotheses: which mask is the object, by its looks, its place and the network's own opinion."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from framework.defaults import NoMotion
from framework.interfaces import MotionModel
from framework.ops.features.estimator import IouEstimator
from framework.ops.features.history import TargetHistory
from framework.ops.features.hypotheses import HypothesisFeatures, describe
from framework.ops.features.relative import RelativeFeatures, compare, follow
from framework.types import Candidates, Cue, Features, Outcome

WEIGHTS = Path(__file__).parent / "weights" / "learned_judge.pt"


@dataclass(frozen=True, slots=True)
class JudgeState:
    """What is known of the object, and the hypotheses being judged."""

    target: TargetHistory = TargetHistory()
    hypotheses: HypothesisFeatures | None = None
    relative: RelativeFeatures | None = None
    """How these compare with what is known; None where there was nothing to choose."""


class LearnedJudge(nn.Module, MotionModel[JudgeState]):
    """Agreement is the IoU that a small network estimates of each hypothesis by `framework/ops/features/relative.py`.

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
        self.estimator = IouEstimator()
        if checkpoint != "untrained":
            self.estimator.load(Path(checkpoint) if checkpoint else WEIGHTS, "judge")
        self.eval().requires_grad_(False)

    def init(self) -> JudgeState:
        return JudgeState()

    def score(self, state: JudgeState, features: Features, candidates: Candidates) -> tuple[JudgeState, Cue | None]:
        hypotheses = describe(candidates, features)
        relative = compare(state.target, hypotheses)
        if relative is None or not self.weight:
            return JudgeState(state.target, hypotheses, relative), None
        cue = Cue(self.estimator.estimate(relative.rows), self.weight)
        return JudgeState(state.target, hypotheses, relative), cue

    def update(self, state: JudgeState, features: Features, outcome: Outcome) -> JudgeState:
        hypotheses = describe(outcome.candidates, features)
        if outcome.scores.prompted or hypotheses is not state.hypotheses:  # prompted or corrected since
            return JudgeState(TargetHistory.begin(hypotheses.mask(outcome.choice)))
        return replace(state, target=follow(state.target, hypotheses, state.relative, outcome.choice))

    def initial_rule(self) -> NoMotion:
        """What tracks the videos that learning starts from: the network chooses."""
        return NoMotion()

    def checkpoint(self) -> dict[str, Any]:
        """The weights with the names of their inputs."""
        return self.estimator.checkpoint()
