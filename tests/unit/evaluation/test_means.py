"""Runs that differ by chance as one row: their mean, how far they lie apart, and an interval over both."""

from dataclasses import replace

import numpy as np
import pytest

from framework.errors import InputError
from framework.evaluation.evaluate import evaluate
from framework.evaluation.means import with_means
from framework.metrics.statistics import crossed_difference, paired_difference
from framework.report import table
from framework.report.attributes import by_attribute
from framework.report.report import Reporter
from framework.report.table import TableLayout
from framework.tracker import Tracker
from tests.fakes.squares import First, Latest, Square, SquareNetwork, Squares

NETWORK = SquareNetwork()
POLICIES = {
    "first": First(),
    "latest count=1": Latest(count=1),
    "latest count=2": Latest(),
    "latest count=9": Latest(9),
}
VIDEOS = Squares((*Squares().videos, Square("delta", 12, 1, (5, 7))))
MEANS = {"latest": ["latest count=*"]}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    trackers = {name: Tracker(NETWORK, policy) for name, policy in POLICIES.items()}
    return evaluate(trackers, VIDEOS, tmp_path_factory.mktemp("results"))


def test_a_row_is_the_mean_of_its_runs_and_says_how_far_they_lie_apart(comparison):
    parts = np.stack([run.values("jaccard", comparison.sequences) for run in comparison.runs[1:]])
    assert np.ptp(parts.mean(axis=1)) > 0.01, "runs that are all alike would show nothing"
    report = Reporter(means=MEANS, pictures=1, attributes=True).report(comparison, VIDEOS, "")
    first, latest = report.rows
    assert (latest.variant, latest.runs, latest.bound, first.runs) == ("latest", 3, False, 1)
    assert latest.mean == pytest.approx(parts.mean()) and np.isnan(first.deviation)
    assert latest.deviation == pytest.approx(parts.mean(axis=1).std(ddof=1))
    values = report.comparison.runs[1].values("jaccard", comparison.sequences)
    np.testing.assert_allclose(values, parts.mean(axis=0), rtol=1e-12)
    line = table.cells(latest, report.layout)
    assert line[1] == f"{latest.mean:.3f} ± {latest.deviation:.3f}"
    below = table.caption(report.comparison, report.rows, report.layout)
    assert "latest: mean ± standard deviation of 3 runs" in below


def test_accuracy_by_attribute_is_that_of_all_runs_and_not_of_the_one_that_is_drawn(comparison):
    whole = by_attribute(comparison, VIDEOS).rows
    mean = by_attribute(with_means(comparison, MEANS), VIDEOS).rows["latest"]
    for name, accuracy in mean.items():
        assert accuracy.mean == pytest.approx(np.mean([whole[run][name].mean for run in list(POLICIES)[1:]]))


def test_what_folds_into_a_mean_is_left_out_and_what_is_named_stays(comparison):
    made = with_means(comparison, {"some": ["latest count=1", "latest count=9"], "all": ["latest*"]})
    assert [run.name for run in made.runs] == ["first", "some", "all"]
    made = with_means(comparison, {"some": ["latest count=1", "latest count=9"]})
    assert [run.name for run in made.runs] == [*POLICIES, "some"]
    report = Reporter(means=MEANS, best_of={"best": ["latest*"]}, pictures=0).report(comparison, VIDEOS, "")
    assert [row.title for row in report.rows] == ["first", "best (bound)", "latest"]


def test_the_interval_is_over_runs_and_videos():
    """Two runs that are +0.1 and +0.3 on every video: which runs are drawn is all the chance there is."""
    values, baseline = np.array([[0.1] * 8, [0.3] * 8]), np.zeros(8)
    found = crossed_difference(values, baseline)
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.1, 0.3))
    alone = paired_difference(values.mean(axis=0), baseline)
    assert (alone.low, alone.high) == pytest.approx((0.2, 0.2))
    assert found.wins == 8 and found.p == pytest.approx(2 / 2**8, abs=3e-3)


def test_of_a_single_run_the_interval_is_that_over_videos():
    values, baseline = np.random.default_rng(0).random((2, 200))
    crossed, paired = crossed_difference(values[None], baseline), paired_difference(values, baseline)
    assert crossed.mean == pytest.approx(paired.mean) and crossed.wins == paired.wins
    assert (crossed.low, crossed.high, crossed.p) == pytest.approx((paired.low, paired.high, paired.p), abs=3e-3)


def test_chance_of_runs_and_of_videos_add_up():
    """A crossed bootstrap's variance: that of the runs' means plus that of the videos' means."""
    rng = np.random.default_rng(1)
    runs, videos = rng.normal(0, 1, (40, 1)), rng.normal(0, 2, (1, 60))
    found = crossed_difference(runs + videos, np.zeros(60))
    expected = np.sqrt(runs.var() / 40 + videos.var() / 60)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(expected, rel=0.05)


def test_videos_without_a_value_are_left_out():
    values = np.array([[0.5, np.nan, 0.1], [0.7, 0.4, np.nan]])
    found = crossed_difference(values, np.zeros(3))
    assert found.mean == pytest.approx(0.6) and found.videos == 1
    assert np.isnan(crossed_difference(values[:, 1:], np.zeros(2)).mean)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"means": {"first": ["latest*"]}}, "means.first has the name of a variant"),
        ({"means": {"mean": ["frist"]}}, "means.mean: no variant is called 'frist' \\(there are first, "),
        ({"means": {"mean": ["*"]}}, "means.mean: '\\*' folds the baseline first away"),
        ({"means": MEANS, "best_of": MEANS}, "means.latest has the name of a row of best_of"),
    ],
)
def test_a_wrong_row_of_means_is_one_line(options, message):
    with pytest.raises(InputError, match=message):
        Reporter(**options).check(list(POLICIES), VIDEOS)


def test_times_of_other_locksteps_are_marked(tmp_path):
    """Two variants side by side, then a third one that finds them on disk and runs alone."""
    two = {name: Tracker(NETWORK, POLICIES[name]) for name in list(POLICIES)[:2]}
    together = evaluate(two, VIDEOS, tmp_path)
    layout = TableLayout(columns=("ms",))
    assert together.timed_alike and not any("(" in table.cells(row, layout)[-1] for row in table.rows(together))
    third = {"latest count=9": Tracker(NETWORK, POLICIES["latest count=9"])}
    mixed = evaluate({**two, **third}, VIDEOS, tmp_path)
    rows = table.rows(mixed, layout)
    assert not mixed.timed_alike and [table.shared_by(row) for row in rows] == ["2", "2", "1"]
    assert [table.cells(row, layout)[-1].partition(" ")[2] for row in rows] == ["(2)", "(2)", "(1)"]
    assert any(line.startswith("ms (n): ") for line in table.caption(mixed, rows, layout))
    assert table.csv_table(rows).splitlines()[-1].endswith(",1,,1")

    alone = evaluate(third, VIDEOS, tmp_path)
    assert alone.timed_alike
    other = evaluate({"latest count=2": Tracker(NETWORK, POLICIES["latest count=2"])}, VIDEOS, tmp_path)
    assert replace(alone, runs=(*alone.runs, *other.runs)).timed_alike, "each alone: their times compare"
