"""Rank correlations of two orders, by hand, against scipy, and as far as their intervals go."""

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from framework.metrics.ranks import ClearPairs, rank_agreement


def constant(*means: float, videos: int = 3) -> np.ndarray:
    """Methods that score the same on every video, so that nothing is left to chance."""
    return np.repeat(np.array(means)[:, None], videos, axis=1)


def test_by_hand() -> None:
    """Ranks 1 2 3 4 against 2 1 3 4: sum of squared differences 2, 1 - 6 * 2 / (4 * 15) = .8; five pairs of six agree,
    one does not: 4 / 6."""
    found = rank_agreement(constant(0.1, 0.2, 0.3, 0.4), constant(0.6, 0.5, 0.7, 0.9, videos=8), resamples=50)
    assert (found.spearman.value, found.spearman.low, found.spearman.high) == pytest.approx((0.8, 0.8, 0.8))
    assert (found.kendall.value, found.kendall.low, found.kendall.high) == pytest.approx((4 / 6, 4 / 6, 4 / 6))
    assert found.repeated == pytest.approx((1.0, 1.0))
    assert found.clear == ClearPairs(pairs=6, first=6, second=6, both=6, agreeing=5)


def test_ties_by_hand() -> None:
    """Ranks 1 2.5 2.5 against 1 2 3: deviations -1 .5 .5 and -1 0 1, 1.5 / sqrt(1.5 * 2); of three pairs two agree
    and one is a tie in the first: 2 / sqrt(2 * 3)."""
    found = rank_agreement(constant(0.1, 0.2, 0.2), constant(0.1, 0.2, 0.3), resamples=10)
    assert found.spearman.value == pytest.approx(1.5 / 3**0.5) and found.kendall.value == pytest.approx(2 / 6**0.5)
    assert found.clear == ClearPairs(pairs=3, first=2, second=3, both=2, agreeing=2)


def test_an_order_turned_around() -> None:
    found = rank_agreement(constant(0.1, 0.2, 0.3), constant(0.3, 0.2, 0.1), resamples=10)
    assert (found.spearman.value, found.kendall.value) == pytest.approx((-1.0, -1.0))
    assert found.clear == ClearPairs(pairs=3, first=3, second=3, both=3, agreeing=0)


def test_all_ties_are_no_order() -> None:
    found = rank_agreement(constant(0.5, 0.5), constant(0.1, 0.2), resamples=10)
    assert np.isnan([found.spearman.value, found.kendall.low, found.repeated[0]]).all() and found.repeated[1] == 1.0
    assert found.clear.both == 0


def test_as_scipy_has_it() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(9, 20)), rng.normal(size=(9, 8))
    first[3] = first[4]
    found = rank_agreement(first, second, resamples=20)
    assert found.spearman.value == pytest.approx(spearmanr(first.mean(1), second.mean(1)).statistic)
    assert found.kendall.value == pytest.approx(kendalltau(first.mean(1), second.mean(1)).statistic)


def test_the_interval_resamples_the_videos_of_each() -> None:
    """Two methods, one ahead on two videos of three by as much as it is behind on the third: the mean is behind only
    where the third is drawn twice or more, with probability (3 * 2 + 1) / 27; a correlation of two is 1 or -1."""
    first = np.array([[0.0, 0.0, 1.0], [0.5, 0.5, 0.5]])
    found = rank_agreement(first, constant(0.1, 0.2), resamples=4000, seed=3)
    assert (found.spearman.value, found.spearman.low, found.spearman.high) == (1.0, -1.0, 1.0)
    ahead = (1 + found.repeated[0]) / 2
    assert ahead == pytest.approx(1 - 7 / 27, abs=0.02) and found.repeated[1] == 1.0
    assert found.clear == ClearPairs(pairs=1, first=0, second=1, both=0, agreeing=0)
    again = rank_agreement(first, constant(0.1, 0.2), resamples=4000, seed=3)
    assert again == found and rank_agreement(first, constant(0.1, 0.2), resamples=4000, seed=4).repeated[0] != ahead


def test_orders_of_many_videos_agree_more_surely_than_those_of_few() -> None:
    rng = np.random.default_rng(2)
    quality = np.linspace(0, 0.3, 7)[:, None]
    many, few = quality + rng.normal(0, 0.4, (7, 300)), quality + rng.normal(0, 0.4, (7, 8))
    against = constant(*quality[:, 0])
    wide, narrow = (rank_agreement(values, against, resamples=2000) for values in (few, many))
    assert narrow.spearman.high - narrow.spearman.low < wide.spearman.high - wide.spearman.low
    assert narrow.repeated[0] > wide.repeated[0] and narrow.clear.first > wide.clear.first


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (constant(0.1), constant(0.1), "two methods or more"),
        (constant(0.1, 0.2), constant(0.1, 0.2, videos=0), "a video in each"),
        (constant(0.1, 0.2), constant(0.1, float("nan")), "no mean to be ranked by"),
    ],
)
def test_what_has_no_order_is_refused(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rank_agreement(first, second)
