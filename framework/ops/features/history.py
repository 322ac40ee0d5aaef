"""What is known of the object that is tracked: how it looked, where it was and what was near it."""

from dataclasses import dataclass, replace

from framework.ops.boxes import Corners
from framework.ops.features.hypotheses import Appearance, HypothesisFeatures, MaskFeatures
from framework.ops.features.tracklets import SIMILARITIES, Association, Tracklet

WINDOW = 10
"""Frames among which an area is typical."""
SHORT_TERM, LONG_TERM = 0.2, 0.05
"""Share of the present frame in the two means: most of the last five frames, and of the last twenty."""


@dataclass(frozen=True, slots=True)
class TargetHistory:
    """The target of a tracker at the prompt, on its last frames and in the mean; nothing is known before a prompt."""

    prompt: MaskFeatures | None = None
    newest: MaskFeatures | None = None
    before: MaskFeatures | None = None
    mean: Appearance | None = None
    """Of the last frames, most of the last five."""
    lasting: Appearance | None = None
    """Of the last twenty."""
    tracklets: tuple[Tracklet, ...] = ()
    areas: tuple[int, ...] = ()
    """Of the last non-empty masks, in cells."""
    away: int = 0
    """Frames since the object was seen."""

    @staticmethod
    def begin(prompted: MaskFeatures) -> "TargetHistory":
        """Of what was prompted, and nothing else."""
        tracklet = Tracklet(prompted, (1.0,) * len(SIMILARITIES), chosen=True)
        areas = (prompted.area,) if prompted.area else ()
        return TargetHistory(prompted, prompted, None, prompted.appearance, prompted.appearance, (tracklet,), areas)

    def update(
        self, hypotheses: HypothesisFeatures, choice: int, association: Association | None = None
    ) -> "TargetHistory":
        """With a tracked frame and the hypothesis that was chosen; the association is None where none was made."""
        tracklets = association.update(hypotheses, choice) if association else self.tracklets
        chosen = hypotheses.mask(choice)
        if self.mean is None or self.lasting is None or not chosen.area:
            return replace(self, tracklets=tracklets, away=self.away + 1)
        now, areas = chosen.appearance, (*self.areas, chosen.area)[-WINDOW:]
        mean, lasting = self.mean.blend(now, SHORT_TERM), self.lasting.blend(now, LONG_TERM)
        return TargetHistory(self.prompt, chosen, self.newest, mean, lasting, tracklets, areas)

    def predict(self) -> Corners | None:
        """The last box, moved on as it moved before; None where there is none."""
        if self.newest is None or self.newest.box is None:
            return None
        if self.before is None or self.before.box is None or self.away:
            return self.newest.box
        (x0, y0), (x1, y1) = centre(self.before.box), centre(self.newest.box)
        left, top, right, bottom = self.newest.box
        return left + x1 - x0, top + y1 - y0, right + x1 - x0, bottom + y1 - y0


def centre(box: Corners) -> tuple[float, float]:
    """Of a box: x, y."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
