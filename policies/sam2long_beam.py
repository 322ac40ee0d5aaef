"""SAM2Long's memory tree: several pathways through a video, judged by what they lead to."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import ClassVar

from framework.interfaces import Selector
from framework.types import Candidates, Cue, Pick


@dataclass(frozen=True, slots=True)
class _Option:
    pick: Pick
    value: float
    """Predicted IoU, negative where the object is said to be absent."""


@dataclass(frozen=True)
class Beam(Selector):
    """Constrained tree search (Ding et al., 2024, arXiv:2410.16268, section 3.2).

    Of all masks of all pathways the `width` with the highest running total of log scores live on. On uncertain frames,
    where no object score is further than `uncertainty` from 0, masks of equal (rounded) value count once, so that the
    pathways stay different; each pathway's best mask fills up. The first frame after a prompt has one pathway.

    The best pathway answers for all frames in hindsight: at the end, or, with `lag`, for frames that many frames ago.

    `width` 3 and `uncertainty` 2 are the published commands' values; the published parser's own default is 1.
    """

    width: int = 3
    uncertainty: float = 2.0
    lag: int | None = None
    hindsight: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.width < 1 or (self.lag is not None and self.lag < 0):
            raise ValueError("beam needs width >= 1 and lag >= 0 or null")

    def select(
        self, totals: Sequence[float], candidates: Sequence[Candidates], cues: Sequence[Cue | None]
    ) -> list[Pick]:
        options = [
            option
            for row, judged in enumerate(zip(totals, candidates, cues, strict=True))
            for option in _options(row, *judged)
        ]
        options.sort(key=lambda option: -option.pick.total)
        if len(totals) == 1:
            best = options[0].pick
            return [Pick(best.row, best.mask, totals[0], best.motion)] * self.width
        if max(abs(float(row.presence[0])) for row in candidates) > self.uncertainty:
            return [option.pick for option in options[: self.width]]
        return self._different(options, len(totals))

    def _different(self, options: Sequence[_Option], rows: int) -> list[Pick]:
        """Best first, no value twice; then the best of each pathway that has none."""
        distinct: dict[float, Pick] = {}
        for option in options:
            distinct.setdefault(round(option.value, 2), option.pick)
        picks = list(distinct.values())[: self.width]
        left = [row for row in range(rows) if row not in {pick.row for pick in picks}]
        best = [next(option.pick for option in options if option.pick.row == row) for row in left]
        return [*picks, *best][: self.width]


def _options(row: int, total: float, candidates: Candidates, cue: Cue | None) -> list[_Option]:
    """Every mask of one pathway."""
    iou = tuple(candidates.iou[0].tolist())
    scores = iou if cue is None else cue.fuse(iou)
    sign = 1 if float(candidates.presence[0]) > 0 else -1
    return [
        _Option(Pick(row, mask, total + log(score + 1e-5), None if cue is None else cue.remembered(mask)), sign * q)
        for mask, (score, q) in enumerate(zip(scores, iou, strict=True))
    ]
