"""GOT-10k: average overlap and success rates, as the got-10k toolkit computes them.

Huang et al., "GOT-10k: A Large High-Diversity Benchmark" (TPAMI 2019). Boxes are rows x, y, w, h in pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from framework.errors import InputError
from framework.metrics.box_errors import continuous_iou

THRESHOLDS = np.linspace(0, 1, 101)
NO_TIMES = -1.0  # speed of a tracker without a positive time


@dataclass(frozen=True, slots=True)
class SequencePrediction:
    """All repetitions of one tracker on one sequence."""

    name: str
    truth: Float[np.ndarray, "T 4"]
    cover: Int[np.ndarray, " T"]  # visible eighths of the target, 0..8
    resolution: tuple[int, int]  # width, height
    repetitions: tuple[Float[np.ndarray, "_ 4"], ...]
    times: Float[np.ndarray, " N"] | None  # seconds per frame; None without a time file


@dataclass(frozen=True, slots=True)
class Got10kScores:
    ao: float  # mean overlap over frames, 0..1
    sr50: float
    sr75: float
    speed: float  # frames per second: mean of 1 / time; -1 without times
    success: Float[np.ndarray, " 101"]  # share of frames whose overlap is strictly above 0, .01 .. 1


@dataclass(frozen=True, slots=True)
class Got10kReport:
    overall: Got10kScores  # frames of all sequences and repetitions pooled
    per_sequence: Mapping[str, Got10kScores]


def clip(boxes: Float[np.ndarray, "T 4"], resolution: tuple[int, int]) -> Float[np.ndarray, "T 4"]:
    """Boxes in the image. The corner moves without shortening the box; then the box is cut at the far border."""
    bounds = np.array(resolution, dtype=boxes.dtype)
    corners = np.clip(boxes[:, :2], 0, bounds)
    return np.concatenate([corners, np.clip(boxes[:, 2:], 0, bounds - corners)], axis=1)


def overlaps(sequence: SequencePrediction) -> Float[np.ndarray, " N"]:
    """Overlap of every tracked frame with a visible target, one repetition after the other.

    Raises InputError without a repetition or when one has another length than the truth.
    """
    if not sequence.repetitions:
        raise InputError(f"{sequence.name}: no result; write {sequence.name}/{sequence.name}_001.txt")
    for prediction in sequence.repetitions:
        if prediction.shape != sequence.truth.shape:
            raise InputError(
                f"{sequence.name}: {len(prediction)} boxes for {len(sequence.truth)} frames; write one row per frame"
            )
    truth = clip(sequence.truth[1:], sequence.resolution)
    visible = sequence.cover[1:] > 0
    return np.concatenate(
        [continuous_iou(clip(boxes[1:], sequence.resolution), truth)[visible] for boxes in sequence.repetitions]
    )


def evaluate(sequences: Sequence[SequencePrediction]) -> Got10kReport:
    """Scores overall and per sequence. A sequence without a time file shows the speed of the sequence before it."""
    if not sequences:
        raise InputError("no sequence to evaluate")
    ious = [overlaps(sequence) for sequence in sequences]
    times = [None if sequence.times is None else sequence.times[sequence.times > 0] for sequence in sequences]
    per_sequence: dict[str, Got10kScores] = {}
    latest = np.empty(0)
    for sequence, iou, measured in zip(sequences, ious, times, strict=True):
        latest = latest if measured is None else measured
        per_sequence[sequence.name] = summarise(iou, latest)
    pooled = np.concatenate([np.empty(0), *(measured for measured in times if measured is not None)])
    return Got10kReport(overall=summarise(np.concatenate(ious), pooled), per_sequence=per_sequence)


def summarise(iou: Float[np.ndarray, " N"], times: Float[np.ndarray, " M"]) -> Got10kScores:
    success = (iou[:, None] > THRESHOLDS).mean(axis=0)
    return Got10kScores(
        ao=float(iou.mean()),
        sr50=float((iou > 0.5).mean()),
        sr75=float(success[75]),
        speed=float((1 / times).mean()) if len(times) > 0 else NO_TIMES,
        success=success,
    )
