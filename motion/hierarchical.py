"""Linear prediction first, point tracking only where it leaves doubt (HiM2SAM)."""

from dataclasses import dataclass, replace

from framework.interfaces import MotionModel
from framework.types import Candidates, Cue, Features, Outcome
from motion.components.point_refinement import PastFrame, PointRefinement
from motion.kalman import Kalman, KalmanState


@dataclass(frozen=True, slots=True, eq=False)
class HierarchicalState:
    """`past` is newest first; `followed` is the mask the filter follows in place of the chosen one."""

    linear: KalmanState
    past: tuple[PastFrame, ...] = ()
    followed: int | None = None


@dataclass(frozen=True)
class Hierarchical(MotionModel[HierarchicalState]):
    """HiM2SAM's hierarchical motion estimation (Chen et al., 2025, arXiv:2507.07603).

    The Kalman filter gives fused scores u = (1 - a) iou + a s (u = iou while it only follows). Is the best mask
    doubtful (its u below `doubt`, or its IoU below the filter's `stable_iou`), the hypotheses are judged by tracked
    points too: (1 - weight) u + weight r. What is remembered as the motion score is s alone.

    Corrected here and published with ``quirks=True`` (which `linear` and `refinement` have too):

    * while the filter only follows, it is updated with the best mask before refinement even when another one is
      chosen; here with the chosen one.
    """

    linear: Kalman = Kalman()
    refinement: PointRefinement = PointRefinement()
    weight: float = 0.25
    doubt: float = 0.8
    quirks: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError("hierarchical needs 0 <= weight <= 1")

    def init(self) -> HierarchicalState:
        return HierarchicalState(self.linear.init())

    def score(
        self, state: HierarchicalState, features: Features, candidates: Candidates
    ) -> tuple[HierarchicalState, Cue | None]:
        tracking = self.linear.follows(state.linear)
        linear, cue = self.linear.score(state.linear, features, candidates)
        state = replace(state, linear=linear, followed=None)
        if not tracking:
            return state, cue
        iou = tuple(candidates.iou[0].tolist())
        fused = iou if cue is None else cue.fuse(iou)
        best = max(range(len(fused)), key=fused.__getitem__)
        if self.quirks and cue is None:
            state = replace(state, followed=best)
        sure = fused[best] >= self.doubt and (cue is None or iou[best] >= self.linear.stable_iou)
        if sure or not state.past:
            return state, cue
        points = self.refinement.scores(candidates.logits[0], features.image, state.past)
        return state, self._combine(cue, points)

    def _combine(self, cue: Cue | None, points: tuple[float, ...]) -> Cue:
        """One cue for (1 - weight) ((1 - a) iou + a s) + weight r."""
        if cue is None:
            return Cue(points, self.weight, reported=(None,) * len(points))
        linear = (1 - self.weight) * cue.weight
        weight = linear + self.weight
        agreement = tuple(
            (linear * s + self.weight * r) / (weight or 1.0) for s, r in zip(cue.agreement, points, strict=True)
        )
        return Cue(agreement, weight, reported=cue.agreement)

    def update(self, state: HierarchicalState, features: Features, outcome: Outcome) -> HierarchicalState:
        frame = PastFrame(features.image, outcome.logits, features.normalisation)
        if state.followed is not None and outcome.candidates.iou.shape[1] > 1:
            iou = float(outcome.candidates.iou[0, state.followed])
            scores = replace(outcome.scores, iou=iou)
            outcome = replace(outcome, choice=state.followed, scores=scores)
        linear = self.linear.update(state.linear, features, outcome)
        return HierarchicalState(linear, (frame, *state.past)[: self.refinement.window])
