"""Paired differences: coverage, order, reproducibility, correction for many comparisons."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.metrics.statistics import gap_closed, holm, paired_difference


def test_a_constant_gain_is_certain():
    baseline = np.linspace(0.2, 0.8, 12)
    found = paired_difference(baseline + 0.05, baseline)
    assert found.mean == pytest.approx(0.05)
    assert found.low == pytest.approx(0.05) and found.high == pytest.approx(0.05)
    assert (found.wins, found.ties, found.losses) == (12, 0, 0)
    assert found.clear
    # All 12 signs must agree: 2 of 4096 sign patterns are as extreme.
    assert found.p == pytest.approx(2 / 4096, abs=5e-4)


def test_equal_variants_tie_everywhere():
    values = np.array([0.1, 0.5, 0.9])
    found = paired_difference(values, values.copy())
    assert (found.mean, found.low, found.high, found.ties, found.p) == (0.0, 0.0, 0.0, 3, 1.0)
    assert not found.clear


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        noise = rng.normal(0.02, 0.1, 40)
        found = paired_difference(noise, np.zeros(40), resamples=500, seed=trial)
        covered += found.low <= 0.02 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_matches_the_normal_interval_on_many_videos():
    differences = np.random.default_rng(2).normal(0.01, 0.05, 400)
    found = paired_difference(differences, np.zeros(400))
    half = 1.96 * differences.std() / 20
    assert found.high - found.low == pytest.approx(2 * half, rel=0.05)


def test_same_seed_same_answer_and_other_seed_other_interval():
    rng = np.random.default_rng(3)
    a, b = rng.random(20), rng.random(20)
    assert paired_difference(a, b, seed=5) == paired_difference(a, b, seed=5)
    assert paired_difference(a, b, seed=5).low != paired_difference(a, b, seed=6).low


def test_videos_that_lack_a_value_are_left_out():
    a, b = np.array([0.5, math.nan, 0.7]), np.array([0.4, 0.1, math.nan])
    found = paired_difference(a, b)
    assert found.videos == 1 and found.mean == pytest.approx(0.1)
    assert math.isnan(paired_difference(a[1:2], b[1:2]).mean)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=30))
@settings(max_examples=30, deadline=None)
def test_swapping_the_two_sides_mirrors_everything(pairs):
    a, b = np.array(pairs, dtype=np.float64).T
    there, back = paired_difference(a, b, resamples=200), paired_difference(b, a, resamples=200)
    assert back.mean == pytest.approx(-there.mean, abs=1e-12)
    assert back.low == pytest.approx(-there.high, abs=1e-9) and back.high == pytest.approx(-there.low, abs=1e-9)
    assert (back.wins, back.ties, back.losses) == (there.losses, there.ties, there.wins)
    assert there.videos == len(pairs)


def test_gap_closed_by_hand_and_at_its_ends():
    baseline = np.linspace(0.2, 0.6, 20)
    oracle = baseline + np.random.default_rng(4).uniform(0.05, 0.15, 20)
    half = gap_closed((baseline + oracle) / 2, baseline, oracle)
    assert (half.mean, half.low, half.high) == pytest.approx((0.5, 0.5, 0.5))  # half of every video's gap
    assert gap_closed(oracle, baseline, oracle).low == pytest.approx(1.0)
    assert gap_closed(baseline, baseline, oracle).high == 0.0
    assert math.isnan(gap_closed(oracle, baseline, baseline.copy()).mean)


def test_the_interval_of_a_closed_gap_covers_the_truth_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(6), 0
    for trial in range(150):
        gaps, noise = rng.normal(0.1, 0.1, 50), rng.normal(0, 0.05, 50)
        found = gap_closed(0.6 * gaps + noise, np.zeros(50), gaps, resamples=400, seed=trial)
        covered += found.low <= 0.6 <= found.high
    assert 0.88 <= covered / 150 <= 0.99


def test_a_video_that_lacks_a_value_takes_no_part_in_the_gap():
    values, baseline, oracle = np.array([0.5, 0.9, 0.4]), np.array([0.3, 0.1, 0.2]), np.array([0.7, math.nan, 0.6])
    assert gap_closed(values, baseline, oracle).mean == pytest.approx(0.5)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    corrected = holm([math.nan, 0.02])
    assert math.isnan(corrected[0]) and corrected[1] == pytest.approx(0.02)
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_holm_only_raises_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    assert all(c >= p - 1e-15 and c <= 1 for c, p in zip(corrected, p_values, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(corrected)[order]) >= -1e-12)
