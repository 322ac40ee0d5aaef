"""What every memory policy owes: the configuration folder is the list of those it is checked on."""

import dataclasses
import pickle
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from framework.interfaces import MemoryPolicy
from framework.tracker import Tracker
from framework.types import ANCHOR, Read
from tests.fakes.synthetic import Video, live, scripted, seen, tracked

CONF = Path(__file__).parents[2] / "conf/policy"
SLOTS = 7
"""Temporal positions a SAM2 network knows, the anchor's included."""
FULL = 16
"""Entries of a full bank: the prompt, and the fifteen frames whose pointers may be read."""
MOST = 128
"""Entries that a bounded policy may hold."""


@pytest.fixture(params=sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem, scope="module")
def policy(request) -> MemoryPolicy:
    made = instantiate(OmegaConf.load(request.param))
    assert isinstance(made, MemoryPolicy)
    return made


def numbers(read: Read):
    """A read without its tensors and objects."""
    weights = tuple(None if w is None else tuple(w.tolist()) for w in (read.gain, read.bias))
    spatial = tuple((entry.frame, entry.features, slot) for entry, slot in read.spatial)
    return spatial, tuple((entry.frame, ago) for entry, ago in read.pointers), read.pointer_span, weights


def check(read: Read, frame: int) -> None:
    items = len(read.spatial) + len(read.pointers)
    slots = [slot for _, slot in read.spatial if slot != ANCHOR]
    assert len(set(slots)) == len(slots) and all(0 <= slot < SLOTS - 1 for slot in slots), f"frame {frame}: {slots}"
    assert all(entry.features is not None for entry, _ in read.spatial), f"frame {frame} reads a bare pointer"
    assert all(entry.frame < frame for entry, _ in (*read.spatial, *read.pointers)), f"frame {frame}"
    for part in (read.spatial, read.pointers):
        frames = [entry.frame for entry, _ in part]
        assert len(set(frames)) == len(frames), f"frame {frame} reads {frames}"
    assert all(isinstance(ago, int) and ago >= 0 for _, ago in read.pointers), f"frame {frame}"
    assert read.pointer_span >= 0
    assert all(weights is None or weights.shape == (items,) for weights in (read.gain, read.bias))


def test_bounded_and_readable_over_2000_frames(policy):
    """The target is lost for most of the video, and found again."""
    before: set[int] = set()
    held, weight = [], []
    for step in live(policy, Video(1, 2000, lost=300, found=1600)):
        check(step.read, step.frame)
        assert {entry.frame for entry, _ in (*step.read.spatial, *step.read.pointers)} <= before
        before = {entry.frame for entry in policy.entries(step.state)}
        held.append(len(policy.entries(step.state)))
        if step.frame % 50 == 49:
            weight.append(len(pickle.dumps(step.state)))
    assert max(held) <= MOST
    early, late = max(held[:1000]), max(held[1000:])
    assert late <= max(early, FULL), "still growing"  # a bank that trusts little fills late
    # An entry more is a kilobyte more.
    allowed = 1.1 * max(weight[:20]) + 256 + 1024 * max(late - early, 0)
    assert max(weight[20:]) <= allowed, "the state grows beside its entries"


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted(CONF.glob("*.yaml")) if "\npointers:" in path.read_text()]
)
def test_without_pointers_no_tracked_frame_lends_its_pointer(name):
    policy = instantiate(OmegaConf.load(CONF / f"{name}.yaml"), pointers=0)
    for step in live(policy, Video(1, 60, lost=20, found=30)):
        check(step.read, step.frame)
        anchors = {entry.frame for entry, slot in step.read.spatial if slot == ANCHOR}
        assert {entry.frame for entry, _ in step.read.pointers} <= anchors, f"frame {step.frame}"
        assert len(policy.entries(step.state)) <= 3 * SLOTS


@pytest.mark.slow
def test_bounded_over_10000_frames_without_the_target(policy):
    held = [len(policy.entries(step.state)) for step in live(policy, Video(2, 10_000, lost=1))]
    assert max(held) <= MOST and max(held[1000:]) <= max(held[:1000])


def test_deterministic_without_state_on_the_policy(policy):
    before = pickle.dumps(policy)
    first, second = ([numbers(step.read) for step in live(policy, Video(3, 120, 60, 80))] for _ in range(2))
    assert first == second
    assert pickle.dumps(policy) == before
    if dataclasses.is_dataclass(policy):
        for field in dataclasses.fields(policy):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(policy, field.name, None)


def test_interleaved_videos_are_independent(policy):
    videos = Video(4, 80, 30, 50), Video(5, 80, 10, 20)
    alone = [[numbers(step.read) for step in live(policy, video)] for video in videos]
    together = zip(*(live(policy, video) for video in videos), strict=True)
    mixed = [[numbers(step.read) for step in steps] for steps in together]
    assert [list(steps) for steps in zip(*mixed, strict=True)] == alone


def test_a_forked_state_continues_the_same_way_twice(policy):
    whole = list(live(policy, Video(6, 100, 40, 60)))
    fork = whole[49].state
    before = pickle.dumps(fork)
    futures = [[numbers(s.read) for s in live(policy, Video(6, 100, 40, 60), fork, 50)] for _ in range(2)]
    assert futures[0] == futures[1] == [numbers(step.read) for step in whole[50:]]
    other = [numbers(step.read) for step in live(policy, Video(7, 100), fork, 50)]
    assert other[0] == futures[0][0], "what is read depends on what follows"
    assert pickle.dumps(fork) == before, "a state was changed in place"
    assert [numbers(s.read) for s in live(policy, Video(6, 100, 40, 60), fork, 50)] == futures[0]


def test_objects_and_trackers_do_not_see_each_other(policy):
    """Two objects in lockstep with another tracker remember what they remember alone."""
    other = Tracker(scripted(), instantiate(OmegaConf.load(CONF / "sam2.yaml")))
    both = tracked(Tracker(scripted(), policy), {1, 2}, other)
    for key in (1, 2):
        assert seen(both, key) == seen(tracked(Tracker(scripted(), policy), {key}), key)
