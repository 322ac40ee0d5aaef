"""Null objects, so that there is always a motion model and always a selector."""

from collections.abc import Sequence
from dataclasses import dataclass

from framework.interfaces import MotionModel, Selector
from framework.types import Candidates, Cue, Features, Outcome, Pick


@dataclass(frozen=True)
class NoMotion(MotionModel[None]):
    """Always abstains; its state is None."""

    def init(self) -> None:
        return None

    def score(self, state: None, features: Features, candidates: Candidates) -> tuple[None, None]:
        return None, None

    def update(self, state: None, features: Features, outcome: Outcome) -> None:
        return None


@dataclass(frozen=True)
class Greedy(Selector):
    """One branch: the mask with the best (fused) score, the first one on ties."""

    def select(
        self, totals: Sequence[float], candidates: Sequence[Candidates], cues: Sequence[Cue | None]
    ) -> list[Pick]:
        (row,), (cue,) = candidates, cues
        iou = tuple(row.iou[0].tolist())
        scores = iou if cue is None else cue.fuse(iou)
        best = max(range(len(scores)), key=scores.__getitem__)
        return [Pick(row=0, mask=best, total=totals[0], motion=None if cue is None else cue.remembered(best))]
