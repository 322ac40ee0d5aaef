"""Branches of a state: the arm that changes nothing is the unbranched run, and arms do not see one another."""

from dataclasses import replace

import pytest
import torch

from framework.counterfactuals import branched, counterfactuals
from framework.data.procedural.dataset import Procedural
from framework.metrics.tracking import mask_iou
from framework.networks.micro import network
from framework.tracker import Tracker
from policies.components.bank import Bank
from policies.keep_first import KeepFirst
from policies.sam2 import Sam2

BEFORE, AFTER, DISCOUNT = 5, 6, 0.9


@pytest.fixture(scope="module", autouse=True)
def no_gradient():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def branch_point():
    """A tracker, its state after a few frames, and the features and truths of the upcoming ones."""
    video = Procedural("val", "hard", targets=2).sequence(1)
    tracker = Tracker(network(), Sam2())
    state, features, truths = tracker.init(), [], []
    for index in range(BEFORE + AFTER):
        seen = tracker.network.encode(video.frame(index), index, None)
        if index < BEFORE:
            state, _ = tracker.step(state, seen, video.prompts().get(index))
        else:
            features.append(seen)
            truths.append({key: torch.from_numpy(mask) for key, mask in video.truth(index).items()})
    return tracker, state, features, truths


def unbranched(tracker, state, features, truths):
    """Discounted mean IoU of a plain run, by the project's own metric."""
    total = weights = 0.0
    for ahead, (seen, truth) in enumerate(zip(features, truths, strict=True)):
        state, result = tracker.step(state, seen)
        masks = result.masks()
        frame = sum(mask_iou(masks[key].numpy(), mask.numpy()) for key, mask in truth.items()) / len(truth)
        total, weights = total + DISCOUNT**ahead * frame, weights + DISCOUNT**ahead
    return total / weights


def evictions(state, key):
    """One arm per recent memory that is let go."""
    bank = state.objects[key][0].memory
    return [
        branched(state, key, bank.keep([entry for entry in bank.recent if entry is not gone])) for gone in bank.recent
    ]


def test_the_arm_that_changes_nothing_is_the_unbranched_run(branch_point):
    tracker, state, features, truths = branch_point
    same = branched(state, 1, state.objects[1][0].memory)
    found = counterfactuals(tracker, [state, *evictions(state, 1), same], features, truths, DISCOUNT)
    assert found[0] == found[-1] == pytest.approx(unbranched(*branch_point), abs=1e-6)
    assert len(set(found)) > 2


def test_every_arm_is_what_it_is_alone(branch_point):
    tracker, state, features, truths = branch_point
    arms = [*evictions(state, 1)[:2], *evictions(state, 2)[:1]]
    together = counterfactuals(tracker, arms, features[:3], truths[:3], DISCOUNT)
    for arm, quality in zip(arms, together, strict=True):
        assert unbranched(tracker, arm, features[:3], truths[:3]) == pytest.approx(quality, abs=1e-6)


def test_arms_that_read_the_same_are_computed_once(branch_point, monkeypatch):
    tracker, state, features, truths = branch_point
    first = Tracker(tracker.network, KeepFirst())
    asked = []
    decode = type(tracker.network).decode
    monkeypatch.setattr(
        type(tracker.network),
        "decode",
        lambda self, features, conditioned, threshold: (
            asked.append(len(conditioned)) or decode(self, features, conditioned, threshold)
        ),
    )
    for key in (1, 2):
        state = branched(state, key, Bank(state.objects[key][0].memory.anchors))
    arms = [branched(state, 1, state.objects[1][0].memory) for _ in range(4)]
    found = counterfactuals(first, arms, features, truths, DISCOUNT)
    assert len(set(found)) == 1 and asked == [2] * AFTER  # one row per object


def test_frames_without_truth_do_not_count(branch_point):
    tracker, state, features, truths = branch_point
    known = counterfactuals(tracker, [state], features[:1], truths[:1], DISCOUNT)
    assert counterfactuals(tracker, [state], features, [truths[0], *[{}] * (AFTER - 1)], DISCOUNT) == known
    with pytest.raises(ValueError, match="a frame ahead"):
        counterfactuals(tracker, [state], features, [{}] * AFTER, DISCOUNT)
    with pytest.raises(ValueError, match="an arm"):
        counterfactuals(tracker, [], features, truths, DISCOUNT)


def test_an_absent_object_is_right_to_be_empty(branch_point):
    tracker, state, features, truths = branch_point
    nowhere = {key: torch.zeros_like(mask) for key, mask in truths[0].items()}
    blind = replace(tracker, presence_threshold=1e9)
    seeing = replace(tracker, presence_threshold=-1e9)
    assert counterfactuals(blind, [state], features[:1], [nowhere]) == [1.0]
    assert counterfactuals(seeing, [state], features[:1], [nowhere]) == [0.0]


def test_branching_leaves_the_state_as_it_was(branch_point):
    tracker, state, features, truths = branch_point
    held = [entry.frame for entry in tracker.policy.entries(state.objects[1][0].memory)]
    counterfactuals(tracker, evictions(state, 1), features, truths)
    assert [entry.frame for entry in tracker.policy.entries(state.objects[1][0].memory)] == held
