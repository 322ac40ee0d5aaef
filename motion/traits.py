"""How each hypothesis compares with what is known of the object: the features that a learned judge decides by.

Every number is relative (to the prompt, the last frames, the object's size), so that it means the same in any video.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, log, sqrt, tanh
from statistics import median

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from framework.types import Candidates
from motion.boxes import Corners, corners, overlap

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
        look = _unit((1 - share) * self.look + share * now.look)
        return Appearance(look, _unit((1 - share) * self.pointer + share * now.pointer))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one mask shows, in cells of the mask-logit grid."""

    mask: UInt8[np.ndarray, "h w"]
    """0 and 1."""
    area: int
    box: Corners | None
    appearance: Appearance
    stability: float
    """Cells above logit 1 over those above -1."""
    sharpness: float
    """Mean logit inside, squashed to 0..1."""


def observe(
    logits: Float[Tensor, "M h w"], pointers: Float[Tensor, "M D"], embedding: Float[Tensor, "C y x"]
) -> tuple[Seen, ...]:
    """Every hypothesis of one frame."""
    host = np.ascontiguousarray(logits.detach().float().cpu().numpy())
    masks = [(mask > 0).view(np.uint8) for mask in host]
    looks, units = _looks(masks, embedding), _unit(pointers.detach().float().cpu().numpy())
    return tuple(
        Seen(
            mask=mask,
            area=cv2.countNonZero(mask),
            box=corners(mask),
            appearance=Appearance(look, pointer),
            stability=_count(values > 1) / max(_count(values > -1), 1),
            sharpness=tanh(max(cv2.mean(values, mask)[0], 0.0) / 8),
        )
        for mask, values, look, pointer in zip(masks, host, looks, units, strict=True)
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

    def compare(self, seen: Sequence[Seen], candidates: Candidates) -> tuple[Row, ...]:
        """Features of every hypothesis."""
        quality, presence = candidates.iou[0].tolist(), tanh(float(candidates.presence[0]) / 5)
        own = [self._own(one, iou, seen) for one, iou in zip(seen, quality, strict=True)]
        rows = []
        for index, values in enumerate(own):
            others = [*own[:index], *own[index + 1 :]]
            related = (values[name] - max((other[name] for other in others), default=0.0) for name in RELATED)
            token = (float(index == place) for place in range(3))
            rows.append((*(values[name] for name in OWN), *related, presence, log(1 + self.away), *token))
        return tuple(rows)

    def _own(self, one: Seen, iou: float, seen: Sequence[Seen]) -> dict[str, float]:
        assert self.prompt is not None and self.newest is not None and self.mean is not None
        now, side = one.appearance, sqrt(max(one.area, 1))
        typical = float(median(self.areas)) if self.areas else 1.0
        return {
            "iou": iou,
            "stability": one.stability,
            "sharpness": one.sharpness,
            "area_typical": _log_ratio(one.area, typical),
            "area_prompt": _log_ratio(one.area, float(self.prompt.area)),
            "jump": _distance(one.box, self.newest.box, side),
            "surprise": _distance(one.box, self._predicted(), side),
            "box_last": _agreement(self.newest.box, one.box),
            "box_predicted": _agreement(self._predicted(), one.box),
            "mask_last": _mask_iou(one, self.newest),
            "look_prompt": float(self.prompt.appearance.look @ now.look),
            "look_newest": float(self.newest.appearance.look @ now.look),
            "look_mean": float(self.mean.look @ now.look),
            "pointer_prompt": float(self.prompt.appearance.pointer @ now.pointer),
            "pointer_newest": float(self.newest.appearance.pointer @ now.pointer),
            "pointer_mean": float(self.mean.pointer @ now.pointer),
            "agreed": max((_mask_iou(one, other) for other in seen if other is not one), default=0.0),
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


def _looks(masks: Sequence[UInt8[np.ndarray, "h w"]], embedding: Float[Tensor, "C y x"]) -> Float[np.ndarray, "M C"]:
    """Mean feature under each mask less that of the image, of unit length."""
    features = embedding.detach().float().cpu().numpy()
    height, width = features.shape[-2:]
    cover = np.stack([_cover(mask, height, width) for mask in masks]).reshape(len(masks), -1)
    flat = features.reshape(len(features), -1)
    whole = np.full((1, cover.shape[1]), 1 / cover.shape[1], np.float32)
    both = (flat @ np.concatenate([cover, whole]).T).T  # this way round it is three times as fast
    return _unit(both[:-1] - cover.sum(axis=1, keepdims=True) * both[-1])


def _cover(mask: UInt8[np.ndarray, "h w"], height: int, width: int) -> Float[np.ndarray, "{height} {width}"]:
    """How much of each token the mask covers."""
    return cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)


def _unit(vectors: Float[np.ndarray, "*n C"]) -> Float[np.ndarray, "*n C"]:
    """Of length 1, or 0."""
    return vectors / np.sqrt((vectors * vectors).sum(-1, keepdims=True)).clip(1e-12)


def _count(cells: np.ndarray) -> int:
    return cv2.countNonZero(cells.view(np.uint8))


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


def _mask_iou(one: Seen, other: Seen) -> float:
    both = cv2.countNonZero(one.mask & other.mask)
    return both / max(one.area + other.area - both, 1)


def _log_ratio(area: int, usual: float) -> float:
    return max(-3.0, min(3.0, log(max(area, 0.5) / max(usual, 0.5))))
