"""Do two comparisons put the same methods in the same order? Rank correlations, resampled over videos.

The videos of the two comparisons are others, so each is resampled by itself. Resampling adds noise to an order that is
uncertain already: the middle of an interval lies nearer to 0 than the value itself, the more so the fewer the videos.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from framework.metrics.statistics import RESAMPLES

SAME = 9
"""Digits to which means are equal: sums of the same numbers differ in the last bits."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """A rank correlation, -1..1, with its percentile-bootstrap interval; NaN where an order is all ties."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClearPairs:
    """Pairs of methods whose mean difference has an interval that leaves zero out, each pair by itself."""

    pairs: int
    """All of them."""
    first: int
    """Clear in the first comparison."""
    second: int
    both: int
    agreeing: int
    """Clear in both, with the same one ahead."""


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """How far two orders of the same methods agree."""

    spearman: Correlation
    """By ranks, ties at their middle (Spearman 1904)."""
    kendall: Correlation
    """By pairs: tau-b (Kendall 1945)."""
    repeated: tuple[float, float]
    """Mean Spearman correlation of each order with that of its own resamples: about what an agreement can reach."""
    clear: ClearPairs


def rank_agreement(
    first: Float[np.ndarray, "methods videos1"],
    second: Float[np.ndarray, "methods videos2"],
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RankAgreement:
    """Of the methods' means over videos; ValueError without two methods, a video, or with a value that is NaN."""
    if len(first) < 2 or not first.size or not second.size:
        raise ValueError("an order takes two methods or more, and a video in each comparison")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("a method without a score on a video has no mean to be ranked by")
    rng = np.random.default_rng(seed)
    means = [_means(values, resamples, rng) for values in (first, second)]  # the first row of each: not resampled
    ranks = [rankdata(rows, axis=1) for rows in means]
    one, two = np.triu_indices(len(first), k=1)
    differences = [rows[:, one] - rows[:, two] for rows in means]
    signs = [np.sign(rows) for rows in differences]
    bounds = [np.quantile(rows[1:], [(1 - level) / 2, (1 + level) / 2], axis=0) for rows in differences]
    clear = [(low > 0) | (high < 0) for low, high in bounds]
    same = clear[0] & clear[1] & (signs[0][0] == signs[1][0])
    return RankAgreement(
        spearman=_interval(_correlations(*ranks), level),
        kendall=_interval(_concordance(*signs), level),
        repeated=(_repeated(ranks[0]), _repeated(ranks[1])),
        clear=ClearPairs(
            len(one), int(clear[0].sum()), int(clear[1].sum()), int((clear[0] & clear[1]).sum()), int(same.sum())
        ),
    )


def _means(
    values: Float[np.ndarray, "methods videos"], resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "rows methods"]:
    """Over the videos, then over each resample of them."""
    videos = values.shape[1]
    weights = rng.multinomial(videos, np.full(videos, 1 / videos), size=resamples) / videos
    return np.round(np.concatenate([np.full((1, videos), 1 / videos), weights]) @ values.T, SAME)


def _repeated(ranks: Float[np.ndarray, "rows methods"]) -> float:
    """Mean correlation of the first row with the others; NaN where it is all ties."""
    found = _correlations(np.broadcast_to(ranks[0], ranks.shape), ranks)[1:]
    return float(np.nanmean(found)) if not np.isnan(found).all() else math.nan


def _correlations(
    first: Float[np.ndarray, "rows methods"], second: Float[np.ndarray, "rows methods"]
) -> Float[np.ndarray, " rows"]:
    """Pearson's, row by row."""
    one, two = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (first, second))
    return _normalised((one * two).sum(axis=1), (one**2).sum(axis=1) * (two**2).sum(axis=1))


def _concordance(
    first: Float[np.ndarray, "rows pairs"], second: Float[np.ndarray, "rows pairs"]
) -> Float[np.ndarray, " rows"]:
    """Kendall's tau-b from the signs of the differences, row by row."""
    return _normalised((first * second).sum(axis=1), np.abs(first).sum(axis=1) * np.abs(second).sum(axis=1))


def _normalised(products: Float[np.ndarray, " rows"], squares: Float[np.ndarray, " rows"]) -> np.ndarray:
    return np.divide(products, np.sqrt(squares), out=np.full(len(products), np.nan), where=squares > 0)


def _interval(values: Float[np.ndarray, " rows"], level: float) -> Correlation:
    resampled = values[1:][~np.isnan(values[1:])]
    if math.isnan(values[0]) or not len(resampled):
        return Correlation(math.nan, math.nan, math.nan)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Correlation(float(values[0]), low, high)
