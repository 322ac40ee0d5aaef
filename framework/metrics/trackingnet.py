"""TrackingNet: success, precision and normalised precision as areas under curves, as its server computes them.

Muller et al., "TrackingNet: A Large-Scale Dataset and Benchmark" (ECCV 2018). Boxes are rows x, y, w, h in pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from framework.errors import InputError
from framework.metrics.box_errors import pixel_iou

SHARES = np.linspace(0, 1, 21)  # thresholds: IoU; of 50 px; of half a box
PIXELS = 50.0
BOXES = 0.5


@dataclass(frozen=True, slots=True)
class TrackingNetScores:
    """All 0..100."""

    coverage: float  # frames with a box
    success: float
    precision: float
    normalised: float


@dataclass(frozen=True, slots=True)
class TrackingNetReport:
    overall: TrackingNetScores  # mean over sequences; coverage is a mean over frames
    per_sequence: Mapping[str, TrackingNetScores]


def find(name: str, submission: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The boxes for a ground-truth file; None unless exactly one submitted path contains its name.

    So `x_0.txt` is missing beside `ax_0.txt`, a trap of the server that no exporter may walk into.
    """
    matches = [boxes for path, boxes in submission.items() if name in path]
    return matches[0] if len(matches) == 1 else None


def aligned(prediction: np.ndarray | None, truth: Float[np.ndarray, "T 4"]) -> Float[np.ndarray, "T 4"]:
    """One predicted row per frame: zeros without a file, NaN past the end of a short one; row 0 is the truth."""
    boxes = np.full_like(truth, 0.0 if prediction is None else np.nan)
    if prediction is not None:
        boxes[: len(prediction)] = prediction[: len(truth)]
    boxes[0] = truth[0]
    return boxes


def centres(boxes: Float[np.ndarray, "T 4"]) -> Float[np.ndarray, "T 2"]:
    return boxes[:, :2] + (boxes[:, 2:] + 1) / 2


def score(prediction: np.ndarray | None, truth: Float[np.ndarray, "T 4"]) -> TrackingNetScores:
    """Scores of one sequence; None means that nothing was submitted for it."""
    truth = np.round(truth)  # half to even
    boxes = aligned(None if prediction is None else np.round(prediction), truth)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = pixel_iou(boxes, truth)
        difference = centres(boxes) - centres(truth)
        normalised = np.sqrt(((difference / truth[:, 2:]) ** 2).sum(axis=1))
    error = np.sqrt((difference**2).sum(axis=1))
    return TrackingNetScores(
        coverage=100 * float((boxes.sum(axis=1) > 0).mean()),
        success=area((iou[:, None] >= SHARES).mean(axis=0)),
        precision=area((error[:, None] <= PIXELS * SHARES).mean(axis=0)),
        normalised=area((normalised[:, None] <= BOXES * SHARES).mean(axis=0)),
    )


def area(curve: Float[np.ndarray, " 21"]) -> float:
    return 100 * float(np.trapezoid(curve, SHARES))


def evaluate(truth: Mapping[str, np.ndarray], submission: Mapping[str, np.ndarray]) -> TrackingNetReport:
    """Scores of a submission; both map a path inside the archive to its boxes [T 4].

    A zero-sized true box is a miss for precision and normalised precision unless it is hit exactly.
    """
    if not truth:
        raise InputError("no ground-truth file to evaluate against")
    per_sequence = {name: score(find(name, submission), boxes) for name, boxes in truth.items()}
    scores, frames = list(per_sequence.values()), [len(boxes) for boxes in truth.values()]
    overall = TrackingNetScores(
        coverage=float(np.average([s.coverage for s in scores], weights=frames)),
        success=float(np.mean([s.success for s in scores])),
        precision=float(np.mean([s.precision for s in scores])),
        normalised=float(np.mean([s.normalised for s in scores])),
    )
    return TrackingNetReport(overall=overall, per_sequence=per_sequence)
