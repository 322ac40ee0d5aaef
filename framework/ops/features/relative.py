"""How each hypothesis compares with what is known of the target: the features that learned parts decide by.

Every number is relative (to the prompt, the last frames, the object's size), so that it means the same in any video.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import hypot, log, sqrt, tanh
from statistics import median

import numpy as np
from jaxtyping import Float32

from framework.ops.boxes import Corners, box_iou
from framework.ops.features.history import TargetHistory, centre
from framework.ops.features.hypotheses import HypothesisFeatures
from framework.ops.features.kernels import rows
from framework.ops.features.tracklets import SIMILARITIES, Association, associate

VERSION = 1
"""Of what the features mean; weights that were trained on another one are refused."""

GROUPS: dict[str, tuple[str, ...]] = {
    "confidence": ("iou", "stability", "sharpness"),
    "area": ("area_typical", "area_prompt"),
    "place": ("jump", "surprise", "box_last", "box_predicted", "mask_last"),
    "look": ("look_prompt", "look_newest", "look_mean", "look_lasting"),
    "pointer": ("pointer_prompt", "pointer_newest", "pointer_mean", "pointer_lasting"),
    "colour": ("colour_prompt", "colour_newest", "colour_mean", "colour_lasting"),
    "tracklet": (*(f"tracklet_{name}" for name in SIMILARITIES), "tracklet_length", "tracklet_chosen"),
    "agreed": ("agreed",),
}
"""Features of one hypothesis by itself, by what they are about."""
OWN = tuple(name for names in GROUPS.values() for name in names)
RELATED = (
    *("iou", "box_predicted", "area_typical", "look_prompt", "look_mean", "look_lasting"),
    *("pointer_mean", "pointer_lasting", "colour_prompt", "colour_mean", "colour_lasting"),
    *(*(f"tracklet_{name}" for name in SIMILARITIES), "tracklet_length"),
)
"""Also seen less the largest value among the other hypotheses."""
SHARED = ("presence", "away", "first", "second", "third")
"""The same for all of a frame, and which of the network's mask tokens drew this hypothesis."""
FEATURES = (*OWN, *(f"{name}_related" for name in RELATED), *SHARED)

_RELATED = np.array([OWN.index(name) for name in RELATED])


@dataclass(frozen=True, slots=True)
class RelativeFeatures:
    """Features of the hypotheses of one frame, and the tracklets that they continue."""

    rows: Float32[np.ndarray, "M inputs"]
    """In the order of `FEATURES`."""
    association: Association


def compare(target: TargetHistory, hypotheses: HypothesisFeatures) -> RelativeFeatures | None:
    """Features of every hypothesis; None while nothing is known of the target and where all masks are empty."""
    if target.prompt is None or not any(hypotheses.areas):
        return None
    quality = hypotheses.iou.tolist()
    similarities = list(zip(*hypotheses.similarity(target.prompt.appearance), quality, strict=True))
    association = associate(target.tracklets, hypotheses, similarities)
    columns = _own(target, hypotheses, quality, association)
    own = np.array([columns[name] for name in OWN])
    return RelativeFeatures(rows(own, _RELATED, tanh(hypotheses.presence / 5), log(1 + target.away)), association)


def follow(
    target: TargetHistory, hypotheses: HypothesisFeatures, relative: RelativeFeatures | None, choice: int
) -> TargetHistory:
    """What is known after a tracked frame on which this hypothesis was chosen; `relative` is what `compare` said."""
    return target.update(hypotheses, choice, None if relative is None else relative.association)


def used_without(groups: Collection[str]) -> list[bool]:
    """Of each feature, whether it is left once these groups are ignored.

    Raises:
        ValueError: an unknown group.
    """
    if unknown := set(groups) - set(GROUPS):
        raise ValueError(f"feature groups {sorted(unknown)} are unknown: choose among {', '.join(GROUPS)}")
    left_out = {name for group in groups for name in GROUPS[group]}
    return [name.removesuffix("_related") not in left_out for name in FEATURES]


def _own(
    target: TargetHistory, hypotheses: HypothesisFeatures, quality: Sequence[float], association: Association
) -> dict[str, Sequence[float]]:
    """By feature, one value per hypothesis."""
    assert target.prompt is not None and target.newest is not None
    areas, boxes, newest, predicted = hypotheses.areas, hypotheses.boxes, target.newest, target.predict()
    sides = [sqrt(max(area, 1)) for area in areas]
    typical = float(median(target.areas)) if target.areas else 1.0
    averages = zip(SIMILARITIES, zip(*association.similarities, strict=True), strict=True)
    return {
        "iou": quality,
        "stability": hypotheses.stability,
        "sharpness": hypotheses.sharpness,
        "area_typical": [_log_ratio(area, typical) for area in areas],
        "area_prompt": [_log_ratio(area, float(target.prompt.area)) for area in areas],
        "jump": [_distance(box, newest.box, side) for box, side in zip(boxes, sides, strict=True)],
        "surprise": [_distance(box, predicted, side) for box, side in zip(boxes, sides, strict=True)],
        "box_last": [_box_iou(box, newest.box) for box in boxes],
        "box_predicted": [_box_iou(box, predicted) for box in boxes],
        "mask_last": [iou for (iou,) in hypotheses.ious_with([newest])],
        **_appearance(target, hypotheses),
        **{f"tracklet_{name}": values for name, values in averages},
        "tracklet_length": [log(1 + length) for length in association.lengths],
        "tracklet_chosen": association.chosen,
        "agreed": [
            max((iou for other, iou in enumerate(row) if other != index), default=0.0)
            for index, row in enumerate(hypotheses.ious)
        ],
    }


def _appearance(target: TargetHistory, hypotheses: HypothesisFeatures) -> dict[str, Sequence[float]]:
    """Cosines with what is known of the target, by feature."""
    assert target.prompt is not None and target.newest is not None
    assert target.mean is not None and target.lasting is not None
    known = {
        "prompt": target.prompt.appearance,
        "newest": target.newest.appearance,
        "mean": target.mean,
        "lasting": target.lasting,
    }
    return {
        f"{kind}_{name}": values
        for name, appearance in known.items()
        for kind, values in zip(("look", "pointer", "colour"), hypotheses.similarity(appearance), strict=True)
    }


def _distance(box: Corners | None, other: Corners | None, side: float) -> float:
    """Between centres, in sizes of the object; at most 4, which also stands for nothing to compare."""
    if box is None or other is None:
        return 4.0
    (x0, y0), (x1, y1) = centre(box), centre(other)
    return min(hypot(x1 - x0, y1 - y0) / side, 4.0)


def _box_iou(box: Corners | None, other: Corners | None) -> float:
    return 0.0 if box is None else box_iou(box, other)


def _log_ratio(area: int, usual: float) -> float:
    return max(-3.0, min(3.0, log(max(area, 0.5) / max(usual, 0.5))))
