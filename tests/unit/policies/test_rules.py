"""What simple rules keep and which conditioning memories are read, by hand."""

import pytest
import torch

from framework.types import Candidates, Entry, Outcome, Query, Scores
from policies.components.anchors import closest_first, latest_first, without_outdated
from policies.components.bank import Bank, spaced
from policies.evict_oldest import Evictions, EvictOldest
from policies.expected_iou import ExpectedIou
from policies.skip_absent import SkipAbsent

CANDIDATES = Candidates(torch.ones(1, 1, 2, 2), torch.ones(1, 1), torch.ones(1, 1, 4), torch.ones(1))
OUTCOME = Outcome(0, CANDIDATES, 0, None, Scores(0.9, 5.0, None, 4, False), (8, 8), embedding=torch.zeros(4, 2, 2))
"""Of no interest to these rules."""


def entry(frame: int, iou: float = 0.9, presence: float = 5.0, prompted: bool = False) -> Entry:
    return Entry(frame, torch.zeros(4), f"memory {frame}", Scores(iou, presence, None, 10, prompted))


def frames(entries) -> list[int]:
    return [each.frame for each in entries]


@pytest.mark.parametrize(
    ("now", "count", "read"),
    [
        (22, 3, [20, 30, 10]),  # then 10 at 12 frames, before 40 at 18 and 0 at 22
        (22, 4, [20, 30, 10, 40]),
        (22, 2, [20, 30]),
        (20, 3, [10, 20, 30]),  # an anchor of this frame is not before it
        (50, 3, [40, 30, 20]),
        (22, 5, [0, 10, 20, 30, 40]),
    ],
)
def test_sam2_reads_the_closest_anchors_of_either_side_first(now, count, read):
    assert frames(closest_first([entry(frame) for frame in (0, 10, 20, 30, 40)], now, count)) == read


@pytest.mark.parametrize(
    ("now", "count", "read"),
    [
        (22, 3, [20, 0, 30]),  # 20 at 2 frames, 30 at 8, 10 at 12
        (21, 3, [10, 0, 30]),  # 20 waits for a frame
        (5, 3, [0, 10, 20]),  # nothing but the first prompt is before
        (50, 9, [40, 0, 30, 20, 10]),
    ],
)
def test_dam4sam_reads_the_latest_anchor_then_the_first_prompt(now, count, read):
    assert frames(latest_first([entry(frame) for frame in (0, 10, 20, 30, 40)], now, count)) == read


def test_an_anchor_that_is_never_read_again_leaves_its_pointer_in_its_place():
    bank = Bank(tuple(entry(frame) for frame in (0, 30, 10, 20, 50)), (entry(5), entry(15)))
    left = without_outdated(bank, now=30, count=2)
    assert frames(left.anchors) == [0, 30, 20, 50] and frames(left.recent) == [5, 10, 15]
    assert [each.features for each in left.recent] == ["memory 5", None, "memory 15"]
    assert without_outdated(bank, now=29, count=2) is bank  # 30 is to come


def test_spaced_frames_are_more_than_a_stride_apart():
    recent = [entry(frame) for frame in (0, 1, 4, 7, 8, 9)]
    assert frames(spaced(recent, 2, 5)) == [9, 4, 1]
    assert frames(spaced(recent, 2, 2)) == [9, 4]
    assert spaced(recent, 2, 0) == []


def test_every_eviction_could_have_gone_otherwise():
    policy = EvictOldest(slots=2, pointers=2)
    state = policy.write(policy.init(), entry(0, prompted=True), OUTCOME)
    for frame in (1, 2):
        state = policy.write(state, entry(frame), OUTCOME)
    assert state.choice == () == policy.alternatives(state) and frames(state.held) == [1, 2]
    full = policy.write(state, entry(3), OUTCOME)
    assert frames(full.held) == [2, 3] and frames(full.choice) == [1, 2, 3]
    assert [frames(each.held) for each in policy.alternatives(full)] == [[2, 3], [1, 3], [1, 2]]
    assert frames(policy.entries(full)) == [0, 2, 3, 1, 2, 3]  # the last two leave pointers as well
    absent = policy.write(full, entry(4, presence=0.0), OUTCOME)  # not above the threshold
    assert absent == Evictions(full.bank, full.held, ())
    read = policy.read(absent, Query(5, torch.zeros(1, 1, 1), None))
    assert [(each.frame, slot) for each, slot in read.spatial[1:]] == [(2, 1), (3, 0)]
    assert [(each.frame, ago) for each, ago in read.pointers] == [(0, 5), (3, 1), (2, 2)]
    again = policy.write(full, entry(3, prompted=True), OUTCOME)
    assert frames(again.bank.anchors) == [0, 3] and frames(again.held) == [2]


def test_a_score_at_the_threshold_is_not_above_it():
    """Presence 0 is a probability of 1/2."""
    assert not ExpectedIou(threshold=0.5).keeps(entry(1, iou=1.0, presence=0.0), OUTCOME)
    assert ExpectedIou(threshold=0.5).keeps(entry(1, iou=1.0, presence=0.01), OUTCOME)
    assert not SkipAbsent(presence=1.0).keeps(entry(1, presence=1.0), OUTCOME)
    assert SkipAbsent(presence=1.0).keeps(entry(1, presence=1.01), OUTCOME)
