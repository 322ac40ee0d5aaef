"""Any variants in lockstep equal separate runs to the last bit, also where a state was saved or copied in between."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from framework.data.procedural.dataset import Procedural
from framework.networks.micro import network
from framework.state import State
from framework.tracker import Tracker, lockstep
from framework.types import Frame, Prompt, Result
from tests.traces import preset

CONF, LENGTH = Path(__file__).parents[2] / "conf", 10
NAMES = [f"{group}={path.stem}" for group in ("policy", "method") for path in sorted((CONF / group).glob("*.yaml"))]
CLICK = Prompt(points=((30.0, 30.0),), labels=(1,), refine=True)
KEPT: dict[str, Callable[[State], State]] = {
    "saved": lambda state: pickle.loads(pickle.dumps(state)),
    "copied": copy.deepcopy,
}


@cache
def tracker(name: str) -> Tracker:
    micro = network(rows_at_once=1, device="cpu")
    group, _, choice = name.partition("=")
    if group == "method":
        return preset(choice, micro)
    return Tracker(micro, instantiate(OmegaConf.load(CONF / "policy" / f"{choice}.yaml")))


@cache
def frames() -> list[Frame]:
    video = Procedural("val", "distractors", length=LENGTH, targets=2).sequence(0)
    clicks: dict[int, Any] = {5: {1: CLICK}}
    prompts = {index: {**video.prompts().get(index, {}), **clicks.get(index, {})} for index in range(LENGTH)}
    truths = [{key: torch.from_numpy(mask) for key, mask in video.truth(index).items()} for index in range(LENGTH)]
    return [Frame(video.frame(index), prompts[index], truth=truths[index]) for index in range(LENGTH)]


@cache
def alone(name: str) -> list[Result]:
    return [step[""] for step in lockstep({"": tracker(name)}, frames(), LENGTH)]


def same(ours: list[Result], theirs: list[Result]) -> bool:
    return all(
        one.tracks.keys() == other.tracks.keys()
        and all(
            torch.equal(track.logits, other.tracks[key].logits)
            and (track.choice, track.scores, track.memory)
            == (other.tracks[key].choice, other.tracks[key].scores, other.tracks[key].memory)
            for key, track in one.tracks.items()
        )
        for one, other in zip(ours, theirs, strict=True)
    )


@pytest.mark.slow
def test_random_variants_in_lockstep(pytestconfig: pytest.Config) -> None:
    def agree(names: list[str]) -> None:
        shared = tracker(names[0]).network
        together = {name: replace(tracker(name), network=shared) for name in names}
        steps = list(lockstep(together, frames(), LENGTH))
        assert [name for name in names if not same([step[name] for step in steps], alone(name))] == []

    limits = settings(
        max_examples=max(pytestconfig.getoption("--scenarios") // 5, 1),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    some = st.lists(st.sampled_from(NAMES), min_size=2, max_size=6, unique=True)
    with torch.inference_mode():
        limits(given(some)(agree))()


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["saved", "copied"])
@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_was_kept_goes_on_as_it_was(name: str, kept: str) -> None:
    one, moment = tracker(name), 3 + sum(map(ord, name)) % 5
    state, found = one.init(), []
    with torch.inference_mode():
        for index, frame in enumerate(frames()):
            state = KEPT[kept](state) if index == moment else state
            features = one.network.encode(frame.image, index, LENGTH)
            state, result = one.step(state, features, frame.prompts, frame.removed, frame.truth)
            found.append(result)
        assert same(found, alone(name))
