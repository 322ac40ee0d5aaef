"""Memories that compare memories: Surgical SAM 2's pruning and ReSurgSAM2's diversity, by hand."""

from dataclasses import replace

import pytest
import torch

from framework.interfaces import MemoryPolicy
from framework.networks.build import facade
from framework.networks.micro import MicroSize, micro
from framework.tracker import Tracker, lockstep
from framework.types import ANCHOR, Candidates, Entry, Frame, Outcome, Prompt, Query, Scores
from policies.resurgsam2 import ReSurgSam2
from policies.sam2 import Sam2
from policies.surgical_sam2 import SurgicalSam2

SEEN = Candidates(torch.ones(1, 1, 2, 2), torch.ones(1, 1), torch.ones(1, 1, 4), torch.ones(1))


def cosines(memory: tuple[float, ...], others: list[tuple[float, ...]]) -> torch.Tensor:
    one = torch.tensor(memory)
    return torch.tensor([float(torch.cosine_similarity(one, torch.tensor(other), dim=0)) for other in others])


def at(degrees: float) -> tuple[float, ...]:
    """A memory in that direction: two are the more alike the nearer their directions are."""
    angle = torch.deg2rad(torch.tensor(degrees))
    return float(angle.cos()), float(angle.sin())


def written(
    policy: MemoryPolicy, state, frame: int, degrees: float, iou: float = 0.99, presence=5.0, prompted: bool = False
):
    scores = Scores(iou, presence, None, 4, prompted)
    outcome = Outcome(frame, SEEN, 0, None, scores, (2, 2), embedding=torch.zeros(1, 1, 1), compare=cosines)
    return policy.write(state, Entry(frame, torch.zeros(4), at(degrees), scores), outcome)


def lived(policy: MemoryPolicy, directions: list[float], **scores: float):
    state = written(policy, policy.init(), 0, 0.0, prompted=True)
    for frame, degrees in enumerate(directions, start=1):
        state = written(policy, state, frame, degrees, **scores)
    return state


def spatial(policy: MemoryPolicy, state, frame: int) -> list[tuple[int, int]]:
    return [(e.frame, slot) for e, slot in policy.read(state, Query(frame, torch.zeros(1, 1, 1), None)).spatial]


# ---------------------------------------------------------------------------------------------------- Surgical SAM 2


def test_the_two_between_that_are_most_like_the_newest_are_not_read():
    policy = SurgicalSam2()
    state = lived(policy, [90, 0, 50, 10, 80, 30, 20])  # frames 1 to 7; 2 is the oldest of six
    # 7 is at 20 degrees: 3 is 30 away, 4 is 10, 5 is 60, 6 is 10 (and 2, the oldest, 20)
    assert spatial(policy, state, 8) == [(0, ANCHOR), (2, 5), (3, 4), (5, 2), (7, 0)]
    read = policy.read(state, Query(8, torch.zeros(1, 1, 1), None))
    assert [entry.frame for entry, _ in read.pointers] == [0, 7, 6, 5, 4, 3, 2, 1]
    state = written(policy, state, 8, 75)
    # frames 3 to 8: 4 is 65 away, 5 is 5, 6 is 45, 7 is 55
    assert spatial(policy, state, 9) == [(0, ANCHOR), (3, 5), (4, 4), (7, 1), (8, 0)]


@pytest.mark.parametrize(("frames", "read"), [(1, [1]), (2, [1, 2]), (3, [1, 3]), (4, [1, 4]), (5, [1, 3, 5])])
def test_the_newest_and_the_oldest_are_never_dropped(frames, read):
    policy = SurgicalSam2()
    state = lived(policy, [0, 10, 40, 30, 20][:frames])
    assert [frame for frame, slot in spatial(policy, state, frames + 1) if slot != ANCHOR] == read


def test_nothing_dropped_is_sam2():
    policy, plain = SurgicalSam2(drop=0), Sam2()
    directions = [10.0 * frame for frame in range(9)]
    assert spatial(policy, lived(policy, directions), 10) == spatial(plain, lived(plain, directions), 10)


# --------------------------------------------------------------------------------------------------------- ReSurgSAM2


def test_the_least_similar_of_a_full_pool_becomes_long_term():
    policy = ReSurgSam2(slots=2)
    state = lived(policy, [10, 80, 20, 40])
    assert [entry.frame for entry in state.pool] == [1, 2, 3, 4] and state.long == ()
    state = written(policy, state, 5, 30)  # the prompt is at 0 degrees, so 2 at 80 is the furthest
    assert state.pool == () and spatial(policy, state, 6) == [(0, ANCHOR), (2, ANCHOR), (4, 1), (5, 0)]
    for frame, degrees in enumerate([85, 70, 120, 60, 90], start=6):
        state = written(policy, state, frame, degrees)
    # from 80 degrees, 8 at 120 is 40 away, 9 at 60 is 20; it would be 6 or 7 from the prompt
    assert spatial(policy, state, 11) == [(0, ANCHOR), (2, ANCHOR), (8, ANCHOR), (9, 1), (10, 0)]


def test_the_last_three_promoted_are_kept_and_read_once():
    policy = ReSurgSam2(pool=1)
    state = lived(policy, [10, 20, 30, 40, 50])
    assert spatial(policy, state, 6) == [(0, ANCHOR), (3, ANCHOR), (4, ANCHOR), (5, ANCHOR), (1, 4), (2, 3)]
    corrected = written(policy, state, 4, 0, prompted=True)
    assert [entry.frame for entry in corrected.long] == [3, 5]


@pytest.mark.parametrize("scores", [{"iou": 0.95}, {"presence": 0.0}])
def test_what_is_not_sure_does_not_join_the_pool(scores):
    """Neither is above its threshold."""
    assert lived(ReSurgSam2(), [10, 20, 30], **scores).pool == ()


# ------------------------------------------------------------------------------------------------------- the network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    small = micro(64, MicroSize(width=32, memory_width=32, layers=1, feedforward=64, trunk_widths=(8, 16, 32)))
    return facade(lambda: small, device="cpu")


def test_a_network_says_how_alike_memories_are(network):
    memories = torch.randn(4, 32, 4, 4, generator=torch.Generator().manual_seed(1)).bfloat16()
    found = network.similarity(memories[0], list(memories))
    flat = memories.flatten(1).float()
    expected = flat @ flat[0] / (flat.norm(dim=1) * flat[0].norm())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert float(found[0]) == pytest.approx(1.0)
    assert network.similarity(memories[0], list(memories[2:3])).tolist() == found[2:3].tolist()
    assert network.similarity(memories[0], []).tolist() == []


@torch.no_grad()
def test_what_is_dropped_depends_on_the_memories_and_not_on_who_is_tracked_beside(network):
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[16:40, 16:40] = True
    images = torch.randn(12, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    frames = [Frame(image, {} if at else {1: Prompt(mask=mask.numpy())}) for at, image in enumerate(images)]
    trackers = {"pruned": Tracker(network, SurgicalSam2()), "diverse": Tracker(network, ReSurgSam2(min_iou=0.0))}
    together = list(lockstep(trackers, frames))
    for name, tracker in trackers.items():
        # The numbers that decided are those of a batch, up to its last bits.
        alone, beside = (
            [replace(results[name].tracks[1].memory, reasons=()) for results in run]
            for run in (lockstep({name: tracker}, frames), together)
        )
        assert alone == beside
    pruned = [results["pruned"].tracks[1].memory.spatial for results in together][8:]
    assert [len(read) for read in pruned] == [5] * 4
    assert len({tuple(slot for _, slot in read) for read in pruned}) > 1
