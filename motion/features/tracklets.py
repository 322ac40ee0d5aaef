"""Hypotheses followed from frame to frame.

A rival that lasts leaves a trail, and so does the object while something else is taken for it. What one frame does not
tell of either, the mean over many may.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from motion.features.hypotheses import HypothesisFeatures, MaskFeatures

SAME = 0.25
"""IoU with the last mask of a trail above which a hypothesis continues it."""
TWICE = 0.5
"""IoU above which two masks are one thing."""
SPECK = 6
"""Cells below which a mask leaves no trail."""
PATIENCE = 12
"""Frames for which a trail waits to be continued."""
KEPT = 4
"""Trails at most."""

Likeness = tuple[float, ...]
"""How like the prompt something is, in whichever ways are measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Tracklet:
    """What was seen of one thing."""

    last: MaskFeatures
    likeness: Likeness
    """Mean over its frames, those of the last seven weighing most."""
    length: int = 0
    """Frames that continued it."""
    missed: int = 0
    """Frames since."""
    chosen: bool = False
    """Whether it was taken for the object on the last frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """The hypotheses of one frame, and the trails that they continue."""

    trails: tuple[Tracklet, ...]
    overlaps: list[list[float]]
    """IoU of each hypothesis with the last mask of each trail."""
    continued: tuple[int | None, ...]
    """Tracklet of each hypothesis; None where it begins one."""
    likeness: tuple[Likeness, ...]
    """Of each hypothesis, in the mean over its trail."""

    @property
    def lengths(self) -> list[int]:
        return [0 if index is None else self.trails[index].length + 1 for index in self.continued]

    @property
    def chosen(self) -> list[float]:
        """1 for hypotheses that continue what was taken for the object."""
        return [float(index is not None and self.trails[index].chosen) for index in self.continued]

    def after(self, sight: HypothesisFeatures, choice: int) -> tuple[Tracklet, ...]:
        """The trails once one of the hypotheses in `sight` is taken for the object; nothing has two."""
        lengths, new = self.lengths, list[int]()
        for index in (choice, *(other for other in range(len(sight.areas)) if other != choice)):
            if sight.areas[index] >= SPECK and not any(sight.overlaps[index][other] > TWICE for other in new):
                new.append(index)
        continued = {self.continued[index] for index in new}
        waiting = (
            replace(trail, missed=trail.missed + 1, chosen=False)
            for place, trail in enumerate(self.trails)
            if place not in continued
            and trail.missed < PATIENCE
            and not any(self.overlaps[index][place] > TWICE for index in new)
        )
        begun = (Tracklet(sight.one(i), self.likeness[i], lengths[i], 0, i == choice) for i in new)
        return (*begun, *waiting)[:KEPT]


def associate(trails: tuple[Tracklet, ...], sight: HypothesisFeatures, likeness: Sequence[Likeness]) -> Association:
    """Each hypothesis continues the trail that it covers best."""
    overlaps = sight.agreement([trail.last for trail in trails])
    best = [max(range(len(row)), key=row.__getitem__, default=None) for row in overlaps]
    continued = tuple(
        index if index is not None and row[index] > SAME else None for index, row in zip(best, overlaps, strict=True)
    )
    means = tuple(
        now if index is None else _blended(trails[index].likeness, now)
        for index, now in zip(continued, likeness, strict=True)
    )
    return Association(trails, overlaps, continued, means)


def _blended(mean: Likeness, now: Likeness, share: float = 0.15) -> Likeness:
    return tuple((1 - share) * before + share * value for before, value in zip(mean, now, strict=True))
