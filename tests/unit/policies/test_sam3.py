"""SAM 3's memory selection by hand, and against a walk over all that was ever tracked."""

import random
from dataclasses import dataclass, replace

import pytest
import torch

from framework.types import ANCHOR, Candidates, Entry, Outcome, Query, Scores
from policies.components.gates import visible_iou
from policies.sam3 import Sam3, Sam3State

QUERY = Query(0, torch.zeros(1, 1, 1), None)
BAD, GOOD = -5.0, 5.0


def outcome(frame: int, presence: float, iou: tuple[float, ...] = (0.9, 0.5, 0.4), prompted: bool = False) -> Outcome:
    masks = len(iou)
    candidates = Candidates(
        torch.zeros(1, masks, 2, 2), torch.tensor([iou]), torch.zeros(1, masks, 4), torch.tensor([presence])
    )
    scores = Scores(iou[-1], presence, None, 1, prompted)
    return Outcome(frame, candidates, masks - 1, None, scores, (2, 2), embedding=torch.zeros(1, 1, 1))


def after(policy: Sam3, state: Sam3State, frame: int, presence: float = GOOD, prompted: bool = False) -> Sam3State:
    seen = outcome(frame, presence, (1.0,) if prompted else (0.9, 0.5, 0.4), prompted)
    return policy.write(state, Entry(frame, torch.zeros(4), frame, seen.scores), seen)


def lived(policy: Sam3, frames: int, prompts: tuple[int, ...] = (0,), bad: tuple[int, ...] = ()) -> Sam3State:
    state = policy.init()
    for frame in range(frames):
        state = after(policy, state, frame, BAD if frame in bad else GOOD, frame in prompts)
    return state


def read(policy: Sam3, state: Sam3State, frame: int, length: int | None = None):
    found = policy.read(state, replace(QUERY, frame=frame, length=length))
    return [(e.frame, slot) for e, slot in found.spatial], [(e.frame, ago) for e, ago in found.pointers]


@pytest.mark.parametrize(
    ("presence", "iou", "expected"),
    [
        (0.0, (1.0, 1.0, 1.0), 0.0),
        (-0.5, (1.0, 1.0, 1.0), 0.0),
        (1.0, (0.2, 0.8, 0.4), 0.8 * 0.46211716),  # 2 sigmoid(1) - 1 = tanh(1/2)
        (20.0, (0.5, 0.25, 0.125), 0.5),
    ],
)
def test_a_score_is_of_the_best_hypothesis_whichever_was_chosen(presence, iou, expected):
    assert visible_iou(outcome(3, presence, iou)) == pytest.approx(expected, abs=1e-7)


def test_the_last_frame_is_read_whatever_its_score():
    policy = Sam3()
    state = lived(policy, 9, bad=(3, 4, 8))
    assert read(policy, state, 9) == (
        [(0, ANCHOR), (1, 5), (2, 4), (5, 3), (6, 2), (7, 1), (8, 0)],
        [(0, 9), (8, 1), (7, 2), (6, 3), (5, 4), (2, 5), (1, 6)],
    )
    assert read(policy, after(policy, state, 9), 10)[0][-2:] == [(7, 1), (9, 0)]  # 8 is forgotten


def test_as_released_the_oldest_pointer_is_never_read():
    policy = Sam3(quirks=True)
    assert read(policy, lived(policy, 5), 5)[1] == [(0, 5), (4, 1), (3, 2), (2, 3)]
    assert read(policy, lived(policy, 2), 2) == ([(0, ANCHOR), (1, 0)], [(0, 2)])
    assert read(policy, lived(policy, 1), 1) == ([(0, ANCHOR)], [(0, 1)])


@pytest.mark.parametrize(("quirks", "newest"), [(False, 0), (True, 1)])
def test_a_prompt_on_the_last_frame_takes_a_rank_as_released(quirks, newest):
    policy = Sam3(quirks=quirks)
    spatial, pointers = read(policy, lived(policy, 8, prompts=(0, 7)), 8)
    assert spatial[:2] == [(0, ANCHOR), (7, ANCHOR)]
    assert spatial[-1] == (6, newest) and len(spatial) == 2 + 6 - newest
    assert pointers[:3] == [(0, 8), (7, 1), (6, 1 + newest)]


@pytest.mark.parametrize(
    ("options", "listed"), [({}, True), ({"quirks": True}, False), ({"quirks": True, "first_frame": True}, True)]
)
def test_a_tracked_first_frame(options, listed):
    """Frame 0 was tracked under a prompt of frame 9, absorbed before."""
    policy = Sam3(**options)
    state = after(policy, policy.init(), 9, prompted=True)
    assert read(policy, state, 0) == ([(9, ANCHOR)], [])
    state = after(policy, state, 0)
    assert read(policy, state, 1)[0] == [(9, ANCHOR), (0, 0)]
    assert read(policy, after(policy, state, 1), 2)[0] == [(9, ANCHOR)] + [(0, 1)] * listed + [(1, 0)]


def test_a_correction_replaces_what_was_tracked():
    policy = Sam3()
    state = after(policy, lived(policy, 6), 5, prompted=True)
    assert [entry.frame for entry in policy.entries(state)] == [0, 5, 1, 2, 3, 4]
    assert read(policy, state, 6)[0][:3] == [(0, ANCHOR), (5, ANCHOR), (1, 3)]


@dataclass(frozen=True)
class Everything:
    """The released rule, walked over records of the whole video."""

    policy: Sam3
    good: dict[int, bool]
    """Tracked frame -> score above the threshold."""
    anchors: list[int]

    def read(self, now: int, length: int | None):
        policy, most = self.policy, 15 if length is None else min(length, 16) - 1
        first = 1 if policy.quirks and not policy.first_frame else 0
        listed = [f for f in range(now - 1, first - 1, -policy.stride) if self.good.get(f)][:most][::-1]
        tracked_last = now - 1 in self.good
        if now > 0 and now - 1 not in listed and (tracked_last or policy.quirks):
            listed.append(now - 1)
        anchors = self.anchors
        if len(anchors) > policy.max_anchors:
            past = sorted((a for a in anchors if a < now), reverse=True)[:1]
            near = [*past, *sorted(a for a in anchors if a >= now)[:1]]
            rest = sorted((a for a in anchors if a not in near), key=lambda a: abs(a - now))
            anchors = [*near, *rest][: policy.max_anchors]
        slots = [(f, rank) for rank, f in enumerate(listed[::-1]) if f in self.good][:6]
        slots = [(f, rank) for f, rank in slots if rank < 6]
        reach = min(most, len(listed) - policy.quirks)
        pointers = [(f, rank) for rank, f in enumerate(listed[::-1], start=1) if f in self.good and rank <= reach]
        return (
            [(a, ANCHOR) for a in anchors] + slots[::-1],
            [(a, now - a) for a in anchors if a <= now] + pointers,
        )


@pytest.mark.parametrize("seed", range(24))
def test_as_a_walk_over_all_that_was_tracked(seed):
    draw = random.Random(seed)
    frames = draw.choice([12, 70, 140])
    length = draw.choice([None, frames])
    policy = Sam3(stride=draw.choice([1, 2, 5]), quirks=seed % 2 == 0, first_frame=draw.choice([None, True]))
    prompts = [0] if draw.random() < 0.5 else draw.sample(range(frames), draw.randint(1, 7))
    state, known, ahead = policy.init(), Everything(policy, {}, []), draw.random() < 0.5
    absorbed = prompts if ahead else []
    for frame in absorbed:
        state = after(policy, state, frame, prompted=True)
        known.anchors.append(frame)
    start, share = 0 if ahead else min(prompts), draw.choice([0.1, 0.5, 0.95])
    for frame in range(start, frames):
        if frame in prompts:
            if not ahead:
                state = after(policy, state, frame, prompted=True)
                known.anchors.append(frame)
            continue
        assert read(policy, state, frame, length) == known.read(frame, length), f"frame {frame}"
        good = draw.random() < share and not 30 < frame < 60
        state = after(policy, state, frame, GOOD if good else BAD)
        known.good[frame] = good
        held = len({entry.frame for entry in policy.entries(state)} - set(known.anchors))
        assert held <= 15 * policy.stride + 1
