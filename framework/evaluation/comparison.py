"""Variants side by side: what tables, plots and reports are made from."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from framework.errors import InputError
from framework.evaluation.records import SequenceRecord
from framework.evaluation.results import RunFolder
from framework.metrics.tracking import TrackingScores, mean_scores
from framework.storage import identity
from framework.types import Work


@dataclass(frozen=True, slots=True)
class VideoScores:
    """What tables need of one video."""

    scores: TrackingScores
    ranges: list[float]
    """Mean IoU in each tenth of the video."""
    milliseconds: float
    """Its share of the lockstep's tracking time, per frame."""
    read: float
    """Spatial memories read per tracked frame and object; NaN where nothing was tracked."""
    lockstep: str
    """The lockstep it was tracked in."""
    sharing: int
    """Trackers in that lockstep."""
    alone: float = math.nan
    """Milliseconds per frame that it would take by itself; NaN, like what follows, where it was not measured."""
    decisions: float = math.nan
    """Milliseconds per frame in its memory policy, motion model and selector."""
    held: float = math.nan
    """MiB of all tensors that its state keeps after the last frame."""

    @classmethod
    def of(cls, record: SequenceRecord, scores: TrackingScores) -> "VideoScores":
        """Of a record and its scores; a time that was not measured by tracker is divided equally."""
        each, cost = 1000 / record.length, record.cost
        return cls(
            scores=scores,
            ranges=record.ranges(),
            milliseconds=each * record.own_seconds(),
            read=record.read(),
            lockstep=record.lockstep,
            sharing=record.sharing,
            alone=math.nan if cost is None else each * cost.alone,
            decisions=math.nan if cost is None else each * cost.decisions,
            held=math.nan if cost is None else cost.held / 2**20,
        )


@dataclass(frozen=True)
class Run(ABC):
    """One row of a comparison: a variant on one data set."""

    name: str
    identity: Mapping[str, Any]
    """All that decides its results."""
    videos: Mapping[str, VideoScores]
    """By sequence name, in the order of the data set."""
    failures: Mapping[str, str]
    """Sequence -> reason."""
    bound: bool
    """Sees the truth: not a method."""

    @abstractmethod
    def record(self, sequence: str) -> SequenceRecord:
        """Its result on a sequence in `videos`."""

    @property
    def hash(self) -> str:
        """The same for the same experiment."""
        return identity.run_hash(self.identity)

    def values(self, metric: str, sequences: Iterable[str]) -> Float[np.ndarray, " videos"]:
        """One score (a field of `TrackingScores`) on these sequences."""
        return np.array([getattr(self.videos[name].scores, metric) for name in sequences], dtype=np.float64)

    def mean(self, sequences: Iterable[str]) -> TrackingScores:
        """Mean over sequences."""
        return mean_scores([self.videos[name].scores for name in sequences])

    def cost(self, name: str, sequences: Iterable[str]) -> float:
        """A cost (`milliseconds`, `alone`, `decisions` or `held` of `VideoScores`), the mean over sequences."""
        return float(np.mean([getattr(self.videos[sequence], name) for sequence in sequences]))

    def sharing(self, sequences: Iterable[str]) -> tuple[int, int]:
        """Fewest and most trackers that its time was shared by."""
        counts = [self.videos[name].sharing for name in sequences]
        return min(counts), max(counts)

    def read(self, sequences: Iterable[str]) -> float:
        """Spatial memories read per tracked frame and object; NaN where nothing was tracked."""
        counts = np.array([self.videos[name].read for name in sequences])
        known = counts[~np.isnan(counts)]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def tracked(self) -> bool:
        """Whether `record` gives its own results."""
        return self.drawn == self.name

    @property
    def drawn(self) -> str:
        """Name of what `record` gives."""
        return self.name


@dataclass(frozen=True)
class TrackedRun(Run):
    """A tracker's results."""

    folder: RunFolder

    def record(self, sequence: str) -> SequenceRecord:
        return self.folder.load(sequence)


@dataclass(frozen=True, slots=True)
class Lockstep:
    """What trackers that ran side by side on one sequence cost together."""

    frames: int
    work: Work


@dataclass(frozen=True)
class Comparison:
    """Variants on the same sequences; the first one is the baseline.

    What `evaluate` gives. `framework.report.data_frames` makes pandas frames of it, `framework.report.report.Reporter`
    tables and pages.
    """

    data: str
    """Name of the data set."""
    runs: tuple[Run, ...]
    """One per variant, in their order."""
    locksteps: Mapping[str, Lockstep]
    """All that the results came from."""
    lost: Mapping[str, str] = field(default_factory=dict)
    """Variants without a single result, with the reason; they are not in `runs`."""

    @property
    def frames(self) -> int:
        """Video frames of all locksteps; a frame that was tracked in two counts twice."""
        return sum(lockstep.frames for lockstep in self.locksteps.values())

    @property
    def work(self) -> Work:
        """Of all locksteps together."""
        return sum((lockstep.work for lockstep in self.locksteps.values()), Work())

    @property
    def sequences(self) -> list[str]:
        """Those that every variant finished."""
        first, *others = self.runs
        return [name for name in first.videos if all(name in run.videos for run in others)]

    def records(self, sequence: str) -> dict[str, SequenceRecord]:
        """What was tracked of a sequence that every variant finished, by the name of the variant that tracked it."""
        return {run.drawn: run.record(sequence) for run in self.runs}

    @property
    def timed_alike(self) -> bool:
        """Whether all variants were tracked in the same locksteps, or each alone, so that their times compare."""
        for name in self.sequences:
            videos = [run.videos[name] for run in self.runs]
            if len({video.lockstep for video in videos}) > 1 and any(video.sharing > 1 for video in videos):
                return False
        return True

    @property
    def failures(self) -> dict[str, str]:
        """Sequence -> reason, over all variants."""
        return {name: reason for run in self.runs for name, reason in run.failures.items()}


def merged(comparisons: Sequence[Comparison]) -> Comparison:
    """One comparison of all runs of several on one data set, in their order; of equal runs the first one stays.

    Raises InputError for comparisons on different data sets.
    """
    if len({comparison.data for comparison in comparisons}) != 1:
        raise InputError("only comparisons on one data set can be put together")
    runs: dict[str, Run] = {}
    lost: dict[str, str] = {}
    for comparison in comparisons:
        lost.update(comparison.lost)
        for run in comparison.runs:
            runs.setdefault(run.hash, run)
    locksteps = {key: cost for comparison in comparisons for key, cost in comparison.locksteps.items()}
    return Comparison(comparisons[0].data, tuple(runs.values()), locksteps, lost)
