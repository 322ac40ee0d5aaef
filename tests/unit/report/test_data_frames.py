"""Pandas frames of a comparison whose numbers are known."""

import csv
import io
import math
import sys

import numpy as np
import pytest

from framework.errors import InputError
from framework.evaluation.evaluate import evaluate
from framework.evaluation.means import with_means
from framework.report import table
from framework.report.data_frames import by_frame, by_sequence, by_variant
from framework.tracker import Tracker
from tests.fakes.squares import First, Latest, Square, SquareNetwork, Squares

VIDEOS = Squares((*Squares().videos, Square("broken", 5, 0, broken_at=2)))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    trackers = {name: Tracker(SquareNetwork(), policy) for name, policy in (("latest", Latest()), ("first", First()))}
    return evaluate(trackers, VIDEOS, str(tmp_path_factory.mktemp("results")))


def test_by_variant_is_the_table(comparison):
    found = by_variant(comparison, "late", seed=3)
    text = table.csv_table(table.rows(comparison, table.TableLayout("late"), 3))
    lines = list(csv.DictReader(io.StringIO(text)))
    assert list(found.columns) == list(lines[0]) and len(found) == 2
    assert [str(value) for value in found["difference"][1:]] == [line["difference"] for line in lines[1:]]
    assert math.isnan(found["difference"][0]) and list(found["failed"]) == [1, 1]
    with pytest.raises(InputError, match="metric 'iou' is unknown"):
        by_variant(comparison, "iou")


def test_by_sequence_has_every_score_and_every_failure(comparison):
    found = by_sequence(comparison).set_index(["variant", "sequence"])
    assert len(found) == 2 * len(VIDEOS)
    for run in comparison.runs:
        for name, video in run.videos.items():
            row = found.loc[run.name, name]
            assert (row.jaccard, row.losses, row.read) == (video.scores.jaccard, video.scores.losses, video.read)
            assert row.failure is None or row.isna().failure
        broken = found.loc[run.name, "broken"]
        assert broken.failure.startswith("OSError") and math.isnan(broken.jaccard)


def test_by_frame_has_what_was_tracked(comparison):
    found = by_frame(comparison)
    one = comparison.runs[1].record("alpha").objects[1]
    rows = found[(found.variant == "first") & (found.sequence == "alpha") & (found.object == 1)]
    assert list(rows.frame) == one.frame and list(rows.frame[rows.prompted]) == one.prompted
    assert np.allclose(rows.iou, np.array(one.iou, dtype=float), equal_nan=True)
    assert [None if v is None else bool(v) for v in rows.visible.astype(object).where(rows.visible.notna(), None)] == (
        one.visible
    )
    assert list(rows.read) == [len(use.spatial) for use in one.memory]
    assert list(rows.held) == [len(use.held) for use in one.memory]
    boxes = rows[["xmin", "ymin", "xmax", "ymax"]].to_numpy()
    assert [None if np.isnan(box).any() else tuple(box) for box in boxes] == one.box
    assert set(found.sequence) == set(comparison.sequences)


def test_a_mean_of_runs_has_no_frames_of_its_own(comparison):
    folded = with_means(comparison, {"both": ["first", "latest"]}, comparison.runs)
    assert "both" in set(by_sequence(folded).variant) and "both" not in set(by_frame(folded).variant)


def test_without_pandas_one_line_says_how_to_get_it(comparison, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for make in (by_variant, by_sequence, by_frame):
        with pytest.raises(InputError, match=r"^pandas is not installed: pip install 'engram-tracking\[notebook\]'$"):
            make(comparison)
