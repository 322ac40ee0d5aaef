"""What the project's own tables report about one tracked object of one video, from per-frame numbers.

The prompted frame is given, not tracked: leave it out of the arrays.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Bool, Float

from framework.errors import InputError
from framework.metrics.vos import jaccard

Edges = tuple[float, float, float, float]

SUCCESS_THRESHOLDS = np.arange(21) * 0.05  # IoU 0, .05 .. 1
HIT = 0.5  # IoU above which the tracker is on its target
LOST = 0.1  # IoU up to which it is not; in between, it stays what it was


@dataclass(frozen=True, slots=True)
class TrackingScores:
    """Shares and IoUs in 0..1; NaN where a video has no frame of the kind asked about."""

    jaccard: float  # mean IoU over all frames, absent ones included
    success: float  # success AUC over all frames
    visible_accuracy: float  # share of frames with a visible target that are hit (IoU > 0.5)
    absent_accuracy: float  # share of frames with an absent target in which nothing was predicted
    losses: float  # per 1,000 frames
    redetections: float  # per 1,000 frames
    early: float  # mean IoU over the first third of the frames
    late: float  # mean IoU over the last third


def mask_iou(a: Bool[np.ndarray, "H W"], b: Bool[np.ndarray, "H W"]) -> float:
    """Intersection over union of two masks, 0..1; 1 when both are empty."""
    return float(jaccard(a, b))


def mask_box(mask: Bool[np.ndarray, "H W"]) -> Edges | None:
    """xmin, ymin, xmax, ymax with exclusive maxima; None for an empty mask."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def box_iou(a: Edges | None, b: Edges | None) -> float:
    """Intersection over union of two boxes (xmin, ymin, xmax, ymax), 0..1; None is no box, and two of them agree."""
    if a is None or b is None:
        return float(a is b)
    width, height = (max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0.0) for i in (0, 1))
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (area - width * height) if area > 0 else 0.0


def success_curve(iou: Float[np.ndarray, " T"]) -> Float[np.ndarray, " 21"]:
    """Share of frames whose IoU is strictly above 0, .05 .. 1 (Wu et al., CVPR 2013)."""
    return (iou[:, None] > SUCCESS_THRESHOLDS).mean(axis=0)


def success_auc(iou: Float[np.ndarray, " T"]) -> float:
    """Area under the success curve: its mean over the 21 thresholds, 0..20/21 (no IoU is above 1)."""
    return float(success_curve(iou).mean())


def losses(iou: Float[np.ndarray, " T"], visible: Bool[np.ndarray, " T"]) -> list[tuple[int, int | None]]:
    """When the target was lost and when it was found again, as positions in the arrays; None: it never was.

    It is lost when it goes absent or IoU falls to 0.1, and found again when it is visible with IoU > 0.5: two
    thresholds, so that an IoU wavering about one of them does not count. Tracking starts on the target.
    """
    found: list[tuple[int, int | None]] = []
    lost: int | None = None
    for at, (overlap, seen) in enumerate(zip(iou.tolist(), visible.tolist(), strict=True)):
        if lost is None and (not seen or overlap <= LOST):
            lost = at
        elif lost is not None and seen and overlap > HIT:
            found.append((lost, at))
            lost = None
    return found if lost is None else [*found, (lost, None)]


def score(iou: Float[np.ndarray, " T"], visible: Bool[np.ndarray, " T"]) -> TrackingScores:
    """Scores of one object in one video.

    iou: per tracked frame, 1 where prediction and truth are both empty (`mask_iou`).
    visible: whether the true mask is not empty.
    Raises InputError when there is no frame.
    """
    frames = len(iou)
    if frames == 0:
        raise InputError("no tracked frame to score: a video needs at least one frame after its prompt")
    third = max(1, frames // 3)
    lost = losses(iou, visible)
    return TrackingScores(
        jaccard=float(iou.mean()),
        success=success_auc(iou),
        visible_accuracy=float((iou[visible] > HIT).mean()) if visible.any() else math.nan,
        # With an empty truth, IoU is 1 for an empty prediction and 0 for any other.
        absent_accuracy=float((iou[~visible] == 1).mean()) if not visible.all() else math.nan,
        losses=1000 * len(lost) / frames,
        redetections=1000 * sum(again is not None for _, again in lost) / frames,
        early=float(iou[:third].mean()),
        late=float(iou[-third:].mean()),
    )


def mean_scores(videos: Sequence[TrackingScores]) -> TrackingScores:
    """Unweighted mean over videos (or objects), each score over those that have it."""
    if not videos:
        raise InputError("no video to average over")
    table = np.array([astuple(scores) for scores in videos], dtype=np.float64)
    known = ~np.isnan(table)
    counts = known.sum(axis=0)
    sums = np.where(known, table, 0.0).sum(axis=0)
    return TrackingScores(*np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).tolist())
