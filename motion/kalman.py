"""A Kalman filter on the target's box that agrees or disagrees with each hypothesis (SAMURAI)."""

from dataclasses import dataclass, replace

from framework.interfaces import MotionModel
from framework.ops.boxes import EMPTY_BOX, Corners, box_iou, boxes
from framework.types import Candidates, Cue, Features, Outcome
from motion.components.box_filter import BoxFilter


@dataclass(frozen=True, slots=True, eq=False)
class KalmanState:
    """`boxes` are those of the hypotheses being judged; `stable` counts the trusted frames since the last restart."""

    belief: BoxFilter | None = None
    stable: int = 0
    boxes: tuple[Corners | None, ...] = ()


@dataclass(frozen=True)
class Kalman(MotionModel[KalmanState]):
    """SAMURAI's motion model (Yang et al., 2024, arXiv:2411.11922, section 4.1), in three stages.

    Without a trusted track the filter restarts at the chosen box; until `stable_frames` frames were trusted (predicted
    IoU above `stable_iou`) it only follows; from then on it scores every hypothesis by the IoU of its box with the
    predicted box, and `weight` of the fused score is that agreement. An untrusted frame ends the track. Boxes are
    measured on the network grid.

    Corrected here and published with ``quirks=True``:

    * an empty mask counts as a box at the origin, with height 1, and drags the filter there; here it ends the track,
      and the filter restarts at the next mask;
    * a prompt does not touch the filter; here it restarts at the prompted mask.

    Not reproduced: the published filter lives on the network and survives from one video to the next, and one click,
    unlike a box or a mask, starts it.
    """

    weight: float = 0.15
    """.25 in the published files for SAM 2.1 tiny, small and base+."""
    stable_frames: int = 15
    stable_iou: float = 0.3
    quirks: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1 or self.stable_frames < 1:
            raise ValueError("kalman needs 0 <= weight <= 1 and stable_frames >= 1")

    def init(self) -> KalmanState:
        return KalmanState()

    def follows(self, state: KalmanState) -> bool:
        """Whether there is a track to predict from."""
        return state.belief is not None and state.stable > 0

    def score(self, state: KalmanState, features: Features, candidates: Candidates) -> tuple[KalmanState, Cue | None]:
        found = boxes(candidates.logits[0], (features.image.shape[-2], features.image.shape[-1]))
        empty = EMPTY_BOX if self.quirks else None
        state = replace(state, boxes=tuple(box or empty for box in found))
        if state.belief is None or state.stable == 0:
            return state, None
        state = replace(state, belief=state.belief.predict())
        if state.belief is None or state.stable < self.stable_frames:
            return state, None
        predicted = state.belief.box()
        return state, Cue(tuple(box_iou(predicted, box) for box in state.boxes), self.weight)

    def update(self, state: KalmanState, features: Features, outcome: Outcome) -> KalmanState:
        if outcome.candidates.iou.shape[1] == 1:
            return self._prompted(state, features, outcome)
        box = state.boxes[outcome.choice]
        if box is None:
            return replace(state, stable=0)
        if state.belief is None or state.stable == 0:
            return replace(state, belief=BoxFilter.start(box), stable=1)
        scored, iou = state.stable >= self.stable_frames, outcome.scores.iou
        trusted = iou >= self.stable_iou if scored else iou > self.stable_iou
        if not trusted:
            return replace(state, stable=0)
        return replace(state, belief=state.belief.correct(box), stable=state.stable + (not scored))

    def _prompted(self, state: KalmanState, features: Features, outcome: Outcome) -> KalmanState:
        if self.quirks:
            return state
        (box,) = boxes(outcome.logits[None], (features.image.shape[-2], features.image.shape[-1]))
        return self.init() if box is None else KalmanState(BoxFilter.start(box), 1)
