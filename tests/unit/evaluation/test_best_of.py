"""Bounds in a table: the best of several runs on every video, gaps measured by an oracle, columns to judge by."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from framework.errors import InputError
from framework.evaluation.best_of import check_rows, with_best_of
from framework.evaluation.evaluate import evaluate
from framework.report import table
from framework.report.report import Reporter
from framework.report.table import TableLayout
from framework.tracker import Tracker
from tests.fakes.squares import First, Latest, Peeking, Square, SquareNetwork, Squares

NETWORK = SquareNetwork()
POLICIES = {"latest": Latest(), "first": First(), "latest count=1": Latest(count=1), "peeking": Peeking()}
VIDEOS = Squares((*Squares().videos, Square("delta", 12, 1, (5, 7))))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    trackers = {name: Tracker(NETWORK, policy) for name, policy in POLICIES.items()}
    return evaluate(trackers, VIDEOS, tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize("metric", ["jaccard", "losses"])
def test_the_best_of_every_video(comparison, metric):
    found = with_best_of(comparison, {"best": ["latest", "first"]}, metric).runs[-1]
    both = np.stack([run.values(metric, comparison.sequences) for run in comparison.runs[:2]])
    best = both.min(axis=0) if metric == "losses" else both.max(axis=0)
    assert found.name == "best" and found.bound and found.parts == 2
    np.testing.assert_array_equal(found.values(metric, comparison.sequences), best)
    for sequence in comparison.sequences:
        chosen = found.record(sequence)
        assert chosen.run in {run.hash for run in comparison.runs[:2]}
        assert repr(chosen.scores()) == repr(found.videos[sequence].scores)  # NaN is NaN


def test_it_is_a_value_of_the_runs_it_is_made_of(comparison):
    again = [with_best_of(comparison, {"best": ["latest", "first"]}, "jaccard").runs[-1].hash for _ in range(2)]
    other = with_best_of(comparison, {"best": ["latest", "peeking"]}, "jaccard").runs[-1]
    assert again[0] == again[1] != other.hash


def test_a_pattern_folds_its_rows_away_and_a_name_does_not(comparison):
    made = with_best_of(comparison, {"of all": ["latest*", "first"], "other": ["first"]}, "jaccard")
    # "latest*" also takes the baseline, which `check_rows` refuses.
    assert [run.name for run in made.runs] == ["first", "peeking", "of all", "other"]
    assert made.runs[2].parts == 3
    with pytest.raises(InputError, match="folds the baseline latest away"):
        check_rows("best_of", {"of all": ["latest*"]}, list(POLICIES))


def test_bounds_are_marked_and_explained(comparison):
    report = Reporter(best_of={"expert": ["latest", "first"]}, pictures=1).report(comparison, VIDEOS, "")
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


def shown(comparison, layout):
    rows = table.rows(comparison, layout)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(*table.rich_tables(rows, layout, 100))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    return rows, text, "\n".join(table.caption(comparison, rows, layout))


def test_gaps_are_measured_by_an_oracle_whose_gain_is_clear(comparison):
    """`first` is the baseline here: it loses the square on most videos, and `latest` on fewer."""
    first, latest, *_ = [comparison.runs[index] for index in (1, 0)]
    far = replace(comparison, runs=(first, latest))
    gain = table.rows(far)[1].difference
    rows, text, below = shown(far, TableLayout(oracle="latest"))
    assert gain.clear and "closed" in text and rows[1].gap is None
    assert f"gap closed: (variant - first) / (latest - first, {table.interval(gain)})" in below
    three = replace(comparison, runs=(first, latest, replace(latest, name="again")))
    rows, text, _ = shown(three, TableLayout(oracle="latest"))
    assert rows[2].gap.mean == pytest.approx(1.0) and "100% [100%, 100%]" in text
    assert "gap closed [95 %]" in table.markdown(three, rows, TableLayout(oracle="latest"))


def test_without_a_clear_gap_there_is_a_dash_and_a_reason(comparison):
    first = comparison.runs[1]
    same = replace(comparison, runs=(first, replace(first, name="same"), comparison.runs[2]))
    rows, _, below = shown(same, TableLayout(oracle="same"))
    assert rows[2].gap is None and table.cells(rows[2], TableLayout(oracle="same"))[5] == "-"
    assert "gap closed: - as the gap itself (same - first, +0.000 [+0.000, +0.000]) is not above zero" in below


def test_columns_are_chosen(comparison):
    layout = TableLayout(columns=("early", "late", "redetections", "absent_accuracy", "read"))
    rows, text, below = shown(comparison, layout)
    assert all(title in text for title in ("early", "late", "absent", "read")) and " ms" not in text
    assert "read: spatial memories read per tracked frame" in below
    # `First` reads its prompt alone; `latest count=1` the frame before.
    assert [table.cells(row, layout)[-1] for row in rows[1:3]] == ["1.000", "1.000"]
    assert rows[0].read > 1


def with_first_two(comparison):
    return replace(comparison, runs=comparison.runs[:2])


@pytest.mark.parametrize(
    ("best_of", "message"),
    [
        ({"latest": ["first"]}, "best_of.latest has the name of a variant"),
        ({"best": ["sma2"]}, "no variant is called 'sma2' \\(there are latest, "),
        ({"best": []}, "best_of.best is a list of variants"),
    ],
)
def test_a_wrong_best_of_row_is_one_line(best_of, message):
    with pytest.raises(InputError, match=message):
        Reporter(best_of=best_of).check(list(POLICIES), VIDEOS)
