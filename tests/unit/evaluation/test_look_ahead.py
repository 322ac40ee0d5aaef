"""Greedy look-ahead: over a policy that could have evicted otherwise, with the truth as the judge."""

import numpy as np
import pytest
import torch

from framework.data.procedural.dataset import Procedural
from framework.errors import InputError
from framework.evaluation.evaluate import evaluate
from framework.evaluation.look_ahead import LookAhead
from framework.networks.micro import network
from framework.tracker import Tracker
from policies.evict_oldest import EvictOldest
from policies.sam2 import Sam2
from policies.skip_absent import SkipAbsent

DATA = Procedural("val", "hard", length=14, limit=1)
SMALL = {"slots": 2, "pointers": 4}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    micro, policy = network(), EvictOldest(**SMALL)
    trackers = {
        "skip": Tracker(micro, SkipAbsent(**SMALL)),
        "oldest": Tracker(micro, policy),
        "seeing": LookAhead(micro, policy, horizon=4),
    }
    with torch.inference_mode():
        return evaluate(trackers, DATA, tmp_path_factory.mktemp("results"))


def ious(run):
    return [iou for iou in run.record(DATA.sequence(0).name).objects[1].iou if iou is not None]


def test_evicting_the_oldest_is_skipping_the_absent(comparison):
    skip, oldest, *_ = comparison.runs
    assert ious(skip) == ious(oldest)


def test_looking_ahead_is_a_bound_beside_the_others(comparison):
    assert [run.bound for run in comparison.runs] == [False, False, True]
    assert comparison.frames == comparison.work.encodings == DATA.frames
    chosen, oldest = (
        [memory.spatial for memory in run.record(DATA.sequence(0).name).objects[1].memory]
        for run in (comparison.runs[-1], comparison.runs[1])
    )
    assert len(chosen[-1]) == len(oldest[-1]) == 3 and chosen != oldest


def test_the_next_frame_is_never_worse_for_having_seen_it(comparison):
    """With all weight on the next frame, every decision is at least as good there as the policy's own."""
    tracker, micro, video = LookAhead(network(), EvictOldest(**SMALL), horizon=1), network(), DATA.sequence(0)
    state = tracker.init()
    for index in range(DATA.frames - 1):
        now, later = (micro.encode(video.frame(at), at, DATA.frames) for at in (index, index + 1))
        truth = {1: torch.from_numpy(video.mask(index + 1))}
        with torch.inference_mode():
            state, _ = tracker.step(state, now, video.prompts().get(index))
            chosen = tracker.look_ahead(state, [later], [truth])
            masks = [tracker.step(each, later)[1].masks()[1].numpy() for each in (state, chosen)]
        true = video.mask(index + 1)
        own, best = ((mask & true).sum() / max((mask | true).sum(), 1) for mask in masks)
        assert best >= own
        state = chosen


def test_the_base_decision_is_taken_when_nothing_is_better():
    tracker, video = LookAhead(network(), EvictOldest(**SMALL), horizon=2), DATA.sequence(0)
    state, features = tracker.init(), []
    for index in range(6):
        features.append(tracker.network.encode(video.frame(index), index, None))
        with torch.inference_mode():
            state, _ = tracker.step(state, features[-1], video.prompts().get(index))
    assert tracker.policy.alternatives(state.objects[1][0].memory)
    assert tracker.look_ahead(state, [], []) is state
    nowhere = {1: torch.from_numpy(np.zeros(video.size, dtype=bool))}
    assert tracker.look_ahead(state, features[-1:], [nowhere]) is state  # wrong whatever is evicted
    assert tracker.look_ahead(state, features[-1:], [{}]) is state


def test_a_policy_that_offers_nothing_is_named():
    with pytest.raises(InputError, match="Sam2 offers no alternatives"):
        LookAhead(network("random"), Sam2())
    with pytest.raises(InputError, match="horizon >= 1"):
        LookAhead(network("random"), EvictOldest(), horizon=0)
