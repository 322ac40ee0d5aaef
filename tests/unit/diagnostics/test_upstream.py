"""The comparison with sam2's own predictor that users run."""

import numpy as np
import pytest
import torch

from framework.diagnostics.deterministic_weights import fill, frame
from framework.diagnostics.upstream import LEAST_FRAMES, agreement, compare, costs, peak_mib, trial_prompts
from framework.errors import InputError
from framework.networks.build import model
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker
from policies.keep_first import KeepFirst
from policies.sam2 import Sam2

FRAMES = [frame(index, 160)[32:128] for index in range(LEAST_FRAMES)]


@pytest.fixture(scope="module")
def network() -> Sam2Network:
    return Sam2Network(fill(model("sam2.1_hiera_t", 64)))


def test_the_engine_agrees(network: Sam2Network) -> None:
    with torch.inference_mode():
        found = compare(Tracker(network, Sam2()), FRAMES)
    assert [each.prompts for each in found] == list(trial_prompts((96, 160)))
    assert [each.compared for each in found] == [6, 6, 6, 6 + 6 + 4]
    for each in found:
        assert each.within(1e-2) and each.iou > 0.95 and each.decisions == 0


def test_another_policy_is_noticed(network: Sam2Network) -> None:
    with torch.inference_mode():
        found = compare(Tracker(network, KeepFirst()), FRAMES)
    assert not any(each.within(1e-2) for each in found)


def test_what_differs_is_measured() -> None:
    theirs = {(0, 1): torch.tensor([[4.0, -4.0]]), (1, 1): torch.tensor([[-4.0, -4.0]])}
    ours = {(0, 1): torch.tensor([[4.0, 1.0]]), (1, 1): torch.tensor([[-4.0, 4.0]])}
    found = agreement("mask", theirs, ours)
    spread = 4 * 2**0.5  # of the frame whose logits differ
    assert (found.logits, found.iou, found.decisions, found.compared) == (pytest.approx(8 / spread), 0.0, 1, 2)
    with pytest.raises(ValueError, match=r"mask: other frames and objects are shown: \[\(1, 1\)\]"):
        agreement("mask", theirs, {(0, 1): ours[0, 1]})


def test_costs_stand_beside_as_many_runs(network: Sam2Network) -> None:
    trackers = {"sam2": Tracker(network, Sam2()), "keep_first": Tracker(network, KeepFirst())}
    with torch.inference_mode():
        one, both = costs(trackers, FRAMES, repeats=1)
    assert (one.trackers, both.trackers) == (1, 2)
    assert both.theirs == 2 * one.theirs > 0 and min(one.ours, both.ours) > 0
    assert peak_mib(torch.device("cpu")) > 1


def test_other_families_have_nothing_to_compare_with() -> None:
    with pytest.raises(InputError, match=r"sam2's own predictor runs SAM 2 and 2.1: EdgeTAM has nothing"):
        compare(Tracker(Sam2Network(model("edgetam", 256)), Sam2()), [np.zeros((8, 8, 3), np.uint8)] * 6)
