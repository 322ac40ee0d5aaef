"""Temporal slots that a network does not have are refused, before anything is tracked where the policy says so."""

import pytest
import torch

from framework.errors import InputError
from framework.evaluation.look_ahead import LookAhead
from framework.networks.build import facade
from framework.networks.micro import MicroSize, micro
from framework.tracker import Tracker
from framework.types import ANCHOR, Entry, Read, Scores
from policies.components.read_gate import ReadGate
from policies.dam4sam import Dam4Sam
from policies.evict_oldest import EvictOldest
from policies.keep_first import KeepFirst
from policies.learned_read_gate import LearnedReadGate
from policies.learned_write_gate import LearnedWriteGate
from policies.prompt_bias import PromptBias
from policies.sam2 import Sam2
from policies.skip_absent import SkipAbsent


@pytest.fixture(scope="module")
def network():
    small = micro(64, MicroSize(width=32, memory_width=32, layers=1, feedforward=64, trunk_widths=(8, 16, 32)))
    return facade(lambda: small, device="cpu")


@pytest.mark.parametrize(
    ("policy", "slots"),
    [
        (Sam2(slots=7), 7),
        (LearnedWriteGate("untrained", slots=100), 100),
        (Dam4Sam(memories=8), 7),
        (PromptBias(Sam2(slots=9)), 9),
        (LearnedReadGate(ReadGate(), SkipAbsent(slots=7)), 7),
        (LearnedWriteGate("untrained", slots=7), 7),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_policy_of_more_slots_than_the_network_has_makes_no_tracker(network, policy, slots):
    with pytest.raises(
        InputError, match=f"^{type(policy).__name__} reads {slots} temporal slots.*has 6: use at most 6$"
    ):
        Tracker(network, policy)


def test_look_ahead_asks_as_every_tracker_does(network):
    with pytest.raises(InputError, match="EvictOldest reads 7 temporal slots"):
        LookAhead(network, EvictOldest(slots=7))


@pytest.mark.parametrize("policy", [Sam2(), Dam4Sam(), LearnedWriteGate("untrained"), KeepFirst()])
def test_defaults_fit(network, policy):
    assert Tracker(network, policy).policy.slots <= network.slots == 6


@pytest.mark.parametrize("slot", [6, -2])
def test_a_read_of_a_slot_that_is_not_there_is_refused(network, slot):
    """The row after the last slot is the anchors', and rows before the first one wrap around."""
    image = torch.zeros(3, 64, 64)
    features = network.encode(image, 1, None)
    (memory,) = network.memorise(features, torch.zeros(1, 16, 16), torch.ones(1), torch.tensor([True]))
    entry = Entry(0, torch.zeros(32), memory, Scores(1.0, 1.0, None, 1, True))
    for known in (ANCHOR, 0, 5):
        network.condition(features, [Read(((entry, known),))])
    with pytest.raises(InputError, match=f"temporal slot {slot}: the network has 0 to 5"):
        network.condition(features, [Read(((entry, slot),))])
