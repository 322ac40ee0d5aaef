"""What speaks for and against the mask of a frame, as plain numbers: the features that a learned write gate decides by.

Every number is relative (to the prompt, to the last frames of the same video, to the object's size), so that it means
the same in any video; the frame number is not among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, log, sqrt, tanh
from statistics import median

from framework.ops.vectors import moving_average
from framework.types import Entry, Outcome
from policies.features.mask import MaskAppearance, MaskNumbers, measure

GROUPS: dict[str, tuple[str, ...]] = {
    "confidence": ("iou", "presence", "margin", "stability", "sharpness"),
    "shape": ("area_typical", "area_prompt", "border"),
    "distractors": ("distractor", "distractor_box", "distractor_look"),
    "motion": ("agreement", "has_agreement", "jump", "surprise"),
    "identity": ("pointer_prompt", "pointer_newest", "pointer_mean"),
    "appearance": ("look_prompt", "look_newest", "look_mean", "found_inside", "found_outside"),
    "absence": ("seen", "away", "seen_share"),
    "rank": ("iou_rank", "presence_rank", "look_rank"),
}
"""Features of one frame, by what they are about."""
FEATURES = tuple(name for names in GROUPS.values() for name in names)
WINDOW = 10
"""Frames that a decision looks back on."""
HISTORY = 30
"""Frames among which a value is ranked."""

FeatureRow = tuple[float, ...]
"""One value per feature, in the order of `FEATURES`."""


@dataclass(frozen=True, slots=True)
class History:
    """What is known of one object so far: how it looked at the last prompt, on the last frame and in the mean."""

    prompt: MaskAppearance | None = None
    newest: MaskAppearance | None = None
    mean: MaskAppearance | None = None
    prompted_area: int = 0
    areas: tuple[int, ...] = ()
    """Of the last non-empty masks, in cells."""
    centres: tuple[tuple[float, float], ...] = ()
    """Of the last two non-empty masks, in cells."""
    away: int = 0
    """Frames since the object was seen."""
    rows: tuple[FeatureRow, ...] = ()
    """Of the last frames, oldest first."""
    ranked: tuple[tuple[float, float, float], ...] = ()
    """IoU, presence and look of the last frames."""

    @property
    def features(self) -> FeatureRow | None:
        """Of the last frame; None if it was prompted."""
        return self.rows[-1] if self.rows else None

    def observe(self, entry: Entry, outcome: Outcome) -> "History":
        """With one more frame, tracked or prompted."""
        numbers, now = measure(entry, outcome, (self.prompt, self.newest, self.mean))
        area, centre = entry.scores.area, (numbers.x, numbers.y)
        seen = area > 0
        areas = (*self.areas, area)[-WINDOW:] if seen else self.areas
        if entry.scores.prompted or self.prompt is None:
            return History(now, now, now, area, areas, (centre,) if seen else ())
        judged = (entry.scores.iou, tanh(entry.scores.presence / 5), numbers.look_prompt)
        return replace(
            self,
            newest=now if seen else self.newest,
            mean=_blend(self.mean, now) if seen else self.mean,
            areas=areas,
            centres=(*self.centres, centre)[-2:] if seen else self.centres,
            away=0 if seen else self.away + 1,
            rows=(*self.rows, self._row(entry, numbers, areas, judged))[-WINDOW:],
            ranked=(*self.ranked, judged)[-HISTORY:],
        )

    def _row(
        self, entry: Entry, found: MaskNumbers, areas: Sequence[int], judged: tuple[float, float, float]
    ) -> FeatureRow:
        scores, seen = entry.scores, entry.scores.area > 0
        side = sqrt(max(scores.area, 1))
        typical = log(scores.area / median(areas)) if seen else 0.0
        prompted = log(scores.area / self.prompted_area) if seen and self.prompted_area else 0.0
        past = [row[_SEEN] for row in self.rows]
        values = {
            "iou": judged[0],
            "presence": judged[1],
            "margin": found.margin,
            "stability": found.stability,
            "sharpness": found.sharpness,
            "area_typical": max(-2.0, min(2.0, typical)),
            "area_prompt": max(-3.0, min(3.0, prompted)),
            "border": found.border,
            "distractor": found.distractor,
            "distractor_box": found.distractor_box,
            "distractor_look": found.distractor_look,
            "agreement": scores.motion or 0.0,
            "has_agreement": float(scores.motion is not None),
            "jump": self._distance(found, side, steps=0) if seen else 0.0,
            "surprise": self._distance(found, side, steps=1) if seen else 0.0,
            "pointer_prompt": found.pointer_prompt,
            "pointer_newest": found.pointer_newest,
            "pointer_mean": found.pointer_mean,
            "look_prompt": found.look_prompt,
            "look_newest": found.look_newest,
            "look_mean": found.look_mean,
            "found_inside": found.inside,
            "found_outside": found.outside,
            "seen": float(seen),
            "away": log(1 + self.away),
            "seen_share": (sum(past) + seen) / (len(past) + 1),
            "iou_rank": _rank(judged[0], [known[0] for known in self.ranked]),
            "presence_rank": _rank(judged[1], [known[1] for known in self.ranked]),
            "look_rank": _rank(judged[2], [known[2] for known in self.ranked]),
        }
        return tuple(values[name] for name in FEATURES)

    def _distance(self, found: MaskNumbers, side: float, steps: int) -> float:
        """From where the object was (`steps` 0) or would be at constant velocity (1), in its own sizes; at most 4."""
        if not self.centres:
            return 0.0
        (x0, y0), (x1, y1) = self.centres[0], self.centres[-1]
        x, y = x1 + steps * (x1 - x0), y1 + steps * (y1 - y0)
        return min(hypot(found.x - x, found.y - y) / side, 4.0)


_SEEN = FEATURES.index("seen")


def _blend(mean: MaskAppearance | None, now: MaskAppearance, share: float = 0.2) -> MaskAppearance:
    """An exponential mean over the frames on which the object was seen."""
    if mean is None:
        return now
    return MaskAppearance(moving_average(mean.look, now.look, share), moving_average(mean.pointer, now.pointer, share))


def _rank(value: float, known: Sequence[float]) -> float:
    """Share of the known values that are lower, ties by half; one half when there are none."""
    if not known:
        return 0.5
    return sum(1.0 if old < value else 0.5 if old == value else 0.0 for old in known) / len(known)
