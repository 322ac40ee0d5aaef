"""Is one variant better than another on the same videos? Paired differences, resampled over videos.

Videos are the unit of chance: frames of one video are not independent of one another.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

RESAMPLES = 10_000
TIE = 5e-4
"""Differences up to this size are ties: no table of three digits shows them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of (variant - baseline) over the videos that both have."""

    mean: float
    low: float
    """Lower end of the confidence interval."""
    high: float
    wins: int
    """Videos on which the variant is better."""
    ties: int
    losses: int
    p: float
    """Two-sided: chance of a mean difference as large if the sign of each video's difference were a coin toss."""

    @property
    def videos(self) -> int:
        return self.wins + self.ties + self.losses

    @property
    def clear(self) -> bool:
        """The interval leaves zero out."""
        return self.low > 0 or self.high < 0


def paired_difference(
    values: Float[np.ndarray, " videos"],
    baseline: Float[np.ndarray, " videos"],
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Percentile bootstrap (Efron & Tibshirani 1993, chapter 13) of the mean difference over videos.

    Videos on which either value is NaN are left out. The same seed resamples the same videos, so the rows of one
    table are comparable. With no video left every number is NaN; with fewer than two the interval is the point.
    """
    differences = values - baseline
    differences = differences[~np.isnan(differences)]
    count = len(differences)
    if count == 0:
        return Difference(math.nan, math.nan, math.nan, 0, 0, 0, math.nan)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    flipped = np.empty(resamples)
    chunk = max(1, 4_000_000 // count)  # bounds the scratch memory on data sets of thousands of videos
    for start in range(0, resamples, chunk):
        rows = slice(start, min(start + chunk, resamples))
        shape = (rows.stop - rows.start, count)
        means[rows] = differences[rng.integers(count, size=shape)].mean(axis=1)
        flipped[rows] = (rng.choice((-1.0, 1.0), size=shape) * differences).mean(axis=1)
    return _difference(differences, means, flipped, level)


def crossed_difference(
    values: Float[np.ndarray, "runs videos"],
    baseline: Float[np.ndarray, " videos"],
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Of the mean of several runs, such as seeds: the interval resamples runs and videos, each by themselves.

    That is the pigeonhole bootstrap (Owen 2007). Wins, losses and p are those of the mean over runs on every video.
    Videos on which any value is NaN are left out; with none left every number is NaN.
    """
    differences = values - baseline
    differences = differences[:, ~np.isnan(differences).any(axis=0)]
    runs, videos = differences.shape
    if videos == 0:
        return Difference(math.nan, math.nan, math.nan, 0, 0, 0, math.nan)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    flipped = np.empty(resamples)
    chunk = max(1, 4_000_000 // (videos + runs))
    for start in range(0, resamples, chunk):
        rows = slice(start, min(start + chunk, resamples))
        count = rows.stop - rows.start
        weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=count) / runs
        times = rng.multinomial(videos, np.full(videos, 1 / videos), size=count) / videos
        means[rows] = ((weights @ differences) * times).sum(axis=1)
        signs = rng.choice((-1.0, 1.0), size=(count, videos))
        flipped[rows] = (signs * differences.mean(axis=0)).mean(axis=1)
    return _difference(differences.mean(axis=0), means, flipped, level)


def _difference(
    differences: Float[np.ndarray, " videos"],
    means: Float[np.ndarray, " resamples"],
    flipped: Float[np.ndarray, " resamples"],
    level: float,
) -> Difference:
    """By the differences of every video, their resampled means, and means of differences with random signs."""
    mean = float(differences.mean())
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2]).tolist()
    extreme = int((np.abs(flipped) >= abs(mean) - 1e-12).sum())
    return Difference(
        mean=mean,
        low=low,
        high=high,
        wins=int((differences > TIE).sum()),
        ties=int((np.abs(differences) <= TIE).sum()),
        losses=int((differences < -TIE).sum()),
        p=(extreme + 1) / (len(flipped) + 1),
    )


@dataclass(frozen=True, slots=True)
class GapClosed:
    """Share of the way from a baseline to an oracle; 0 is the baseline, 1 the oracle."""

    mean: float
    low: float
    """Lower end of the confidence interval."""
    high: float


def gap_closed(
    values: Float[np.ndarray, " videos"],
    baseline: Float[np.ndarray, " videos"],
    oracle: Float[np.ndarray, " videos"],
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> GapClosed:
    """(values - baseline) / (oracle - baseline), each the mean over videos, with a percentile-bootstrap interval.

    All three are resampled together. Videos on which one of them is NaN are left out, and so are resamples in which the
    oracle's gap has not the sign that it has over all videos: of a gap whose own interval leaves out zero, those are at
    most (1 - level) / 2. NaN without a video or without a gap.
    """
    gains, gaps = values - baseline, oracle - baseline
    known = ~np.isnan(gains + gaps)
    gains, gaps = gains[known], gaps[known]
    if not known.any() or gaps.mean() == 0:
        return GapClosed(math.nan, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    chunk = max(1, 4_000_000 // len(gaps))
    shares = []
    for start in range(0, resamples, chunk):
        picked = rng.integers(len(gaps), size=(min(chunk, resamples - start), len(gaps)))
        gain, gap = gains[picked].mean(axis=1), gaps[picked].mean(axis=1)
        kept = gap * np.sign(gaps.mean()) > 0
        shares.append(gain[kept] / gap[kept])
    low, high = np.quantile(np.concatenate(shares), [(1 - level) / 2, (1 + level) / 2]).tolist()
    return GapClosed(float(gains.mean() / gaps.mean()), low, high)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for making several comparisons (Holm 1979); NaN stays NaN and does not count."""
    known = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[index] = largest
    return corrected
