"""Quality, accuracy and robustness of VOTS and DiDi, as the VOT toolkit computes them.

Measures: Kristan et al., "The First Visual Object Tracking Segmentation VOTS2023 Challenge". Each object is tracked
once, without reset; regions are compared as pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from framework.errors import InputError
from framework.metrics.regions import FAILED, PROMPTED, UNKNOWN, Region, overlap


@dataclass(frozen=True, slots=True)
class ObjectPrediction:
    """One tracker on one object from its prompt on."""

    truth: tuple[Region, ...]  # one per frame
    result: tuple[Region, ...]  # one per frame; the first is PROMPTED

    def __post_init__(self) -> None:
        if len(self.truth) != len(self.result):
            raise InputError(
                f"a result of {len(self.result)} regions for {len(self.truth)} frames; write one per frame"
            )

    def overlaps(self, size: tuple[int, int] | None) -> Float[np.ndarray, " T"]:
        """Overlap per frame."""
        pairs = zip(self.result, self.truth, strict=True)
        return np.array([overlap(result, truth, size) for result, truth in pairs], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class SequencePrediction:
    name: str
    size: tuple[int, int]  # width, height
    objects: Mapping[str, ObjectPrediction]


@dataclass(frozen=True, slots=True)
class Averaged:
    """Which frames of an object a mean overlap is taken over. Frames of unknown truth or after a failure never are."""

    burnin: int = 0  # frames left out from the prompt on
    unreported: bool = True  # frames where the result is unknown; as empty
    invisible: bool = True  # frames where the truth is empty
    above: float = -1.0  # frames up to this overlap are left out

    def frames(self, prediction: ObjectPrediction, overlap: Float[np.ndarray, " T"]) -> Bool[np.ndarray, " T"]:
        kept = np.ones(len(overlap), dtype=bool)
        for i, (result, truth) in enumerate(zip(prediction.result, prediction.truth, strict=True)):
            if result == PROMPTED:
                # Without a burn-in the prompted frame stays, at overlap 0, whatever the other rules say.
                kept[i : i + self.burnin] = False
            elif (
                result == FAILED
                or truth == UNKNOWN
                or (result == UNKNOWN and not self.unreported)
                or (truth.empty and not self.invisible)
                or overlap[i] <= self.above
            ):
                kept[i] = False
        return kept


QUALITY = Averaged()
ACCURACY = Averaged(invisible=False, above=0.0)
TOOLKIT_DEFAULT = Averaged(burnin=10, unreported=False)


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """Frames of one object by what happened in them; frames of unknown truth are in none."""

    tracked: int  # T: visible, overlap above 0
    drifted: int  # F: visible, predicted elsewhere
    missed: int  # M: visible, nothing predicted
    hallucinated: int  # H: absent, something predicted
    noticed: int  # N: absent, nothing predicted

    @property
    def visible(self) -> int:
        return self.tracked + self.drifted + self.missed

    @property
    def absent(self) -> int:
        return self.hallucinated + self.noticed


def count_frames(prediction: ObjectPrediction, overlap: Float[np.ndarray, " T"]) -> FrameCounts:
    tracked = drifted = missed = hallucinated = noticed = 0
    for result, truth, value in zip(prediction.result, prediction.truth, overlap.tolist(), strict=True):
        if truth == UNKNOWN:
            continue
        if truth.empty:
            noticed += result.empty
            hallucinated += not result.empty
        elif value > 0:
            tracked += 1
        else:
            missed += result.empty
            drifted += not result.empty
    return FrameCounts(tracked, drifted, missed, hallucinated, noticed)


@dataclass(frozen=True, slots=True)
class ObjectScores:
    overlap: Float[np.ndarray, " T"]
    counts: FrameCounts
    quality: float
    accuracy: float
    quality_frames: int
    accuracy_frames: int
    toolkit_default: float


@dataclass(frozen=True, slots=True)
class VotsScores:
    """Shares of frames and mean overlaps, 0..1; None where no object has frames to measure it on."""

    quality: float
    accuracy: float
    robustness: float | None
    not_reported_error: float | None  # NRE
    drift_rate_error: float | None  # DRE
    absence_detection: float | None  # ADQ
    toolkit_default: float  # "average accuracy" with the toolkit's defaults, weighted by length overall


@dataclass(frozen=True, slots=True)
class VotsReport:
    overall: VotsScores
    per_sequence: Mapping[str, VotsScores]
    objects: Mapping[tuple[str, str], ObjectScores]


ABSENT_FRAMES = 10  # absence detection is measured on objects with more absent frames


def score_object(prediction: ObjectPrediction, size: tuple[int, int]) -> ObjectScores:
    overlap = prediction.overlaps(size)

    def mean(rule: Averaged) -> tuple[float, int]:
        chosen = overlap[rule.frames(prediction, overlap)]
        return (float(chosen.mean()) if len(chosen) > 0 else 0.0), len(chosen)

    quality, quality_frames = mean(QUALITY)
    accuracy, accuracy_frames = mean(ACCURACY)
    counts = count_frames(prediction, overlap)
    return ObjectScores(overlap, counts, quality, accuracy, quality_frames, accuracy_frames, mean(TOOLKIT_DEFAULT)[0])


def mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def score_sequence(objects: Sequence[ObjectScores]) -> VotsScores:
    """Unweighted means over the objects that have frames for the measure."""
    counts = [o.counts for o in objects]
    seen = [c for c in counts if c.visible > 0]
    return VotsScores(
        quality=float(np.mean([o.quality for o in objects])),
        accuracy=float(np.mean([o.accuracy for o in objects])),
        robustness=mean_or_none([c.tracked / c.visible for c in seen]),
        not_reported_error=mean_or_none([c.missed / c.visible for c in seen]),
        drift_rate_error=mean_or_none([c.drifted / c.visible for c in seen]),
        absence_detection=mean_or_none([c.noticed / c.absent for c in counts if c.absent > ABSENT_FRAMES]),
        toolkit_default=float(np.mean([o.toolkit_default for o in objects])),
    )


def evaluate(sequences: Sequence[SequencePrediction]) -> VotsReport:
    """Unweighted means over sequences of the means over objects."""
    if not sequences or not all(sequence.objects for sequence in sequences):
        raise InputError("no sequence, or a sequence without objects, to evaluate")
    objects = {(s.name, key): score_object(o, s.size) for s in sequences for key, o in s.objects.items()}
    per_sequence = {s.name: score_sequence([objects[s.name, key] for key in s.objects]) for s in sequences}
    lengths = [len(next(iter(s.objects.values())).truth) for s in sequences]
    scores = list(per_sequence.values())
    overall = VotsScores(
        quality=float(np.mean([s.quality for s in scores])),
        accuracy=float(np.mean([s.accuracy for s in scores])),
        robustness=mean_or_none([s.robustness for s in scores]),
        not_reported_error=mean_or_none([s.not_reported_error for s in scores]),
        drift_rate_error=mean_or_none([s.drift_rate_error for s in scores]),
        absence_detection=mean_or_none([s.absence_detection for s in scores]),
        toolkit_default=float(np.average([s.toolkit_default for s in scores], weights=lengths)),
    )
    return VotsReport(overall, per_sequence, objects)
