"""What each variant of a lockstep costs, by a clock that stands still but for what the test has it count."""

import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from framework.evaluation.evaluate import evaluate
from framework.evaluation.records import from_json, to_json
from framework.interfaces import Wrapped
from framework.report import table
from framework.report.table import TableLayout
from framework.tracker import Tracker, lockstep
from framework.types import Frame
from tests.fakes.squares import First, Latest, Square, SquareNetwork, Squares

VIDEO = Square("alpha", 6, 0)
DATA = Squares((VIDEO,))
ENCODING, PROMPT, MEMORY, ROW, ATTENTION = 8.0, 4.0, 2.0, 1.0, 0.5
"""Seconds that each of them takes; a row also attends to every memory it reads."""


class Clock:
    """Seconds so far."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", CLOCK)


@dataclass(frozen=True)
class SlowNetwork(SquareNetwork):
    """Takes its time."""

    def encode(self, image, frame, length):
        CLOCK.now += ENCODING
        return super().encode(image, frame, length)

    def condition(self, features, reads):
        CLOCK.now += sum(ROW + ATTENTION * len(read.spatial) for read in reads)
        return super().condition(features, reads)

    def prompt(self, features, prompts, conditioned=None, previous=None):
        CLOCK.now += PROMPT * len(prompts)
        return super().prompt(features, prompts, conditioned, previous)

    def memorise(self, features, logits, presence, prompted):
        CLOCK.now += MEMORY * len(logits)
        return super().memorise(features, logits, presence, prompted)


@dataclass(frozen=True)
class Slow(Wrapped):
    """Decides like another policy, and takes its time."""

    seconds: float

    def write(self, state, entry, outcome):
        CLOCK.now += self.seconds
        return super().write(state, entry, outcome)


NETWORK = SlowNetwork()
TRACKERS = {
    "latest": Tracker(NETWORK, Slow(Latest(), 0.125)),
    "twin": Tracker(NETWORK, Slow(Latest(), 0.25)),
    "first": Tracker(NETWORK, Slow(First(), 0.0)),
}


def run(names, folder):
    comparison = evaluate({name: TRACKERS[name] for name in names}, DATA, folder / "-".join(names))
    return comparison, {run.name: run.record(VIDEO.name) for run in comparison.runs}


def test_shares_add_up_to_what_was_spent(tmp_path):
    _, records = run(TRACKERS, tmp_path)
    tracked = VIDEO.length - 1
    # Latest reads 1, 2, 2 ... memories and First 1 each; both read the prompt alone on frame 1.
    rows = (ROW + ATTENTION) + (tracked - 1) * (2 * ROW + (2 + 1) * ATTENTION)
    memories = 1 + 1 + 2 * (tracked - 1)
    spent = ENCODING * VIDEO.length + PROMPT + rows + MEMORY * memories + 0.375 * VIDEO.length
    assert {record.seconds for record in records.values()} == {spent}
    assert sum(record.cost.share for record in records.values()) == pytest.approx(spent, rel=1e-12)
    latest, twin, first = (records[name].cost for name in TRACKERS)
    assert (latest.decisions, twin.decisions, first.decisions) == (0.125 * 6, 0.25 * 6, 0.0)
    assert twin.share - latest.share == pytest.approx(0.125 * 6)
    together = (PROMPT + ROW + ATTENTION + 2 * MEMORY) / 3  # on frames 0 and 1 all three are one row
    apart = ROW + ATTENTION + MEMORY
    assert first.share == pytest.approx(ENCODING * 6 / 3 + together + (tracked - 1) * apart)


@pytest.mark.parametrize("name", TRACKERS)
def test_a_variant_alone_takes_what_was_said_beside_others(name, tmp_path):
    _, records = run(TRACKERS, tmp_path)
    _, alone = run([name], tmp_path)
    cost = alone[name].cost
    assert records[name].cost.alone == pytest.approx(alone[name].seconds, rel=1e-12)
    assert cost.alone == pytest.approx(cost.share, rel=1e-12) and cost.decisions == records[name].cost.decisions


def test_what_is_held_is_that_of_the_state(tmp_path):
    _, records = run(TRACKERS, tmp_path)
    entry = 4 * (16 * 16 + 4)  # a mask and a pointer, float32
    assert [record.cost.held for record in records.values()] == [2 * entry, 2 * entry, entry]


def test_the_table_has_each_variant_s_own_costs(tmp_path):
    comparison, records = run(TRACKERS, tmp_path)
    layout = TableLayout(columns=("ms", "alone_ms", "decision_ms", "held_mib"))
    rows = table.rows(comparison, layout)
    each = 1000 / VIDEO.length
    for row in rows:
        cost = records[row.variant].cost
        found = row.milliseconds, row.alone, row.decisions, row.held * 2**20
        assert found == pytest.approx((each * cost.share, each * cost.alone, each * cost.decisions, cost.held))
        assert table.cells(row, layout)[-4:-3] == [f"{row.milliseconds:.1f}"]
    assert sum(row.milliseconds for row in rows) == pytest.approx(each * records["first"].seconds)
    titles, lines = table.columns(rows)
    assert [line[titles.index("alone_ms")] for line in lines] == [row.alone for row in rows]


def test_results_of_before_divide_the_time_equally(tmp_path):
    _, records = run(TRACKERS, tmp_path)
    plain = to_json(records["first"])
    assert from_json(plain) == records["first"]
    del plain["cost"]
    assert from_json(plain).cost is None
    comparison, _ = run(TRACKERS, tmp_path)
    folder = comparison.runs[2].folder
    folder.save(from_json({**to_json(records["first"]), "cost": None}))
    again, _ = run(TRACKERS, tmp_path)
    video = again.runs[2].videos[VIDEO.name]
    assert video.milliseconds == pytest.approx(1000 * records["first"].seconds / (VIDEO.length * 3))
    assert np.isnan([video.alone, video.decisions, video.held]).all()


def test_a_prediction_that_is_asked_for_twice_counts_once_for_a_tracker():
    """Two objects with one prompt are one row."""
    shared = VIDEO.prompts()[0][1]
    frames = [Frame(VIDEO.frame(0), {1: shared, 2: shared}), Frame(VIDEO.frame(1))]
    with torch.inference_mode():
        first, second = (found["first"].cost for found in lockstep({"first": TRACKERS["first"]}, frames))
    assert (first.predictions, first.predictions_shared, first.memories) == (PROMPT, PROMPT, 1.0)
    assert (second.predictions, second.memories_shared) == (ROW + ATTENTION, 1.0)
