"""How each hypothesis compares with what is known of the object: the features that a learned judge decides by.

Every number is relative (to the prompt, the last frames, the object's size), so that it means the same in any video.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, log, sqrt, tanh
from statistics import median

import cv2
import numpy as np
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from framework.tokens import coarse, on_host
from framework.types import Candidates
from framework.vectors import blended, unit
from motion.boxes import Corners, overlap
from motion.kernels import ABOVE, AREA, AROUND, BOTTOM, LEFT, RIGHT, TOP, cover, looks, shared, survey

WINDOW = 10
"""Frames among which an area is typical."""
GROUPS: dict[str, tuple[str, ...]] = {
    "confidence": ("iou", "stability", "sharpness"),
    "area": ("area_typical", "area_prompt"),
    "place": ("jump", "surprise", "box_last", "box_predicted", "mask_last"),
    "look": ("look_prompt", "look_newest", "look_mean"),
    "pointer": ("pointer_prompt", "pointer_newest", "pointer_mean"),
    "agreed": ("agreed",),
}
"""Features of one hypothesis by itself, by what they are about."""
OWN = tuple(name for names in GROUPS.values() for name in names)
RELATED = ("iou", "box_predicted", "look_prompt", "look_mean", "pointer_mean", "area_typical")
"""Also seen less the largest value among the other hypotheses."""
SHARED = ("presence", "away", "first", "second", "third")
"""The same for all of a frame, and which of the network's mask tokens drew this hypothesis."""
FEATURES = (*OWN, *(f"{name}_related" for name in RELATED), *SHARED)

Row = tuple[float, ...]
"""One value per feature, in the order of `FEATURES`."""


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Unit vectors on the host; zero where there is nothing."""

    look: Float[np.ndarray, " C"]
    """Mean image feature under the mask, less the mean of the image."""
    pointer: Float[np.ndarray, " D"]

    def blend(self, now: "Appearance", share: float = 0.2) -> "Appearance":
        """Moved by `share` towards `now`."""
        return Appearance(blended(self.look, now.look, share), blended(self.pointer, now.pointer, share))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one mask shows, in cells of the mask-logit grid."""

    mask: UInt8[np.ndarray, "h w"]
    """0 and 1."""
    area: int
    box: Corners | None
    appearance: Appearance


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What every hypothesis of one frame shows, in cells of the mask-logit grid."""

    masks: UInt8[np.ndarray, "M h w"]
    """0 and 1."""
    counts: Int64[np.ndarray, "M 7"]
    """See `motion.kernels.COUNTS`."""
    areas: tuple[int, ...]
    boxes: tuple[Corners | None, ...]
    stability: tuple[float, ...]
    """Cells above logit 1 over those above -1."""
    sharpness: tuple[float, ...]
    """Mean logit inside, squashed to 0..1."""
    looks: Float[np.ndarray, "M C"]
    """See `Appearance`."""
    pointers: Float[np.ndarray, "M D"]

    def agreement(self, last: Seen) -> tuple[list[float], list[float]]:
        """Largest IoU of each hypothesis with another one, and its IoU with the last mask."""
        areas, others = self.areas, range(len(self.areas))
        common = shared(self.masks, self.counts, self.masks).tolist()
        with_last = shared(self.masks, self.counts, last.mask[None]).tolist()
        ious = [[_iou(common[i][j], areas[i], areas[j]) for j in others if j != i] for i in others]
        return (
            [max(one, default=0.0) for one in ious],
            [_iou(both, area, last.area) for (both,), area in zip(with_last, areas, strict=True)],
        )

    def one(self, index: int) -> Seen:
        """A hypothesis by itself."""
        appearance = Appearance(self.looks[index], self.pointers[index])
        return Seen(self.masks[index], self.areas[index], self.boxes[index], appearance)


def observe(logits: Float[Tensor, "M h w"], pointers: Float[Tensor, "M D"], embedding: Float[Tensor, "C y x"]) -> Sight:
    """Every hypothesis of one frame."""
    masks, counts, sums = survey(on_host(logits))
    found = counts.tolist()
    boxes = tuple(
        (float(one[LEFT]), float(one[TOP]), float(one[RIGHT]), float(one[BOTTOM])) if one[AREA] else None
        for one in found
    )
    return Sight(
        masks=masks,
        counts=counts,
        areas=tuple(one[AREA] for one in found),
        boxes=boxes,
        stability=tuple(one[ABOVE] / max(one[AROUND], 1) for one in found),
        sharpness=tuple(tanh(total / max(one[AREA], 1) / 8) for one, total in zip(found, sums.tolist(), strict=True)),
        looks=_looks(masks, counts, embedding),
        pointers=unit(on_host(pointers)),
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one object so far: how it looked at the prompt, on the last frame and in the mean."""

    prompt: Seen | None = None
    newest: Seen | None = None
    before: Seen | None = None
    mean: Appearance | None = None
    areas: tuple[int, ...] = ()
    """Of the last non-empty masks, in cells."""
    away: int = 0
    """Frames since the object was seen."""

    @staticmethod
    def begin(prompted: Seen) -> "Known":
        """Of what was prompted, and nothing else."""
        return Known(prompted, prompted, None, prompted.appearance, (prompted.area,) if prompted.area else ())

    def after(self, chosen: Seen) -> "Known":
        """With the mask that was chosen."""
        if self.mean is None or not chosen.area:
            return replace(self, away=self.away + 1)
        mean, areas = self.mean.blend(chosen.appearance), (*self.areas, chosen.area)[-WINDOW:]
        return Known(self.prompt, chosen, self.newest, mean, areas)

    def compare(self, sight: Sight, candidates: Candidates) -> tuple[Row, ...]:
        """Features of every hypothesis."""
        columns = self._own(sight, candidates.iou.tolist()[0])
        own = [columns[name] for name in OWN]
        related = [_lead(columns[name]) for name in RELATED]
        common = tanh(candidates.presence.tolist()[0] / 5), log(1 + self.away)
        return tuple(
            (*values, *common, *(float(index == place) for place in range(3)))
            for index, values in enumerate(zip(*own, *related, strict=True))
        )

    def _own(self, sight: Sight, quality: Sequence[float]) -> dict[str, Sequence[float]]:
        """By feature, one value per hypothesis."""
        assert self.prompt is not None and self.newest is not None and self.mean is not None
        areas, boxes, newest, predicted = sight.areas, sight.boxes, self.newest, self._predicted()
        sides = [sqrt(max(area, 1)) for area in areas]
        typical = float(median(self.areas)) if self.areas else 1.0
        agreed, last = sight.agreement(newest)
        prompt, now, mean = self.prompt.appearance, newest.appearance, self.mean
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
            "mask_last": last,
            "look_prompt": (sight.looks @ prompt.look).tolist(),
            "look_newest": (sight.looks @ now.look).tolist(),
            "look_mean": (sight.looks @ mean.look).tolist(),
            "pointer_prompt": (sight.pointers @ prompt.pointer).tolist(),
            "pointer_newest": (sight.pointers @ now.pointer).tolist(),
            "pointer_mean": (sight.pointers @ mean.pointer).tolist(),
            "agreed": agreed,
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


def _looks(
    masks: UInt8[np.ndarray, "M h w"], counts: Int64[np.ndarray, "M 7"], embedding: Float[Tensor, "C y x"]
) -> Float[np.ndarray, "M C"]:
    """Mean feature under each mask less that of the image, of unit length; see `framework/tokens.py`."""
    features = coarse(embedding)
    means = cv2.reduce(features.reshape(len(features), -1), 1, cv2.REDUCE_AVG)
    return looks(features, means, cover(masks, counts, *features.shape[1:]))


def _lead(values: Sequence[float]) -> list[float]:
    """Each less the largest of the others, or less 0 where it is alone."""
    *_, second, first = 0.0, *sorted(values)
    return [value - (second if value == first else first) for value in values]


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


def _iou(both: int, area: int, other: int) -> float:
    return both / max(area + other - both, 1)


def _log_ratio(area: int, usual: float) -> float:
    return max(-3.0, min(3.0, log(max(area, 0.5) / max(usual, 0.5))))
