"""A reservoir of past frames: every one equally likely, decided by the seed and the frame's number alone."""

from collections import Counter

import numpy as np
import pytest
import torch

from framework.types import Candidates, Entry, Outcome, Scores
from policies.random import Random

GIVEN = Candidates(torch.zeros(1, 1, 2, 2), torch.ones(1, 1), torch.zeros(1, 1, 4), torch.ones(1))


def held(policy: Random, frames: int) -> list[int]:
    """Remembered frames, in the order in which they are read, of a video whose frame 0 is prompted."""
    state = policy.init()
    for t in range(frames):
        scores = Scores(1.0, 1.0, None, 1, prompted=t == 0)
        state = policy.write(
            state,
            Entry(t, torch.zeros(4), t, scores),
            Outcome(t, GIVEN, 0, None, scores, (2, 2), embedding=torch.zeros(1, 1, 1)),
        )
    return [entry.frame for entry in state.bank.recent]


def test_a_new_frame_replaces_the_one_that_was_drawn():
    """Worked through by hand: frame t draws one of the t frames seen, of which the first two are the slots."""
    draws = [int(np.random.default_rng((41, frame)).integers(frame)) for frame in range(3, 9)]
    assert draws == [1, 3, 1, 0, 4, 3]
    reservoirs = [held(Random(slots=2, seed=41), frames) for frames in range(3, 10)]
    assert reservoirs == [[1, 2], [1, 3], [1, 3], [1, 5], [5, 6], [5, 6], [5, 6]]


def test_every_past_frame_is_equally_likely():
    counts = Counter(frame for seed in range(400) for frame in held(Random(slots=3, seed=seed), 13))
    assert sorted(counts) == list(range(1, 13))
    assert [counts[frame] for frame in range(1, 13)] == pytest.approx([400 * 3 / 12] * 12, abs=30)
