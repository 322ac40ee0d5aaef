"""Variants side by side: what tables, plots and reports are made from."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

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
    """Tracking time per frame and tracker of the lockstep."""
    read: float
    """Spatial memories read per tracked frame and object; NaN where nothing was tracked."""


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

    def milliseconds(self, sequences: Iterable[str]) -> float:
        """Tracking time per frame, a share of the lockstep's."""
        return float(np.mean([self.videos[name].milliseconds for name in sequences]))

    def read(self, sequences: Iterable[str]) -> float:
        """Spatial memories read per tracked frame and object; NaN where nothing was tracked."""
        counts = np.array([self.videos[name].read for name in sequences])
        known = counts[~np.isnan(counts)]
        return float(known.mean()) if len(known) else float("nan")


@dataclass(frozen=True)
class TrackedRun(Run):
    """A tracker's results."""

    folder: RunFolder

    def record(self, sequence: str) -> SequenceRecord:
        return self.folder.load(sequence)


@dataclass(frozen=True)
class Comparison:
    """Variants on the same sequences; the first one is the baseline."""

    data: str
    runs: tuple[Run, ...]
    frames: int
    """Video frames of all locksteps the results came from; a frame that was tracked in two counts twice."""
    work: Work
    """Of all those locksteps together."""
    lost: Mapping[str, str] = field(default_factory=dict)
    """Variants without a single result, with the reason; they are not in `runs`."""

    @property
    def sequences(self) -> list[str]:
        """Those that every variant finished."""
        first, *others = self.runs
        return [name for name in first.videos if all(name in run.videos for run in others)]

    @property
    def failures(self) -> dict[str, str]:
        """Sequence -> reason, over all variants."""
        return {name: reason for run in self.runs for name, reason in run.failures.items()}
