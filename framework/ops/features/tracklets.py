"""Tracklets: hypotheses associated from frame to frame, as in multi-object tracking.

A distractor that lasts has a tracklet, and so does the object while something else is taken for it. What one frame does
not tell of either, the mean over many may.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.ops.features.hypotheses import HypothesisFeatures, MaskFeatures

ASSOCIATION_IOU = 0.25
"""IoU with the last mask of a tracklet above which a hypothesis continues it."""
DUPLICATE_IOU = 0.5
"""IoU above which two masks are one thing."""
MIN_AREA = 6
"""Cells below which a mask begins no tracklet."""
MAX_AGE = 12
"""Frames for which a tracklet waits to be continued."""
MAX_TRACKLETS = 4
SIMILARITIES = ("look", "pointer", "colour", "iou")
"""What the mean over a tracklet is taken of: three cosines with the prompt, and the predicted IoU."""
SHARE = 0.15
"""Of the present frame in that mean, so that the last seven weigh most."""

Similarities = tuple[float, ...]
"""In the order of `SIMILARITIES`."""


@dataclass(frozen=True, slots=True, eq=False)
class Tracklet:
    """One thing over the frames on which it was seen."""

    last: MaskFeatures
    similarities: Similarities
    """Moving average over its frames."""
    length: int = 0
    """Frames that continued it."""
    missed: int = 0
    """Frames since."""
    chosen: bool = False
    """Whether it was taken for the object on the last frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """The hypotheses of one frame, and the tracklets that they continue."""

    tracklets: tuple[Tracklet, ...]
    ious: list[list[float]]
    """Of each hypothesis with the last mask of each tracklet."""
    continued: tuple[int | None, ...]
    """Tracklet of each hypothesis; None where it begins one."""
    similarities: tuple[Similarities, ...]
    """Of each hypothesis, averaged over its tracklet."""

    @property
    def lengths(self) -> list[int]:
        return [0 if index is None else self.tracklets[index].length + 1 for index in self.continued]

    @property
    def chosen(self) -> list[float]:
        """1 for hypotheses that continue what was taken for the object."""
        return [float(index is not None and self.tracklets[index].chosen) for index in self.continued]

    def update(self, hypotheses: HypothesisFeatures, choice: int) -> tuple[Tracklet, ...]:
        """The tracklets once one of these hypotheses is taken for the object; nothing has two."""
        lengths, kept = self.lengths, list[int]()
        for index in (choice, *(other for other in range(len(hypotheses.areas)) if other != choice)):
            duplicate = any(hypotheses.ious[index][other] > DUPLICATE_IOU for other in kept)
            if hypotheses.areas[index] >= MIN_AREA and not duplicate:
                kept.append(index)
        continued = {self.continued[index] for index in kept}
        waiting = (
            replace(tracklet, missed=tracklet.missed + 1, chosen=False)
            for place, tracklet in enumerate(self.tracklets)
            if place not in continued
            and tracklet.missed < MAX_AGE
            and not any(self.ious[index][place] > DUPLICATE_IOU for index in kept)
        )
        seen = (Tracklet(hypotheses.mask(i), self.similarities[i], lengths[i], 0, i == choice) for i in kept)
        return (*seen, *waiting)[:MAX_TRACKLETS]


def associate(
    tracklets: tuple[Tracklet, ...], hypotheses: HypothesisFeatures, similarities: Sequence[Similarities]
) -> Association:
    """Each hypothesis continues the tracklet that it covers best; `similarities` are those of this frame."""
    ious = hypotheses.ious_with([tracklet.last for tracklet in tracklets])
    best = [max(range(len(row)), key=row.__getitem__, default=None) for row in ious]
    continued = tuple(
        index if index is not None and row[index] > ASSOCIATION_IOU else None
        for index, row in zip(best, ious, strict=True)
    )
    means = tuple(
        now if index is None else _moved(tracklets[index].similarities, now)
        for index, now in zip(continued, similarities, strict=True)
    )
    return Association(tracklets, ious, continued, means)


def _moved(mean: Similarities, now: Similarities) -> Similarities:
    return tuple((1 - SHARE) * before + SHARE * value for before, value in zip(mean, now, strict=True))
