"""Orders of variants on two data sets: from the files that reports write to what can be said."""

import csv
import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from experiments import rank as command
from framework.errors import InputError
from framework.evaluation.evaluate import evaluate
from framework.metrics.ranks import Correlation
from framework.report import table
from framework.report.ranks import Ranking, csv_table, rank, read_videos, rich_tables
from framework.report.report import Reporter
from framework.tracker import Tracker
from tests.fakes.squares import First, Latest, SquareNetwork, Squares


def write(folder: Path, scores: Mapping[str, Sequence[float | None]], metric: str = "jaccard") -> Path:
    """A table of scores by video; variants in capitals see the truth."""
    folder.mkdir(parents=True)
    with (folder / "videos.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table.VIDEO_COLUMNS)
        for name, values in scores.items():
            for index, value in enumerate(values):
                written = "" if value is None else value
                writer.writerow([folder.name, metric, name, name.isupper(), f"video{index}", written])
    return folder


THREE = {"a": [0.5, 0.6], "b": [0.4, 0.5], "c": [0.1, 0.2], "BOUND": [0.9, 0.9]}
TURNED = {"c": [0.3], "a": [0.6], "d": [0.9], "b": [0.7], "BOUND": [1.0]}


def ranked(tmp_path: Path, **options: object) -> Ranking:
    results = [read_videos(write(tmp_path / name, scores)) for name, scores in (("one", THREE), ("two", TURNED))]
    (found,) = rank(results, **{"variants": None, "bounds": False, "seed": 0, **options})  # type: ignore[arg-type]
    return found


def test_a_report_leaves_what_is_read(tmp_path: Path) -> None:
    network, videos = SquareNetwork(), Squares()
    trackers = {name: Tracker(network, policy) for name, policy in (("latest", Latest()), ("first", First()))}
    comparison = evaluate(trackers, videos, tmp_path / "results")
    Reporter(pictures=0).report(comparison, videos, "").write(tmp_path / "out" / "reports" / "0123")
    for path in (tmp_path / "out", tmp_path / "out/reports/0123", tmp_path / "out/reports/0123/videos.csv"):
        found = read_videos(path)
        assert (found.data, found.metric, found.variants) == (comparison.data, "jaccard", ("latest", "first"))
        assert found.videos == tuple(comparison.sequences) and not found.bounds
        expected = [run.values("jaccard", comparison.sequences) for run in comparison.runs]
        np.testing.assert_array_equal(found.values, np.stack(expected))


def test_two_orders_by_hand(tmp_path: Path) -> None:
    """a b c against b a c: one pair of three is turned, 1/3; squared differences of ranks 1 + 1 + 0, 1 - 12 / 24."""
    found = ranked(tmp_path)
    assert found.variants == ("a", "b", "c")
    assert found.agreement.spearman.value == pytest.approx(0.5)
    assert found.agreement.kendall.value == pytest.approx(1 / 3)
    assert list(found.lines()) == [
        "one against two: 3 variants, 2 videos and 1 videos",
        "  Spearman +0.500 [+0.500, +0.500], Kendall +0.333 [+0.333, +0.333]",
        "  of 3 pairs 3 and 3 are clear on their own videos, 3 on both, 2 of those in the same order",
        "  an order repeats itself on resampled videos by +1.000 and +1.000",
        "  the orders agree: the interval is above 0",
    ]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(*rich_tables(found, 80))
    rows = [line.split() for line in console.export_text().splitlines() if line.strip()[:1] in ("a", "b", "c")]
    assert rows == [
        ["a", "0.550", "1", "0.600", "2"],
        ["b", "0.450", "2", "0.700", "1"],
        ["c", "0.150", "3", "0.300", "3"],
    ]
    (row,) = csv.DictReader(io.StringIO(csv_table([found])))
    assert (row["Spearman"], row["Kendall low"], row["videos"], row["in the same order"]) == (
        "+0.500",
        "+0.333",
        "2, 1",
        "2",
    )


def test_variants_and_bounds_are_chosen(tmp_path: Path) -> None:
    found = ranked(tmp_path, bounds=True)
    assert found.variants == ("a", "b", "c", "BOUND")  # 1 - 6 * 2 / 60
    assert found.agreement.spearman.value == pytest.approx(0.8)
    assert ranked(tmp_path / "again", variants=["c", "b", "BOUND"]).agreement.spearman.value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("spearman", "verdict"),
    [
        ((0.6, 0.1, 0.9), "the orders agree: the interval is above 0"),
        ((-0.6, -0.9, -0.1), "the orders are opposed: the interval is below 0"),
        ((0.6, 0.0, 0.9), "these videos do not show that the orders agree, nor that they do not: the interval holds 0"),
        ((math.nan,) * 3, "one of the orders is all ties: nothing can be said"),
    ],
)
def test_what_can_be_said(tmp_path: Path, spearman: tuple[float, float, float], verdict: str) -> None:
    found = ranked(tmp_path)
    assert replace(found, agreement=replace(found.agreement, spearman=Correlation(*spearman))).verdict == verdict


def test_videos_without_a_score_are_left_out(tmp_path: Path) -> None:
    gaps = {"a": [0.5, None, 0.7], "b": [0.4, 0.9, 0.5], "c": [0.1, 0.0, None]}
    found = read_videos(write(tmp_path / "gaps", gaps))
    np.testing.assert_array_equal(found.of(["c", "a"]), [[0.1], [0.5]])
    np.testing.assert_array_equal(found.of(["b", "a"]), [[0.4, 0.5], [0.5, 0.7]])


def test_every_two_of_several_are_compared(tmp_path: Path) -> None:
    tables = [read_videos(write(tmp_path / name, THREE)) for name in ("one", "two", "three")]
    found = rank(tables, None, False, 0)
    assert [(item.first.data, item.second.data) for item in found] == [
        ("one", "two"),
        ("one", "three"),
        ("two", "three"),
    ]


def test_what_cannot_be_ordered_is_refused(tmp_path: Path) -> None:
    one = read_videos(write(tmp_path / "one", THREE))
    with pytest.raises(InputError, match="give two results or more"):
        rank([one], None, False, 0)
    late = read_videos(write(tmp_path / "late", THREE, "late"))
    with pytest.raises(InputError, match="the results are of jaccard and late: give reports of one metric"):
        rank([one, late], None, False, 0)
    with pytest.raises(InputError, match="d is not in both one and one"):
        rank([one, one], ["a", "d"], False, 0)
    few = read_videos(write(tmp_path / "few", {"a": [0.1], "b": [0.2]}))
    with pytest.raises(InputError, match="one and few share 2 variants: an order takes 3 or more"):
        rank([one, few], None, False, 0)
    with pytest.raises(InputError, match=r"holds no videos\.csv: give the folder of a report"):
        read_videos(tmp_path)
    write(tmp_path / "reports" / "a", THREE)
    write(tmp_path / "reports" / "b", THREE)
    with pytest.raises(InputError, match="has 2 reports: give one of them, such as"):
        read_videos(tmp_path)
    file = tmp_path / "one" / "videos.csv"
    text = file.read_text()
    for damaged, line in (
        (text.replace("variant", "name"), "is no table of scores by video"),
        (text.replace("0.4", "much"), "could not convert string to float"),
        ("\n".join(text.splitlines()[:-1]), "does not have every variant on every video once"),
        (text.splitlines()[0] + "\n", "does not have every variant on every video once"),
    ):
        file.write_text(damaged)
        with pytest.raises(InputError, match=line):
            read_videos(file)


def test_the_command_prints_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "one", THREE)
    write(tmp_path / "two", TURNED)
    monkeypatch.setattr(sys, "argv", ["rank", "results=[one,two]", "output=found/ranks.csv"])
    command.main()
    assert "Spearman +0.500 [+0.500, +0.500], Kendall +0.333" in capsys.readouterr().out
    assert (tmp_path / "found" / "ranks.csv").read_text().count("\n") == 2
    monkeypatch.setattr(sys, "argv", ["rank", "results=[one]"])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert capsys.readouterr().err == "an order is compared with another: give two results or more\n"
