"""Accuracy, robustness and expected average overlap of VOT-ST, where a sub-sequence starts at every anchor.

Measures: Kristan et al., "The Eighth Visual Object Tracking VOT2020 Challenge", as the VOT toolkit computes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from framework.errors import InputError
from framework.metrics.regions import Region
from framework.metrics.vots import ObjectPrediction


@dataclass(frozen=True, slots=True)
class MultistartSequence:
    name: str
    size: tuple[int, int]  # width, height
    frames: int
    subsequences: tuple[ObjectPrediction, ...]  # one per anchor, to an end of the video; a backward one is reversed


@dataclass(frozen=True, slots=True)
class Failure:
    """When the target counts as lost: that many frames in a row up to that overlap while it is visible."""

    overlap: float = 0.1
    frames: int = 10

    def progress(self, overlap: Float[np.ndarray, " T"], truth: Sequence[Region]) -> int:
        """Frames before the target was lost; all of them if it was not. The prompted frame counts as a miss."""
        patience = self.frames
        for i, (value, region) in enumerate(zip(overlap.tolist(), truth, strict=True)):
            patience = patience - 1 if value <= self.overlap and not region.empty else self.frames
            if patience == 0:
                return i + 1 - self.frames
        return len(overlap)


FAILURE = Failure()


@dataclass(frozen=True, slots=True)
class MultistartScores:
    accuracy: float  # mean overlap before failures, 0..1
    robustness: float  # share of frames before failures
    accuracy_weight: int  # frames before failures
    robustness_weight: int  # frames of the sequence


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected average overlap of sub-sequences of 0, 1 .. frames."""

    overlap: Float[np.ndarray, " N"]
    counts: Float[np.ndarray, " N"]  # sub-sequences it is a mean of


@dataclass(frozen=True, slots=True)
class MultistartReport:
    accuracy: float  # sequences weighted by frames before failures
    robustness: float  # sequences weighted by length
    per_sequence: Mapping[str, MultistartScores]
    expected: Mapping[str, Expected]  # per sequence
    curve: Float[np.ndarray, " N"]  # expected overlap of all sequences, weighted by their counts

    def eao(self, low: int = 115, high: int = 755) -> float:
        """Expected average overlap: mean of the curve over lengths low .. high - 1 (VOT2020 to VOT2022: 115, 755)."""
        if not 0 <= low < high <= len(self.curve):
            raise InputError(f"no lengths {low}..{high} in a curve of {len(self.curve)}; evaluate a longer one")
        return float(self.curve[low:high].mean())


def expected_overlap(overlaps: Sequence[Float[np.ndarray, " _"]], lost: Sequence[bool], length: int) -> Expected:
    """Mean overlap over the first j frames after the prompt, over all sub-sequences that long, for j = 0 .. length - 1.

    One that lost its target has overlap 0 from there on and counts at every length; past the end of its video
    its sum is divided by j - 1 and not by j, as in the toolkit. Another one leaves when its video ends.
    """
    total, active = np.zeros(length), np.zeros(length)
    lengths = np.arange(length)
    for overlap, failed in zip(overlaps, lost, strict=True):
        inside, past = lengths[1 : len(overlap)], lengths[max(len(overlap), 2) :]
        total[inside] += np.cumsum(overlap[1:])[: len(inside)] / inside
        active[inside] += 1
        if failed:
            total[past] += overlap[1:].sum() / (past - 1)
            active[past] += 1
    return Expected(np.divide(total, active, out=np.zeros(length), where=active > 0), active)


def evaluate_multistart(
    sequences: Sequence[MultistartSequence], length: int = 755, failure: Failure = FAILURE
) -> MultistartReport:
    """Accuracy, robustness and the expected-overlap curve of `length` points."""
    if not sequences or not all(sequence.subsequences for sequence in sequences):
        raise InputError("no sequence, or a sequence without anchors, to evaluate")
    per_sequence, expected = {}, {}
    for sequence in sequences:
        overlaps = [part.overlaps(sequence.size) for part in sequence.subsequences]
        ends = [
            failure.progress(overlap, part.truth) for overlap, part in zip(overlaps, sequence.subsequences, strict=True)
        ]
        tracked = [
            np.where(np.arange(len(overlap)) < end, overlap, 0.0) for overlap, end in zip(overlaps, ends, strict=True)
        ]
        lost = [end < len(overlap) for overlap, end in zip(overlaps, ends, strict=True)]
        progress, frames = sum(ends), sum(map(len, overlaps))
        per_sequence[sequence.name] = MultistartScores(
            accuracy=float(sum(overlap.sum() for overlap in tracked)) / progress if progress > 0 else 0.0,
            robustness=progress / frames,
            accuracy_weight=progress,
            robustness_weight=sequence.frames,
        )
        expected[sequence.name] = expected_overlap(tracked, lost, length)
    scores = list(per_sequence.values())
    tracked_frames = sum(s.accuracy_weight for s in scores)
    active = np.sum([e.counts for e in expected.values()], axis=0)
    total = np.sum([e.overlap * e.counts for e in expected.values()], axis=0)
    return MultistartReport(
        accuracy=sum(s.accuracy * s.accuracy_weight for s in scores) / max(tracked_frames, 1),
        robustness=float(np.average([s.robustness for s in scores], weights=[s.robustness_weight for s in scores])),
        per_sequence=per_sequence,
        expected=expected,
        curve=np.divide(total, active, out=np.zeros(length), where=active > 0),
    )
