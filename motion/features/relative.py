"""How each hypothesis compares with what is known of the object: the features that a learned judge decides by.

Every number is relative (to the prompt, the last frames, the object's size), so that it means the same in any video.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, log, sqrt, tanh
from statistics import median

import numpy as np
from jaxtyping import Float32

from framework.types import Candidates
from motion.components.boxes import Corners, overlap
from motion.features.hypotheses import HypothesisAppearance, HypothesisFeatures, MaskFeatures
from motion.features.kernels import rows
from motion.features.tracklets import Association, Tracklet, associate

WINDOW = 10
"""Frames among which an area is typical."""
GROUPS: dict[str, tuple[str, ...]] = {
    "confidence": ("iou", "stability", "sharpness"),
    "area": ("area_typical", "area_prompt"),
    "place": ("jump", "surprise", "box_last", "box_predicted", "mask_last"),
    "look": ("look_prompt", "look_newest", "look_mean", "look_lasting"),
    "pointer": ("pointer_prompt", "pointer_newest", "pointer_mean", "pointer_lasting"),
    "colour": ("colour_prompt", "colour_newest", "colour_mean", "colour_lasting"),
    "trail": ("trail_look", "trail_pointer", "trail_colour", "trail_iou", "trail_length", "trail_chosen"),
    "agreed": ("agreed",),
}
"""Features of one hypothesis by itself, by what they are about."""
OWN = tuple(name for names in GROUPS.values() for name in names)
RELATED = (
    *("iou", "box_predicted", "area_typical", "look_prompt", "look_mean", "look_lasting"),
    *("pointer_mean", "pointer_lasting", "colour_prompt", "colour_mean", "colour_lasting"),
    *("trail_look", "trail_pointer", "trail_colour", "trail_iou", "trail_length"),
)
"""Also seen less the largest value among the other hypotheses."""
SHARED = ("presence", "away", "first", "second", "third")
"""The same for all of a frame, and which of the network's mask tokens drew this hypothesis."""
FEATURES = (*OWN, *(f"{name}_related" for name in RELATED), *SHARED)

_RELATED = np.array([OWN.index(name) for name in RELATED])


@dataclass(frozen=True, slots=True)
class RelativeFeatures:
    """Features of the hypotheses of one frame, and the trails that they continue."""

    rows: Float32[np.ndarray, "M inputs"]
    """In the order of `FEATURES`."""
    meeting: Association


@dataclass(frozen=True, slots=True)
class KnownObject:
    """What is known of one object so far: how it looked at the prompt, on the last frame and in the mean."""

    prompt: MaskFeatures | None = None
    newest: MaskFeatures | None = None
    before: MaskFeatures | None = None
    mean: HypothesisAppearance | None = None
    """Of the last frames, most of the last five."""
    lasting: HypothesisAppearance | None = None
    """Of the last twenty."""
    trails: tuple[Tracklet, ...] = ()
    areas: tuple[int, ...] = ()
    """Of the last non-empty masks, in cells."""
    away: int = 0
    """Frames since the object was seen."""

    @staticmethod
    def begin(prompted: MaskFeatures) -> "KnownObject":
        """Of what was prompted, and nothing else."""
        trail = Tracklet(prompted, (1.0,) * len(GROUPS["trail"][:4]), chosen=True)
        areas = (prompted.area,) if prompted.area else ()
        return KnownObject(prompted, prompted, None, prompted.appearance, prompted.appearance, (trail,), areas)

    def after(self, chosen: MaskFeatures, trails: tuple[Tracklet, ...]) -> "KnownObject":
        """With the mask that was chosen."""
        if self.mean is None or self.lasting is None or not chosen.area:
            return replace(self, trails=trails, away=self.away + 1)
        now, areas = chosen.appearance, (*self.areas, chosen.area)[-WINDOW:]
        mean, lasting = self.mean.blend(now, 0.2), self.lasting.blend(now, 0.05)
        return KnownObject(self.prompt, chosen, self.newest, mean, lasting, trails, areas)

    def compare(self, sight: HypothesisFeatures, candidates: Candidates) -> RelativeFeatures:
        """Features of every hypothesis."""
        assert self.prompt is not None
        quality = candidates.iou.tolist()[0]
        likeness = list(zip(*sight.likeness(self.prompt.appearance), quality, strict=True))
        meeting = associate(self.trails, sight, likeness)
        columns = self._own(sight, quality, meeting)
        own = np.array([columns[name] for name in OWN])
        return RelativeFeatures(
            rows(own, _RELATED, tanh(candidates.presence.tolist()[0] / 5), log(1 + self.away)), meeting
        )

    def _own(
        self, sight: HypothesisFeatures, quality: Sequence[float], meeting: Association
    ) -> dict[str, Sequence[float]]:
        """By feature, one value per hypothesis."""
        assert self.prompt is not None and self.newest is not None
        assert self.mean is not None and self.lasting is not None
        areas, boxes, newest, predicted = sight.areas, sight.boxes, self.newest, self._predicted()
        sides = [sqrt(max(area, 1)) for area in areas]
        typical = float(median(self.areas)) if self.areas else 1.0
        against = {
            "prompt": self.prompt.appearance,
            "newest": newest.appearance,
            "mean": self.mean,
            "lasting": self.lasting,
        }
        alike = {
            f"{kind}_{name}": values
            for name, known in against.items()
            for kind, values in zip(("look", "pointer", "colour"), sight.likeness(known), strict=True)
        }
        trails = dict(zip(GROUPS["trail"][:4], zip(*meeting.likeness, strict=True), strict=True))
        return {
            "iou": quality,
            "stability": sight.stability,
            "sharpness": sight.sharpness,
            "area_typical": [_log_ratio(area, typical) for area in areas],
            "area_prompt": [_log_ratio(area, float(self.prompt.area)) for area in areas],
            "jump": [_distance(box, newest.box, side) for box, side in zip(boxes, sides, strict=True)],
            "surprise": [_distance(box, predicted, side) for box, side in zip(boxes, sides, strict=True)],
            "box_last": [_agreement(box, newest.box) for box in boxes],
            "box_predicted": [_agreement(box, predicted) for box in boxes],
            "mask_last": [one for (one,) in sight.agreement([newest])],
            **alike,
            **trails,
            "trail_length": [log(1 + length) for length in meeting.lengths],
            "trail_chosen": meeting.chosen,
            "agreed": [
                max((iou for other, iou in enumerate(row) if other != index), default=0.0)
                for index, row in enumerate(sight.overlaps)
            ],
        }

    def _predicted(self) -> Corners | None:
        """The last box, moved on as it moved before."""
        if self.newest is None or self.newest.box is None:
            return None
        if self.before is None or self.before.box is None or self.away:
            return self.newest.box
        (x0, y0), (x1, y1) = _centre(self.before.box), _centre(self.newest.box)
        left, top, right, bottom = self.newest.box
        return left + x1 - x0, top + y1 - y0, right + x1 - x0, bottom + y1 - y0


def _centre(box: Corners) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _distance(box: Corners | None, other: Corners | None, side: float) -> float:
    """Between centres, in sizes of the object; at most 4, which also stands for nothing to compare."""
    if box is None or other is None:
        return 4.0
    (x0, y0), (x1, y1) = _centre(box), _centre(other)
    return min(hypot(x1 - x0, y1 - y0) / side, 4.0)


def _agreement(box: Corners | None, other: Corners | None) -> float:
    return 0.0 if box is None else overlap(box, other)


def _log_ratio(area: int, usual: float) -> float:
    return max(-3.0, min(3.0, log(max(area, 0.5) / max(usual, 0.5))))
