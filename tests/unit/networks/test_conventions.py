"""What a network expects beside its weights reaches the facade, the policy and the tracker."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from framework.networks.conventions import Conventions, conventions
from framework.networks.micro import micro, network
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker
from framework.types import ANCHOR, Features, Prompt
from policies.sam2 import Sam2

SIDE, TOKENS = 64, 8
SOFT = Conventions(
    prompt_logit=1024.0,
    prompt_cells=16,
    binarised_prompts=False,
    corrections_read_memory=False,
    most_points=4,
    max_anchors=2,
    fill_hole_area=3,
)
"""Different from SAM 2 in all but the image."""


def net(expected: Conventions | None) -> Sam2Network:
    made = network("random", image_size=SIDE, device="cpu", seed=3)
    if expected is not None:
        made.model.conventions = expected
    return made


def frame(net: Sam2Network, index: int = 0) -> Features:
    image = np.random.default_rng(index).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    return net.encode(image, index, 9)


def disc() -> np.ndarray:
    y, x = np.mgrid[:40, :56]
    return (x - 25) ** 2 + (y - 18) ** 2 < 130


def test_a_model_that_says_nothing_has_those_of_sam2() -> None:
    assert conventions(micro(SIDE)) == Conventions()
    assert (Conventions().prompt_logit, Conventions().binarised_prompts, Conventions().fill_hole_area) == (10, True, 8)
    assert net(None).fill_hole_area == 8 and net(SOFT).fill_hole_area == 3


@torch.no_grad()
@pytest.mark.parametrize("given", ["video", "elsewhere"])
def test_a_given_mask_may_be_shown_as_resizing_makes_it(given: str) -> None:
    own, mask = net(SOFT), disc()
    if given == "elsewhere":
        mask = mask.repeat(2, axis=0).repeat(2, axis=1)
    shown: list[Tensor] = []
    own.model.mask_downsample.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    found = own.prompt(frame(own), [Prompt(mask=mask)])
    resized = torch.from_numpy(mask)[None, None].float()
    cells = F.interpolate(resized, (16 * TOKENS, 16 * TOKENS), mode="bilinear", antialias=True)
    assert torch.equal(shown[0], cells) and 0 < float(cells[(cells > 0) & (cells < 1)].mean()) < 1
    at_video = torch.from_numpy(disc())[None, None].float() * 2048 - 1024
    expected = F.interpolate(at_video, own.logit_size, mode="bilinear", antialias=True)
    torch.testing.assert_close(found.logits, expected, rtol=0, atol=1e-3 if given == "elsewhere" else 0)
    assert float(found.presence) == 10 and float(found.iou) == 1
    nothing = own.prompt(frame(own), [Prompt(mask=np.zeros_like(mask))])
    assert float(nothing.presence) == -10 and torch.equal(nothing.pointers[0, 0], own.model.no_obj_ptr[0])
    torch.testing.assert_close(nothing.logits, torch.full_like(nothing.logits, -1024.0), rtol=0, atol=1e-3)


@torch.no_grad()
def test_a_given_mask_of_sam2_is_made_of_0_and_1_at_the_size_of_the_input() -> None:
    own = net(None)
    shown: list[Tensor] = []
    own.model.mask_downsample.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    found = own.prompt(frame(own), [Prompt(mask=disc())])
    assert shown[0].shape[-2:] == (SIDE, SIDE) and set(shown[0].unique().tolist()) == {0.0, 1.0}
    assert float(found.logits.min()) == -10 and float(found.logits.max()) == 10


@torch.no_grad()
def test_of_many_points_the_first_and_the_last_are_kept() -> None:
    many = Prompt(box=(3.0, 3.0, 30.0, 30.0), points=tuple((float(x), 9.0) for x in range(5)), labels=(1, 1, 1, 0, 1))
    for expected, xs, labels in (
        (SOFT, [3.0, 30.0, 3.0, 4.0], [2, 3, 0, 1]),
        (None, [3.0, 30.0, 0.0, 1.0, 2.0, 3.0, 4.0], [2, 3, 1, 1, 1, 0, 1]),
    ):
        own, asked = net(expected), []
        encoder = own.model.sam_prompt_encoder
        encoder.register_forward_pre_hook(
            lambda _, args, options, asked=asked: asked.append(options["points"]), with_kwargs=True
        )
        own.prompt(frame(own), [many])
        ((points, found),) = asked
        torch.testing.assert_close(points[0, :, 0], torch.tensor(xs) / 56 * SIDE)
        assert found[0].tolist() == labels


@torch.no_grad()
@pytest.mark.parametrize(("expected", "reads"), [(SOFT, False), (None, True)])
def test_a_correction_sees_memory_or_not(expected: Conventions | None, reads: bool) -> None:
    own = net(expected)
    features = frame(own)
    click = [Prompt(points=((20.0, 9.0),), labels=(1,), refine=True)]
    previous = torch.randn(1, *own.logit_size, generator=torch.Generator().manual_seed(0))
    conditioned = features.private.top + 1
    without, with_memory = (
        own.prompt(features, click, None, previous),
        own.prompt(features, click, conditioned, previous),
    )
    assert torch.equal(without.logits, with_memory.logits) != reads
    fresh = own.prompt(features, click)
    assert not torch.equal(fresh.logits, without.logits)  # what is corrected is fed back all the same


@torch.no_grad()
def test_the_network_says_how_many_prompts_are_read_unless_the_policy_does() -> None:
    prompts = {1: Prompt(mask=disc())}
    for expected, most, read in ((SOFT, None, {2, 3}), (SOFT, 3, {1, 2, 3}), (None, None, {0, 1, 2, 3})):
        own = net(expected)
        tracker = Tracker(own, Sam2(max_anchors=most), fill_hole_area=None)
        assert tracker.hole_area == own.fill_hole_area
        assert replace(tracker, fill_hole_area=5).hole_area == 5
        state = tracker.init()
        for index in (0, 1, 2, 3):
            state, _ = tracker.step(state, frame(own, index), prompts)
        _, result = tracker.step(state, frame(own, 4))
        anchors = {index for index, slot in result.tracks[1].memory.spatial if slot == ANCHOR}
        assert anchors == read
