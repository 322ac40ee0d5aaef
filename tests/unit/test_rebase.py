"""A memory whose frames have other numbers, for another video."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module

from framework.config.checks import build
from framework.data.procedural.dataset import Procedural
from framework.networks.micro import network
from framework.state import State, held_tensors, rebased
from framework.tracker import Tracker
from framework.types import Entry, Result, Scores
from motion.kalman import Kalman
from policies.sam2 import Sam2

POLICIES = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "policy").glob("*.yaml"))
NUMBERED = ("random",)
"""Decide by the number of a frame, so that other numbers are other decisions."""
LENGTH, SAVED, BY = 22, 11, 840
VIDEO = Procedural("val", "distractors", length=LENGTH, size=128).sequence(0)


@pytest.fixture(scope="module")
def embedded():
    return network()


def go_on(tracker: Tracker, state: State, first: int, last: int, by: int = 0) -> tuple[State, list[Result]]:
    """Frames `first` to `last`, numbered `by` higher."""
    results = []
    with torch.inference_mode():
        for index in range(first, last):
            features = tracker.network.encode(VIDEO.frame(index), index + by, None)
            truth = {key: torch.from_numpy(mask) for key, mask in VIDEO.truth(index).items()}
            state, result = tracker.step(state, features, {} if state.objects else VIDEO.prompts()[0], truth=truth)
            results.append(result)
    return state, results


@pytest.mark.parametrize("name", [name for name in POLICIES if name not in NUMBERED])
def test_a_rebased_memory_goes_on_as_before(name: str, embedded: Any) -> None:
    with initialize_config_module("conf", version_base="1.3"):
        policy = build(compose("evaluate", overrides=[f"policy={name}"]).policy)
    tracker = Tracker(embedded, policy)
    state, _ = go_on(tracker, tracker.init(), 0, SAVED)
    _, expected = go_on(tracker, state, SAVED, LENGTH)
    moved = tracker.rebase(state, BY)
    assert {id(tensor) for tensor in held_tensors(moved)} <= {id(tensor) for tensor in held_tensors(state)}
    _, found = go_on(tracker, moved, SAVED, LENGTH, BY)
    for one, other in zip(found, expected, strict=True):
        ours, theirs = one.tracks[1], other.tracks[1]
        assert torch.equal(ours.logits, theirs.logits) and ours.scores == theirs.scores
        assert ours.memory == theirs.memory.renumbered(lambda frame: frame + BY)


def test_what_is_shared_stays_shared_and_nothing_else_moves() -> None:
    entry = Entry(3, torch.zeros(2), "memory", Scores(0.9, 5.0, None, 7, prompted=False))
    first, second, number = rebased((entry, replace(entry, frame=5), 3), -3)
    assert (first.frame, second.frame, number) == (0, 2, 3) and first.features == "memory"
    same, again = rebased([entry, entry], 1)
    assert same is again and same.pointer is entry.pointer and entry.frame == 3


def test_another_place_has_another_motion(embedded: Any) -> None:
    tracker = Tracker(embedded, Sam2(), Kalman())
    state, _ = go_on(tracker, tracker.init(), 0, SAVED)
    (branch,) = tracker.rebase(state, -SAVED).objects[1]
    assert repr(branch.motion) == repr(tracker.motion.init()) != repr(state.objects[1][0].motion)
    assert [entry.frame for entry in tracker.policy.entries(branch.memory)][-1] == -1
