"""The simplest motion model: the box moves on as it moved before."""

from dataclasses import dataclass, replace

from framework.interfaces import MotionModel
from framework.ops.boxes import Corners, box_iou, boxes
from framework.types import Candidates, Cue, Features, Outcome


@dataclass(frozen=True, slots=True)
class VelocityState:
    """Box of the last visible mask, what it moves by per frame, and the boxes of the hypotheses being judged."""

    box: Corners | None = None
    velocity: Corners | None = None
    age: int = 0
    """Frames since `box` was seen."""
    boxes: tuple[Corners | None, ...] = ()

    def predict(self) -> Corners | None:
        """Where the box should be now; None until it was seen to move."""
        if self.box is None or self.velocity is None:
            return None
        left, top, right, bottom = (at + self.age * by for at, by in zip(self.box, self.velocity, strict=True))
        return left, top, right, bottom


@dataclass(frozen=True)
class ConstantVelocity(MotionModel[VelocityState]):
    """Agreement is the IoU with the last box moved on by its smoothed velocity. A baseline of this project.

    `inertia` is the share of the old velocity in the new one; after `patience` frames without a mask the prediction
    is given up, until the target was seen on two frames again.
    """

    weight: float = 0.15
    inertia: float = 0.5
    patience: int = 10

    def __post_init__(self) -> None:
        if not (0 <= self.weight <= 1 and 0 <= self.inertia < 1) or self.patience < 1:
            raise ValueError("constant_velocity needs 0 <= weight <= 1, 0 <= inertia < 1 and patience >= 1")

    def init(self) -> VelocityState:
        return VelocityState()

    def score(
        self, state: VelocityState, features: Features, candidates: Candidates
    ) -> tuple[VelocityState, Cue | None]:
        found = boxes(candidates.logits[0], (features.image.shape[-2], features.image.shape[-1]))
        state = replace(state, age=state.age + 1, boxes=found)
        predicted = state.predict()
        if predicted is None:
            return state, None
        return state, Cue(tuple(box_iou(predicted, box) for box in state.boxes), self.weight)

    def update(self, state: VelocityState, features: Features, outcome: Outcome) -> VelocityState:
        if outcome.candidates.iou.shape[1] == 1:
            (box,) = boxes(outcome.logits[None], (features.image.shape[-2], features.image.shape[-1]))
            return VelocityState(box)
        seen = state.boxes[outcome.choice]
        if seen is None:
            return state if state.age < self.patience else VelocityState()
        if state.box is None:
            return VelocityState(seen)
        old = state.velocity
        moved = [(b - a) / state.age for a, b in zip(state.box, seen, strict=True)]
        if old is not None:
            moved = [self.inertia * a + (1 - self.inertia) * b for a, b in zip(old, moved, strict=True)]
        return VelocityState(seen, (moved[0], moved[1], moved[2], moved[3]))
