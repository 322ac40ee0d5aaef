"""Losses of one object whose IoU, visibility and memories are known frame by frame."""

import csv
from dataclasses import astuple, replace

import numpy as np
import pytest

from framework.evaluation.evaluate import evaluate
from framework.report import losses
from framework.report.report import Reporter
from framework.tracker import Tracker
from framework.types import MemoryUse
from tests.fakes.squares import First, Latest, SquareNetwork, Squares
from tests.miniatures import object_record

IOU = [None, 0.9, 0.05, 0.3, 0.8, 1.0, 0.0, 0.9, 0.1]
VISIBLE = [None, True, True, True, True, False, True, True, True]


def test_a_loss_says_when_why_how_long_and_what_was_read():
    memory = [MemoryUse(held=(0,))] * 9
    memory[2] = MemoryUse(((0, -1), (1, 0)), ((0, 2), (1, 1)), (0, 1, 2))
    one = replace(
        object_record([np.ones((4, 4), bool)] * 9),
        iou=IOU,
        visible=VISIBLE,
        memory=memory,
        predicted_iou=[0.1 * at for at in range(9)],
    )
    found = list(losses._of(one))
    assert found[0] == (2, "missed", 4, 2, 0.05, pytest.approx(0.2), 1.0, "0@anchor 1@0", "0@2 1@1", 3)
    assert [line[:4] for line in found[1:]] == [(5, "absent", 7, 1), (8, "missed", None, 1)]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    trackers = {name: Tracker(SquareNetwork(), policy) for name, policy in (("latest", Latest()), ("first", First()))}
    comparison = evaluate(trackers, Squares(), tmp_path_factory.mktemp("results"))
    return Reporter(pictures=0, means={"both": ["latest", "first"]}).report(comparison, Squares(), "")


def test_the_file_has_as_many_losses_as_the_table_counts_the_worst_first(report, tmp_path):
    files = {path.name: path for path in report.write(tmp_path)}
    with files["losses.csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["missed"] for row in rows] == [
        f"{n}" for n in sorted((int(row["missed"]) for row in rows), reverse=True)
    ]
    assert list(rows[0]) == list(losses.TITLES)
    assert {*losses.MEANINGS} | {"variant", "sequence", "object"} == {*losses.TITLES}
    for run in report.comparison.runs[:2]:
        for name, video in run.videos.items():
            frames = len(run.record(name).objects[1].scored()[0])
            own = [row for row in rows if (row["variant"], row["sequence"]) == (run.name, name)]
            assert len(own) == pytest.approx(video.scores.losses * frames / 1000)
            again = [row for row in own if row["found_at"]]
            assert len(again) == pytest.approx(video.scores.redetections * frames / 1000)
    # beta is away on frames 4 and 5 and comes back further away than a square may move
    beta = [row for row in rows if row["sequence"] == "beta"]
    assert {(row["variant"], row["lost_at"], row["cause"]) for row in beta} >= {("latest", "4", "absent")}
    assert {row["variant"] for row in rows} == {"latest", "first"}, "a mean of runs lost nothing itself"
    page = files["report.html"].read_text()
    assert "Where objects were lost" in page and "IoU is at most 0.1" in page


def test_a_line_is_the_loss(report):
    titles, *rows = losses.lines(report.losses, 1)
    (row,) = rows
    first = dict(zip(losses.TITLES, astuple(report.losses[0]), strict=True))
    assert "pointers" not in titles
    shown = dict(zip(titles, row, strict=True))
    assert shown["lost_at"] == f"{first['lost_at']}" and shown["iou"] == f"{first['iou']:.2f}"
