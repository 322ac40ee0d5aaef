"""The family of gated memories: its published members by hand, and those that have a file of their own beside it."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch

from framework.diagnostics.contract import numbers
from framework.diagnostics.synthetic import Video, live
from framework.interfaces import MemoryPolicy
from framework.types import ANCHOR, Candidates, Entry, Features, Outcome, Query, Scores
from policies.components.gates import Gate, Thresholds, VisibleIou
from policies.components.rankings import ByPrototypes, ByScores, prototypes
from policies.components.shots import colours, distance
from policies.gated import Gated, GatedState
from policies.sam2long import Sam2Long
from policies.sam3 import Sam3
from policies.samurai import Samurai

BLANK = torch.zeros(2, 2, 2)
EAST, NORTH, WEST = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)


def query(frame: int, length: int | None = None) -> Query:
    return Query(frame, BLANK, length)


def written(
    policy: Gated,
    state: GatedState,
    frame: int,
    iou: float = 0.9,
    presence: float = 5.0,
    motion: float | None = None,
    prompted: bool = False,
    embedding: torch.Tensor = BLANK,
    features: Features | None = None,
) -> GatedState:
    """The mask covers the upper half of the image."""
    logits = torch.tensor([[5.0, 5.0], [-5.0, -5.0]])
    scores = Scores(iou, presence, motion, 2, prompted)
    seen = Candidates(logits[None, None], torch.tensor([[iou]]), torch.zeros(1, 1, 4), torch.tensor([presence]))
    outcome = Outcome(frame, seen, 0, None, scores, (2, 2), embedding=embedding, features=features)
    return policy.write(state, Entry(frame, torch.zeros(4), f"memory {frame}", scores), outcome)


def spatial(policy: MemoryPolicy, state: object, frame: int) -> list[tuple[int, int]]:
    return [(entry.frame, slot) for entry, slot in policy.read(state, query(frame)).spatial]


def pointers(policy: MemoryPolicy, state: object, frame: int) -> list[tuple[int, int]]:
    return [(entry.frame, ago) for entry, ago in policy.read(state, query(frame)).pointers]


class Everything(Gate):
    def admits(self, entry: Entry, outcome: Outcome) -> bool:
        return True


# ---------------------------------------------------------------------------------------- methods with their own file


def reads(policy: MemoryPolicy, video: Video) -> list[object]:
    return [numbers(replace(step.read, gain=None)) for step in live(policy, video)]


@pytest.mark.parametrize(
    ("member", "method"),
    [
        (Gated(), Samurai()),
        (Gated(Thresholds(min_iou=0.7, min_motion=None), slots=3, candidates=3), Samurai(min_iou=0.7, slots=3)),
        (Gated(VisibleIou(), pointers_of_candidates=True, max_anchors=4), Sam3()),
        (
            Gated(VisibleIou(0.6), slots=4, pointers=4, candidates=4, pointers_of_candidates=True),
            Sam3(slots=4, pointers=4, threshold=0.6),
        ),
        (Gated(Thresholds(0.1, 0.0, None), pointers_of_candidates=True), Sam2Long()),
    ],
    ids=["samurai", "samurai of 3", "sam3", "sam3 of 4", "sam2long"],
)
def test_the_family_holds_the_memories_that_have_a_file_of_their_own(member, method):
    for video in (Video(1, 90, lost=40, found=60), Video(2, 90, lost=3, found=8)):
        expected = reads(method, video)
        assert reads(member, video) == expected
        assert len({tuple(slots for *_, slots in spatial) for spatial, *_ in expected}) > 3  # they are not all alike


# ------------------------------------------------------------------------------------------------------------ options


def test_without_last_the_frame_before_is_read_only_if_it_is_admitted():
    policy = Gated(last=False, slots=2, candidates=2)
    state = written(policy, policy.init(), 0, prompted=True)
    for frame, iou in ((1, 0.9), (2, 0.6), (3, 0.5), (4, 0.1)):  # .5 is not above .5
        state = written(policy, state, frame, iou)
    assert spatial(policy, state, 5) == [(0, ANCHOR), (1, 1), (2, 0)]
    assert spatial(replace(policy, last=True), state, 5) == [(0, ANCHOR), (2, 1), (4, 0)]
    assert pointers(policy, state, 5) == [(0, 5), (4, 1), (3, 2), (2, 3), (1, 4)]


def test_slots_may_count_frames():
    policy = Gated(slots_by_age=True)
    state = written(policy, policy.init(), 0, prompted=True)
    for frame, iou in ((1, 0.9), (2, 0.9), (3, 0.1), (4, 0.9), (5, 0.1), (6, 0.1), (7, 0.9)):
        state = written(policy, state, frame, iou)
    assert spatial(policy, state, 8) == [(0, ANCHOR), (2, 5), (4, 3), (7, 0)]  # frame 1 is 7 frames ago


def test_prompts_are_the_nearest_and_take_the_place_of_what_was_tracked():
    policy = Gated(max_anchors=2, slots=2, candidates=2)
    state = policy.init()
    for frame in range(8):
        state = written(policy, state, frame, prompted=frame in (0, 3, 5))
    assert spatial(policy, state, 8) == [(5, ANCHOR), (3, ANCHOR), (6, 1), (7, 0)]
    corrected = written(policy, state, 7, prompted=True)
    assert spatial(policy, corrected, 8) == [(7, ANCHOR), (5, ANCHOR), (6, 0)]
    assert [entry.frame for entry in policy.entries(corrected)] == [0, 3, 5, 7, 1, 2, 4, 6, 6]


# ------------------------------------------------------------------------------------------------------------- SAMOSA


def test_samosa_reads_the_newest_and_the_best_scores_in_time_order():
    policy = Gated(Everything(), ByScores(), slots=3, candidates=4)
    state = written(policy, policy.init(), 0, prompted=True)
    seen = ((1, 0.9, 9.0, 0.9), (2, 0.9, 2.0, 0.5), (3, 0.6, 2.0, 0.9), (4, 0.95, 2.0, None), (5, 0.7, 0.0, 0.6))
    for frame, iou, presence, motion in seen:
        state = written(policy, state, frame, iou, presence, motion)
    # frame 1 is no longer among the last four; of sigmoid(2) = .8808:
    # 2: .9 + .8808 + .5 = 2.2808, 3: .6 + .8808 + .9 = 2.3808, 4: .95 + .8808 + 0 = 1.8308; 5 is the newest
    assert spatial(policy, state, 6) == [(0, ANCHOR), (2, 2), (3, 1), (5, 0)]
    values = ByScores().values(state.candidates, state.candidates[-1], state.prompt)
    assert values == pytest.approx((0.3 * 2.28080, 0.3 * 2.38080, 0.3 * 1.83080, 0.3 * 1.8), abs=1e-5)
    state = written(policy, state, 6, 0.2, -3.0, 0.0)  # the last four are 3 to 6, of which 3 and 4 are ahead of 5's 1.8
    assert spatial(policy, state, 7)[1:] == [(3, 2), (4, 1), (6, 0)]


def test_samosas_file():
    policy = Gated(Thresholds(0.5, 0.0, 0.0), ByScores(0.3, 0.3, 0.3), candidates=29)
    state = policy.init()
    for frame in range(60):
        state = written(policy, state, frame, 0.9 if frame % 2 else 0.4, 5.0, 0.5, prompted=frame == 0)
    held = [candidate.entry.frame for candidate in state.candidates]
    assert held == list(range(3, 60, 2))
    assert [frame for frame, _ in spatial(policy, state, 60)] == [0, 3, 5, 7, 9, 11, 59]  # of equal ones the oldest


# ------------------------------------------------------------------------------------------------------------- SAMITE


def scene(inside: tuple[float, float], outside: tuple[float, float]) -> torch.Tensor:
    """Image embedding [2 2 2] whose upper half is `inside`, and whose lower half is `outside`."""
    halves = [torch.tensor(half)[:, None, None].expand(2, 1, 2) for half in (inside, outside)]
    return torch.cat(halves, dim=1)


def test_prototypes_are_means_weighted_by_the_mask():
    embedding = torch.tensor([[[3.0, 0.0], [1.0, 1.0]], [[0.0, 4.0], [2.0, 0.0]]])
    logits = torch.full((4, 4), -1.0)
    logits[:2, :2] = 1.0  # all of the first token
    logits[0, 2] = 1.0  # a quarter of the second
    found = prototypes(embedding, logits)
    # foreground: (3, 0) + (0, 4) / 4 = (3, 1); background: 3/4 (0, 4) + (1, 2) + (1, 0) = (2, 5)
    assert found.tolist() == [pytest.approx([3 / sqrt(10), 1 / sqrt(10)]), pytest.approx([2 / sqrt(29), 5 / sqrt(29)])]
    assert prototypes(embedding, torch.full((4, 4), -1.0))[0].tolist() == [0.0, 0.0]


def test_samite_reads_the_newest_and_what_looks_like_it_and_like_the_prompt():
    policy = Gated(best_by=ByPrototypes(newest=0.3, prompt=0.7), slots=3, candidates=30, last=False)
    state = written(policy, policy.init(), 0, prompted=True, embedding=scene(EAST, EAST))
    for frame, inside, outside in ((1, EAST, EAST), (2, NORTH, NORTH), (3, WEST, NORTH), (4, EAST, NORTH)):
        state = written(policy, state, frame, embedding=scene(inside, outside))
    state = written(policy, state, 5, embedding=scene(NORTH, NORTH))
    # (foreground + background) / 2 with the newest (5: north, north) and with the prompt (0: east, east):
    # 1: 0 and 1 -> .7; 2: 1 and 0 -> .3; 3: (0 + 1)/2 and (-1 + 0)/2 -> .15 - .35; 4: .5 and .5 -> .15 + .35
    *others, newest = state.candidates
    values = ByPrototypes().values(others, newest, state.prompt)
    assert values == pytest.approx((0.7, 0.3, -0.2, 0.5), abs=1e-6)
    assert spatial(policy, state, 6) == [(0, ANCHOR), (1, 2), (4, 1), (5, 0)]
    near = replace(policy, best_by=ByPrototypes(newest=1.0, prompt=0.0))
    assert spatial(near, state, 6) == [(0, ANCHOR), (2, 2), (3, 1), (5, 0)]  # 2: 1, then 3 and 4: .5, the older first
    lost = written(policy, state, 6, iou=0.2)
    assert spatial(policy, lost, 7) == [(0, ANCHOR), (1, 2), (4, 1), (5, 0)]  # 6 is no candidate


def test_a_ranking_keeps_all_candidates_whole():
    policy = Gated(best_by=ByPrototypes(), candidates=30, last=False)
    state = written(policy, policy.init(), 0, prompted=True, embedding=scene(EAST, NORTH))
    for frame in range(1, 50):
        state = written(policy, state, frame, embedding=scene(EAST if frame == 20 else WEST, NORTH))
    assert [candidate.entry.frame for candidate in state.candidates] == list(range(20, 50))
    assert all(candidate.entry.features is not None for candidate in state.candidates)
    assert (20, 5) in spatial(policy, state, 50)


# ----------------------------------------------------------------------------------------------------- SeC's trigger


def picture(*colour: float) -> Features:
    """All of one colour, of a network that normalises as ImageNet does."""
    features = Features(query(0), torch.zeros(3, 8, 8), None)
    rgb = torch.tensor(colour)[:, None, None].expand(3, 8, 8)
    return replace(features, image=features.normalisation.apply(rgb))


def test_the_distance_of_colours():
    half = picture(1.0, 0.0, 0.0)
    half.image[:, :4] = picture(0.0, 0.0, 1.0).image[:, :4]
    red, blue, both = colours(picture(1.0, 0.0, 0.0)), colours(picture(0.0, 0.0, 1.0)), colours(half)
    assert red.sum() == 4 and np.count_nonzero(both) == 2  # every fourth pixel, each way
    assert distance(red, red) == pytest.approx(0.0, abs=1e-6)
    assert distance(red, blue) == pytest.approx(1.0)
    assert distance(red, both) == pytest.approx(sqrt(1 - sqrt(0.5)), abs=1e-6)


def test_after_a_change_of_shot_one_frame_is_admitted():
    policy = Gated(last=False, shot_change=0.35)
    state = written(policy, policy.init(), 0, prompted=True, features=picture(1.0, 0.0, 0.0))
    for frame, iou, hue in ((1, 0.9, 0), (2, 0.4, 2), (3, 0.9, 2), (4, 0.9, 2), (5, 0.9, 1), (6, 0.9, 1)):
        colour = [float(hue == channel) for channel in range(3)]
        state = written(policy, state, frame, iou, features=picture(*colour))
    # shots: 0-1 (the prompt's), 2-4 (of which 2 is not good enough), 5-6
    assert spatial(policy, state, 7) == [(0, ANCHOR), (3, 1), (5, 0)]
    assert spatial(replace(policy, last=True), state, 7) == [(0, ANCHOR), (3, 2), (5, 1), (6, 0)]
