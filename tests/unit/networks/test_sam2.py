"""SAM2's own memory against its rules written out frame by frame: strides, limited anchors, prompts given ahead."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from framework.types import ANCHOR, Candidates, Entry, Outcome, Query, Scores
from policies.sam2 import Sam2

GIVEN = Candidates(torch.ones(1, 1, 2, 2), torch.ones(1, 1), torch.zeros(1, 1, 1), torch.ones(1))


def write(policy, state, frame, prompted):
    scores = Scores(0.9, 1.0, None, 4, prompted)
    entry = Entry(frame, torch.zeros(1), frame, scores)
    return policy.write(state, entry, Outcome(frame, GIVEN, 0, None, scores, (8, 8), embedding=torch.zeros(1, 1, 1)))


def selected(prompts: Sequence[int], now: int, limit: int | None) -> list[int]:
    """Prompts read as anchors."""
    if limit is None or len(prompts) <= limit:
        return list(prompts)
    before, after = [f for f in prompts if f < now], [f for f in prompts if f >= now]
    closest = [max(before)] * bool(before) + ([min(after)] if after else [])
    rest = sorted((f for f in prompts if f not in closest), key=lambda f: abs(f - now))
    return [*closest, *rest[: limit - len(closest)]]


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("limit", [None, 2, 4])
@pytest.mark.parametrize("length", [12, 70])
def test_reads_what_its_rules_say(stride, limit, length):
    random = np.random.default_rng(length + stride)
    prompts = [0, *random.permutation(np.arange(1, length))[:6].tolist()]
    policy = Sam2(stride=stride, max_anchors=limit)
    state = policy.init()
    for frame in prompts:
        state = write(policy, state, frame, prompted=True)
    for now in (frame for frame in range(length) if frame not in prompts):
        anchors = selected(prompts, now, limit)
        known = {f for f in range(now) if f not in prompts} | {f for f in prompts if f not in anchors}
        last = (now - 2) // stride * stride
        wanted = [now - 1, *(last - back * stride for back in range(5))]
        slots = [(frame, slot) for slot, frame in enumerate(wanted) if frame in known]
        near = [(now - ago, ago) for ago in range(1, min(length, 16)) if now - ago in known]
        read = policy.read(state, Query(now, torch.zeros(1, 1, 1), length))
        spatial = [(entry.frame, slot) for entry, slot in read.spatial]
        assert spatial == [*((frame, ANCHOR) for frame in anchors), *reversed(slots)]
        assert all(entry.features is not None for entry, _ in read.spatial)
        pointers = [(entry.frame, ago) for entry, ago in read.pointers]
        assert pointers == [*((frame, now - frame) for frame in anchors if frame <= now), *near]
        assert read.pointer_span == min(length, 16) - 1
        state = write(policy, state, now, prompted=False)


@pytest.mark.parametrize("few", [0, 1, -1])
def test_anchors_before_and_after_are_the_least(few):
    with pytest.raises(ValueError, match="max_anchors >= 2 or null"):
        Sam2(max_anchors=few)
