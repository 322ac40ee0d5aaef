"""Any variants in lockstep equal separate runs to the last bit, in whatever order and from whatever copy they go on.

Of every memory policy, motion model and method, and of looking ahead, on every family of networks. `--scenarios` says
how much is drawn.
"""

import copy
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import strategies as st
from omegaconf import OmegaConf

from framework.data.procedural.dataset import Procedural
from framework.evaluation.look_ahead import LookAhead
from framework.interfaces import Network
from framework.networks import build, micro
from framework.state import State
from framework.tracker import Tracker, advance
from framework.types import Features, Frame, Prompt, Result, Track
from policies.evict_oldest import EvictOldest
from policies.sam2 import Sam2
from tests.golden.test_random_scenarios import drawn
from tests.traces import preset, with_own_points

CONF = Path(__file__).parents[2] / "conf"
GROUPS = ("policy", "motion", "method")
NAMES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
NAMES += ["look_ahead=1", "look_ahead=3"]
BACKBONES = {"micro": 128, "sam2.1_hiera_t": 64, "sam2_hiera_t": 64, "efficienttam_ti_1": 64, "edgetam": 256}
"""Side of the network input."""
MICRO = "micro"
LENGTH, SHORT = 20, 8
"""Frames of a video: motion models need some before they trust themselves; other networks see the short one."""
CLICK = Prompt(points=((30.0, 30.0),), labels=(1,), refine=True)
BOX = Prompt(box=(40.0, 40.0, 90.0, 80.0))
KEPT: dict[str, Callable[[Any], Any]] = {
    "saved": lambda states: pickle.loads(pickle.dumps(states)),
    "copied": copy.deepcopy,
}
States = Mapping[str, State]

# --------------------------------------------------------------------------------------------- variants and videos


@cache
def network(backbone: str) -> Network:
    if backbone == MICRO:
        return micro.network(rows_at_once=1, device="cpu")
    return build.network(backbone, "random", BACKBONES[backbone], device="cpu", rows_at_once=1)


@cache
def tracker(backbone: str, name: str) -> Tracker:
    if backbone != MICRO:
        return replace(tracker(MICRO, name), network=network(backbone))
    group, _, choice = name.partition("=")
    if group == "look_ahead":
        return LookAhead(network(MICRO), EvictOldest(slots=2, pointers=4), horizon=int(choice))
    if group == "method":
        return with_own_points(preset(choice, network(MICRO)))
    part = instantiate(OmegaConf.load(CONF / group / f"{choice}.yaml"))
    return Tracker(network(MICRO), part) if group == "policy" else Tracker(network(MICRO), Sam2(), part)


@dataclass(frozen=True, eq=False)
class Video:
    """Frames with prompts, removals and truths."""

    frames: Sequence[Frame]
    features: Sequence[Features]


@cache
def video(backbone: str, which: int) -> Video:
    """Of two: one object is corrected; one is corrected click by click while another goes and returns."""
    length = LENGTH if backbone == MICRO else SHORT
    source = Procedural("val", ("distractors", "occlusion")[which], length=length, targets=2).sequence(which)
    given: dict[int, dict[int, Any]] = {index: dict(prompts) for index, prompts in source.prompts().items()}
    given[5] = {1: CLICK} if which == 0 else {1: [CLICK, CLICK], 2: BOX}
    frames = [
        Frame(
            source.frame(index),
            given.get(index, {}),
            frozenset({2}) if which == 1 and index == 3 else frozenset(),
            {key: torch.from_numpy(mask) for key, mask in source.truth(index).items()},
        )
        for index in range(length)
    ]
    return Video(frames, [network(backbone).encode(frame.image, at, length) for at, frame in enumerate(frames)])


# -------------------------------------------------------------------------------------------------------- stepping


def step(
    trackers: Mapping[str, Tracker], states: States, seen: Video, index: int
) -> tuple[States, Mapping[str, Result]]:
    """One frame in lockstep, and what looking ahead makes of it."""
    after, results = advance(trackers, states, seen.features[index], seen.frames[index])
    for name, one in trackers.items():
        if isinstance(one, LookAhead):
            ahead = slice(index + 1, index + 1 + one.horizon)
            truths = [frame.truth for frame in seen.frames[ahead]]
            after[name] = one.look_ahead(after[name], seen.features[ahead], truths)
    return after, results


@cache
def alone(backbone: str, which: int, name: str) -> list[Result]:
    trackers, seen, found = {name: tracker(backbone, name)}, video(backbone, which), []
    states: States = {name: trackers[name].init()}
    for index in range(len(seen.frames)):
        states, results = step(trackers, states, seen, index)
        found.append(results[name])
    return found


def different(results: Mapping[str, Result], backbone: str, which: int) -> list[str]:
    """Names of those that differ from their separate runs."""
    return [name for name, one in results.items() if not same(one, alone(backbone, which, name)[one.frame])]


def same(one: Result, other: Result) -> bool:
    return list(one.tracks) == list(other.tracks) and all(
        torch.equal(one.tracks[key].logits, other.tracks[key].logits) and numbers(one, key) == numbers(other, key)
        for key in one.tracks
    )


def numbers(result: Result, key: int) -> tuple[object, ...]:
    track: Track = result.tracks[key]
    return track.choice, track.scores, track.box, track.memory


# ----------------------------------------------------------------------------------------------------------- tests


def sets(most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(NAMES), min_size=1, max_size=most, unique=True)


@pytest.fixture(autouse=True)
def inference() -> Any:
    with torch.inference_mode():
        yield


def draws(pytestconfig: pytest.Config) -> int:
    return max(pytestconfig.getoption("--scenarios") // 5, 1)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_random_variants_in_lockstep(backbone: str, pytestconfig: pytest.Config) -> None:
    def agree(case: tuple[list[str], int]) -> None:
        names, which = case
        trackers, seen = {name: tracker(backbone, name) for name in names}, video(backbone, which)
        states: States = {name: one.init() for name, one in trackers.items()}
        for index in range(len(seen.frames)):
            states, results = step(trackers, states, seen, index)
            assert different(results, backbone, which) == []

    count = draws(pytestconfig) if backbone == MICRO else max(draws(pytestconfig) // 4, 1)
    drawn(agree, st.tuples(sets(most=5), st.integers(0, 1)), count)


@dataclass
class Running:
    """A lockstep somewhere in its video, and all the states it ever had."""

    backbone: str
    which: int
    names: Sequence[str]
    index: int = 0
    states: States = field(default_factory=dict)
    past: list[States] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.trackers = {name: tracker(self.backbone, name) for name in self.names}
        self.video = video(self.backbone, self.which)
        self.states = {name: one.init() for name, one in self.trackers.items()}

    def move(self, what: str) -> None:
        """One frame, or the state as it comes back from where it was kept, or an earlier one."""
        if what in KEPT:
            self.states = KEPT[what](self.states)
        elif what == "back" and self.past:
            self.index //= 2
            self.states = self.past[self.index]
            del self.past[self.index :]
        elif self.index < len(self.video.frames):
            self.past.append(self.states)
            self.states, results = step(self.trackers, self.states, self.video, self.index)
            assert different(results, self.backbone, self.which) == []
            self.index += 1

    def finish(self) -> None:
        while self.index < len(self.video.frames):
            self.move("step")


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[tuple[str, int, list[str]]], list[tuple[int, str]]]:
    """Several locksteps, and whose turn it is to do what."""
    backbones = st.sampled_from([MICRO, MICRO, MICRO, *BACKBONES])
    runs = draw(st.lists(st.tuples(backbones, st.integers(0, 1), sets(most=3)), min_size=2, max_size=3))
    moves = st.sampled_from(["step"] * 8 + ["saved", "copied", "back"])
    return runs, draw(st.lists(st.tuples(st.integers(0, len(runs) - 1), moves), min_size=20, max_size=60))


@pytest.mark.slow
def test_interleaved_and_kept_at_random_moments(pytestconfig: pytest.Config) -> None:
    def agree(case: tuple[list[tuple[str, int, list[str]]], list[tuple[int, str]]]) -> None:
        running = [Running(*run) for run in case[0]]
        for turn, what in case[1]:
            running[turn].move(what)
        for one in running:
            one.finish()

    drawn(agree, interleavings(), draws(pytestconfig))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_was_kept_goes_on_as_it_was(name: str) -> None:
    running, moment = Running(MICRO, 0, [name]), 2 + sum(map(ord, name)) % 7
    for kept in KEPT:
        for _ in range(moment):
            running.move("step")
        running.move(kept)
    running.finish()
