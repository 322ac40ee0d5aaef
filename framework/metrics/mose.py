"""MOSEv2: J and F with a tolerance that fits the object, over all frames and where objects disappear and reappear.

Ding et al., "MOSEv2: A More Challenging Dataset for Video Object Segmentation in Complex Scenes" (arXiv:2508.05630), as
its released evaluation computes them (github.com/henghuiding/MOSE-api, MOSEv2/sam2_rcms/tools/score.py and metricsv2.py
at commit b9afc7d). F with that tolerance is written F with a dot; here it is `fitted`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from framework.errors import InputError
from framework.metrics.vos import BOUNDARY_TOLERANCE, Masked, matched_f, step_contour

FITTED_TOLERANCE = 0.1  # matching radius of the fitted F, in square roots of the object's area


def smoothed_jaccard(
    prediction: Bool[np.ndarray, "T H W"], truth: Bool[np.ndarray, "T H W"]
) -> Float[np.ndarray, " T"]:
    """(intersection + 1) / (union + 1) in pixels, so that missing a small object altogether is not quite 0."""
    intersection, union = ((prediction & truth).sum(axis=(1, 2)), (prediction | truth).sum(axis=(1, 2)))
    return np.asarray((intersection + 1) / (union + 1), dtype=np.float64)


def radii(truth: Bool[np.ndarray, "H W"]) -> tuple[float, float]:
    """Matching radius in pixels of the fitted F and of plain F.

    ceil(0.1 sqrt(area)) of the true mask (an empty one has the image's diagonal for a root), but no more than 0.008
    diagonals. Plain F has that limit, rounded up unless the fitted F has it too: an unrounded disk is off its centre.
    """
    diagonal = math.hypot(*truth.shape)
    limit, area = BOUNDARY_TOLERANCE * diagonal, int(truth.sum())
    fitted = float(math.ceil(FITTED_TOLERANCE * (math.sqrt(area) if area else diagonal)))
    return (fitted, float(math.ceil(limit))) if fitted < limit else (limit, limit)


@dataclass(frozen=True, slots=True)
class MoseObject:
    """One object, per scored frame."""

    sequence: str
    object: str
    jaccard: Float[np.ndarray, " T"]
    fitted: Float[np.ndarray, " T"]
    boundary: Float[np.ndarray, " T"]
    visible: Bool[np.ndarray, " T"]
    """Whether the true mask is not empty."""

    def episodes(self, visible: bool) -> float | None:
        """Mean of J and fitted F in each reappearance (`visible`) or disappearance, then over them; None without any.

        An episode lasts until the next change or the end. What already holds on the first scored frame is none.
        """
        changes = (np.flatnonzero(np.diff(self.visible)) + 1).tolist()
        both = (self.jaccard + self.fitted) / 2
        ends = [*changes[1:], len(both)] if changes else []
        means = [
            float(both[start:end].mean())
            for start, end in zip(changes, ends, strict=True)
            if bool(self.visible[start]) is visible
        ]
        return float(np.mean(means)) if means else None


@dataclass(frozen=True, slots=True)
class MoseReport:
    """Means over objects, 0..1."""

    objects: tuple[MoseObject, ...]
    jaccard: float
    fitted: float
    boundary: float
    disappearance: float | None
    """Over the objects that have one; None when no object has."""
    reappearance: float | None


def mose_object(masks: Masked) -> MoseObject:
    """Scores one object on all frames but the first and the last. Raises InputError when none is left."""
    truth, prediction = masks.truth[1:-1], masks.prediction[1:-1]
    if not len(truth):
        raise InputError(
            f"{masks.sequence}: {len(masks.truth)} frames; the first and the last do not count, so three is least"
        )
    pairs = [_boundaries(p, t) for p, t in zip(prediction, truth, strict=True)]
    fitted, boundary = np.array(pairs, dtype=np.float64).T
    visible = np.asarray(truth.any(axis=(1, 2)))
    return MoseObject(masks.sequence, masks.object, smoothed_jaccard(prediction, truth), fitted, boundary, visible)


def _boundaries(prediction: Bool[np.ndarray, "H W"], truth: Bool[np.ndarray, "H W"]) -> tuple[float, float]:
    """Fitted and plain F of one frame."""
    edges = step_contour(prediction), step_contour(truth)
    near, far = radii(truth)
    fitted = matched_f(*edges, near)
    return fitted, fitted if near == far else matched_f(*edges, far)


def mose(objects: Sequence[MoseObject]) -> MoseReport:
    """The data set's scores."""
    if not objects:
        raise InputError("no annotated object to evaluate")
    jaccard, fitted, boundary = (
        float(np.mean([getattr(o, name).mean() for o in objects])) for name in ("jaccard", "fitted", "boundary")
    )
    gone, back = (_mean(o.episodes(visible) for o in objects) for visible in (False, True))
    return MoseReport(tuple(objects), jaccard, fitted, boundary, gone, back)


def _mean(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
