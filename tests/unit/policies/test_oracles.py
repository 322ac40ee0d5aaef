"""Privileged policies remember the truth, whatever was tracked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from framework.tracker import Tracker
from framework.types import Candidates, Entry, Frame, Outcome, Prompt, Scores
from policies.oracle_gate import OracleGate
from policies.oracle_masks import OracleMasks
from policies.skip_absent import SkipAbsent
from tests.fakes.squares import SIDE, Square, SquareNetwork


def final_memory(policy, video, prompt, truth=True):
    """Frame -> remembered mask at the end of the video."""
    tracker, state = Tracker(SquareNetwork(), policy), None
    for index in range(video.length):
        features = tracker.network.encode(video.frame(index), index, video.length)
        given = {1: torch.from_numpy(video.mask(index))} if truth else {}
        frame = Frame(features.image, {1: prompt} if index == 0 else {}, truth=given)
        state, _ = tracker.step(state or tracker.init(), features, frame.prompts, truth=frame.truth)
    return {entry.frame: entry.features.numpy() > 0 for entry in policy.entries(state.objects[1][0].memory)}


def test_every_memory_shows_the_true_mask_and_absent_frames_leave_none():
    video, elsewhere = Square("beta", 9, 2, away=(4, 6)), np.zeros((SIDE, SIDE), dtype=bool)
    elsewhere[0:2, 0:2] = True  # a prompt beside the object: nothing is ever found
    memory = final_memory(OracleMasks(), video, Prompt(mask=elsewhere))
    assert list(memory) == [0, 1, 2, 3, 6, 7, 8]
    assert all(np.array_equal(mask, video.mask(frame)) for frame, mask in memory.items())
    assert list(final_memory(SkipAbsent(), video, Prompt(mask=elsewhere))) == [0]


def test_without_annotation_only_prompts_are_remembered():
    video = Square("alpha", 5, 0)
    prompt = Prompt(mask=video.mask(0))
    assert list(final_memory(OracleMasks(), video, prompt, truth=False)) == [0]
    assert len(final_memory(replace(OracleMasks(), slots=2, pointers=2), video, prompt)) == 3


@pytest.mark.parametrize("seed", range(6))
def test_the_gate_opens_where_the_shown_mask_is_right(seed):
    made = torch.Generator().manual_seed(seed)
    logits = torch.nn.functional.avg_pool2d(torch.randn(1, 1, 32, 24, generator=made), 9, 1, 4)
    candidates = Candidates(logits, torch.ones(1, 1), torch.ones(1, 1, 4), torch.ones(1))
    scores = Scores(1.0, 1.0, None, int((logits > 0).sum()), False)
    outcome = Outcome(1, candidates, 0, None, scores, (72, 100), embedding=torch.zeros(1, 1, 1))
    shown, entry = outcome.mask(), Entry(1, torch.ones(4), None, scores)
    for truth in (shown, shown.roll(seed, 0), shown & (torch.rand(shown.shape, generator=made) > 0.3), ~shown):
        iou = int((shown & truth).sum()) / int((shown | truth).sum())
        for least in (0.0, 0.5, 0.7, 0.9):
            assert OracleGate(iou=least).keeps(entry, replace(outcome, truth=truth)) == (iou > least)
    for nothing in (None, torch.zeros_like(shown)):
        assert not OracleGate(iou=0.0).keeps(entry, replace(outcome, truth=nothing))
    empty = replace(outcome, candidates=replace(candidates, logits=logits.clamp_max(0)), truth=shown)
    assert not OracleGate(iou=0.0).keeps(entry, empty)
