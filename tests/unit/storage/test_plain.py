"""Values as plain data: they come back equal, with the identities they had, and without running any code."""

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from framework.data.procedural.dataset import Procedural
from framework.networks.micro import network
from framework.storage.plain import from_plain, to_plain
from framework.tracker import Tracker
from motion.hierarchical import Hierarchical
from motion.kalman import Kalman
from policies.dam4sam import Dam4Sam
from policies.him2sam import Him2Sam
from policies.sam2 import Sam2
from policies.sam2long import Sam2Long
from policies.sam2long_beam import Beam
from policies.sam3 import Sam3


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    name: str
    parts: Any = None
    derived: int = field(init=False, default=3)

    def __post_init__(self) -> None:
        object.__setattr__(self, "derived", len(self.name))


class Slotted:
    __slots__ = ("left", "right")


def through_a_file(value: Any) -> Any:
    content = io.BytesIO()
    torch.save(to_plain(value), content)
    content.seek(0)
    return from_plain(torch.load(content, weights_only=True))


def test_values_of_every_kind_come_back() -> None:
    slotted = Slotted()
    slotted.left = (1, 2.5, None, True, "a", b"b")
    value = [slotted, {3: {"k": frozenset({1})}, (1, 2): {7}}, [1, 2], np.float64(0.1), np.arange(3)]
    back = through_a_file(value)
    assert back[0].left == slotted.left and not hasattr(back[0], "right")
    assert back[1:3] == value[1:3]
    assert type(back[3]) is np.float64 and back[3] == value[3]
    assert back[4].dtype == np.int64 and back[4].tolist() == [0, 1, 2]


def test_a_class_that_has_other_fields_by_now_is_refused() -> None:
    kind, name, parts = to_plain(Node("abcd"))
    for changed in (parts[1:], [*parts, ["more", 1]]):
        with pytest.raises(ValueError, match="Node has other fields here"):
            from_plain([kind, name, changed])


def test_one_object_stays_one_object() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).T
    shared = Node("abcd", tensor)
    first, (second, third), same = through_a_file((shared, (shared, Node("abcd", tensor)), tensor))
    assert first is second and first is not third and first.parts is third.parts is same
    assert first.derived == 4 and torch.equal(same, tensor) and same.stride() == tensor.stride()


class Counted(dict):
    """Its items are no fields."""


HANDLES = [len, Node, lambda: 3, torch.nn.Linear(2, 2), io.StringIO(), object(), torch.Generator(), Counted(a=1)]


@pytest.mark.parametrize("value", HANDLES)
def test_code_and_handles_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be kept as plain data"):
        to_plain([value])


@pytest.mark.parametrize(
    "plain", [["object", "os:system", []], ["object", "nowhere:Node", []], ["unknown", []], {}, ["tuple"]]
)
def test_what_is_no_plain_value_is_refused(plain: Any) -> None:
    with pytest.raises(ValueError, match=r"no class|no plain value"):
        from_plain(plain)


TRACKERS = {
    "sam2": (Sam2(), {}),
    "kalman": (Sam2(), {"motion": Kalman()}),
    "dam4sam": (Dam4Sam(), {}),
    "him2sam": (Him2Sam(), {"motion": Hierarchical()}),
    "sam3": (Sam3(), {}),
    "sam2long": (Sam2Long(), {"selector": Beam(lag=3)}),
}


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_goes_on_from_its_state_to_the_bit(name: str) -> None:
    policy, parts = TRACKERS[name]
    video = Procedural(split="val", level="distractors", length=9).sequence(0)
    tracker = Tracker(network(), policy, **parts)
    states = {"kept": tracker.init(), "restored": tracker.init()}
    with torch.inference_mode():
        for t in range(9):
            features = tracker.network.encode(video.frame(t), t, 9)
            states["restored"] = through_a_file(states["restored"])
            found = {}
            for which, state in states.items():
                states[which], found[which] = tracker.step(state, features, video.prompts().get(t, {}))
            kept, restored = found["kept"], found["restored"]
            assert kept.work == restored.work
            for key, track in kept.tracks.items():
                other = restored.tracks[key]
                assert torch.equal(track.logits, other.logits)
                assert (track.scores, track.memory, track.choice) == (other.scores, other.memory, other.choice)
