"""Rows made from finished runs: the best of several on every video."""

import numpy as np
import pytest

from framework.bounds import check_bests, with_bests
from framework.errors import InputError
from framework.evaluation import evaluate
from framework.report import table
from framework.report.report import Reporter
from framework.tracker import Tracker
from tests.squares import First, Latest, Peeking, ScriptedNetwork, Square, Squares

NETWORK = ScriptedNetwork()
POLICIES = {"latest": Latest(), "first": First(), "latest count=1": Latest(count=1), "peeking": Peeking()}
VIDEOS = Squares((*Squares().videos, Square("delta", 12, 1, (5, 7))))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    trackers = {name: Tracker(NETWORK, policy) for name, policy in POLICIES.items()}
    return evaluate(trackers, VIDEOS, tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize("metric", ["jaccard", "losses"])
def test_the_best_of_every_video(comparison, metric):
    found = with_bests(comparison, {"best": ["latest", "first"]}, metric).runs[-1]
    both = np.stack([run.values(metric, comparison.sequences) for run in comparison.runs[:2]])
    best = both.min(axis=0) if metric == "losses" else both.max(axis=0)
    assert found.name == "best" and found.bound and found.parts == 2
    np.testing.assert_array_equal(found.values(metric, comparison.sequences), best)
    for sequence in comparison.sequences:
        chosen = found.record(sequence)
        assert chosen.run in {run.hash for run in comparison.runs[:2]}
        assert repr(chosen.scores()) == repr(found.videos[sequence].scores)  # NaN is NaN


def test_it_is_a_value_of_the_runs_it_is_made_of(comparison):
    again = [with_bests(comparison, {"best": ["latest", "first"]}, "jaccard").runs[-1].hash for _ in range(2)]
    other = with_bests(comparison, {"best": ["latest", "peeking"]}, "jaccard").runs[-1]
    assert again[0] == again[1] != other.hash


def test_a_pattern_folds_its_rows_away_and_a_name_does_not(comparison):
    made = with_bests(comparison, {"of all": ["latest*", "first"], "other": ["first"]}, "jaccard")
    # "latest*" also takes the baseline, which `check_bests` refuses.
    assert [run.name for run in made.runs] == ["first", "peeking", "of all", "other"]
    assert made.runs[2].parts == 3
    with pytest.raises(InputError, match="folds the baseline latest away"):
        check_bests({"of all": ["latest*"]}, list(POLICIES))


def test_bounds_are_marked_and_explained(comparison):
    report = Reporter(bests={"expert": ["latest", "first"]}, pictures=1).report(comparison, VIDEOS, "")
    assert [row.title for row in report.rows] == [
        "latest",
        "first",
        "latest count=1",
        "peeking (bound)",
        "expert (bound)",
    ]
    lines = table.caption(report.comparison)
    assert any(line.startswith("expert: on every sequence the best of 2 runs") for line in lines)
    assert any(line.startswith("bound: sees the truth") for line in lines)
    assert not any(line.startswith("bound:") for line in table.caption(with_first_two(comparison)))
    assert report.name != Reporter().report(comparison, VIDEOS, "").name


def with_first_two(comparison):
    return type(comparison)(comparison.data, comparison.runs[:2], comparison.frames, comparison.work)


@pytest.mark.parametrize(
    ("bests", "message"),
    [
        ({"latest": ["first"]}, "bests.latest has the name of a variant"),
        ({"best": ["sma2"]}, "no variant is called 'sma2' \\(there are latest, "),
        ({"best": []}, "bests.best is a list of variants"),
    ],
)
def test_wrong_bests_are_one_line(bests, message):
    with pytest.raises(InputError, match=message):
        Reporter(bests=bests).check(list(POLICIES))
