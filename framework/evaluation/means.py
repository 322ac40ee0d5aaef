"""Variants that differ by chance alone, such as seeds, as one row: their mean, and how far they lie apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from framework.evaluation.best_of import matching
from framework.evaluation.comparison import Comparison, Run, VideoScores
from framework.evaluation.records import SequenceRecord
from framework.metrics.tracking import mean_scores


@dataclass(frozen=True)
class MeanRun(Run):
    """On every video the mean of several runs' scores."""

    parts: tuple[Run, ...]

    def record(self, sequence: str) -> SequenceRecord:
        """One of the runs' results, the first one's: a mean has no masks."""
        return self.parts[0].record(sequence)

    @property
    def drawn(self) -> str:
        return f"{self.name}: {self.parts[0].name}"

    def parts_values(self, metric: str, sequences: Sequence[str]) -> Float[np.ndarray, "runs videos"]:
        """One score of every part on these sequences."""
        return np.stack([run.values(metric, sequences) for run in self.parts])

    def deviation(self, metric: str, sequences: Sequence[str]) -> float:
        """Standard deviation over the runs (n - 1) of their mean over sequences; NaN for a single run."""
        means = [getattr(run.mean(sequences), metric) for run in self.parts]
        return float(np.std(means, ddof=1)) if len(means) > 1 else float("nan")


def with_means(
    comparison: Comparison, means: Mapping[str, Sequence[str]], among: Sequence[Run] | None = None
) -> Comparison:
    """Adds a row per entry of `means`: the mean of the variants it lists.

    A variant is listed by its name, or by a pattern (``random policy.seed=*``), whose rows are folded into the new one.

    Args:
        among: runs to choose from; None: the comparison's.
    """
    runs = comparison.runs if among is None else among
    names = [run.name for run in runs]
    folded: set[str] = set()
    made: list[Run] = []
    for name, patterns in means.items():
        listed = matching(patterns, names)
        folded.update(matching([pattern for pattern in patterns if pattern not in names], names))
        if parts := tuple(run for run in runs if run.name in listed):
            made.append(_mean(name, parts))
    return replace(comparison, runs=(*(run for run in comparison.runs if run.name not in folded), *made))


def _mean(name: str, parts: tuple[Run, ...]) -> MeanRun:
    sequences = [sequence for sequence in parts[0].videos if all(sequence in run.videos for run in parts)]
    return MeanRun(
        name=name,
        identity={"mean of": [run.hash for run in parts]},
        videos={sequence: _mean_video([run.videos[sequence] for run in parts]) for sequence in sequences},
        failures={sequence: reason for run in parts for sequence, reason in run.failures.items()},
        bound=any(run.bound for run in parts),
        parts=parts,
    )


def _mean_video(videos: Sequence[VideoScores]) -> VideoScores:
    ranges = np.array([video.ranges for video in videos])  # scored frames are the same in all of them
    return VideoScores(
        scores=mean_scores([video.scores for video in videos]),
        ranges=ranges.mean(axis=0).tolist(),
        milliseconds=float(np.mean([video.milliseconds for video in videos])),
        read=float(np.mean([video.read for video in videos])),
        lockstep=" ".join(sorted({video.lockstep for video in videos})),
        sharing=max(video.sharing for video in videos),
        alone=float(np.mean([video.alone for video in videos])),
        decisions=float(np.mean([video.decisions for video in videos])),
        held=float(np.mean([video.held for video in videos])),
    )
