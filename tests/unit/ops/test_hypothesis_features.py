"""What the hypotheses of a frame show, and how that compares with what is known of the target."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from framework.ops.features.history import TargetHistory
from framework.ops.features.hypotheses import describe
from framework.ops.features.relative import FEATURES, GROUPS, compare, follow, used_without
from framework.types import ABSENT_LOGIT, Candidates, Features, Normalisation, Query
from tests.fakes.frames import HERE, THERE, candidates, coloured, features


def seen(*boxes, image=None):
    return describe(candidates(*boxes), features(1, image))


def only(box):
    """What the one mask of a frame shows."""
    return seen(box).mask(0)


def compared(target, *boxes, image=None):
    """By name, the features of every hypothesis."""
    return [dict(zip(FEATURES, row, strict=True)) for row in compare(target, seen(*boxes, image=image)).rows]


def followed(target, choice, *boxes):
    """What is target after a frame of these hypotheses."""
    hypotheses = seen(*boxes)
    return follow(target, hypotheses, compare(target, hypotheses), choice)


def test_features_are_what_the_masks_say():
    target = TargetHistory.begin(only(HERE))
    same, other, empty = compared(target, HERE, THERE, None)
    assert same["iou"] == pytest.approx(0.9) and same["iou_related"] == pytest.approx(0.5)
    assert same["area_prompt"] == same["jump"] == 0.0 and same["mask_last"] == same["box_last"] == 1.0
    assert same["look_prompt"] == pytest.approx(1.0) and other["look_prompt"] < 0 == empty["look_prompt"]
    assert same["look_prompt_related"] == pytest.approx(1.0) and other["look_prompt_related"] < -1
    assert same["pointer_prompt"] == 1.0 and other["pointer_prompt"] == 0.0
    assert other["jump"] == 4.0 and other["mask_last"] == 0.0 and other["agreed"] == 0.0
    assert [row["second"] for row in compared(target, HERE, THERE, None)] == [0.0, 1.0, 0.0]
    assert same["presence"] == pytest.approx(np.tanh(1.0)) and same["away"] == 0.0


def again(found):
    """The same candidates as another value, so that they are looked at once more."""
    return replace(found)


def plain(logits, embedding):
    """Mean feature under each mask less that of the image, of unit length, token by token."""
    (down, across), (height, width) = embedding.shape[1:], logits.shape[1:]
    rows, columns = torch.arange(height) * down // height, torch.arange(width) * across // width
    spread = embedding[:, rows][:, :, columns] - embedding.mean((1, 2), keepdim=True)
    return F.normalize(torch.einsum("mhw,chw->mc", (logits > 0).float(), spread), dim=1)


def test_looks_are_seen_no_finer_than_by_the_embedded_network():
    made = torch.Generator().manual_seed(0)
    fine = torch.randn(5, 64, 96, generator=made)
    logits, pointers = torch.randn(3, 128, 192, generator=made), torch.randn(3, 4, generator=made)
    halved = F.avg_pool2d(fine, 8)
    assert halved.shape == (5, 8, 12)
    found = Candidates(logits[None], torch.zeros(1, 3), pointers[None], torch.zeros(1))

    def looks(tokens, hypotheses=found):
        return describe(again(hypotheses), features(1, torch.zeros(3, 128, 192), tokens)).looks

    np.testing.assert_allclose(looks(fine), looks(halved), atol=1e-6)
    odd, coarser = fine[:, :63], logits[:, ::2, ::2]
    np.testing.assert_allclose(looks(odd), plain(coarser, odd), atol=1e-5)
    np.testing.assert_array_equal(looks(fine), looks(fine, replace(found, logits=coarser[None])))


def test_colours_tell_things_apart_in_any_light():
    target = TargetHistory.begin(only(HERE))
    same, other, empty = compared(target, HERE, THERE, None)
    assert same["colour_prompt"] == pytest.approx(1.0) and other["colour_prompt"] == empty["colour_prompt"] == 0.0
    darker = compared(target, HERE, THERE, image=coloured(light=0.6))[0]["colour_prompt"]
    paler = compared(target, HERE, THERE, image=coloured((0.7, 0.2, 0.15)))[0]["colour_prompt"]
    assert darker == pytest.approx(1.0, abs=1e-3) and 0.0 < paler < 0.99
    shown = seen((0, 0, 16, 16))
    np.testing.assert_allclose(shown.colours[0], brightness_weighted(coloured()[:, ::2, ::2]), atol=1e-3)


def test_colours_are_the_images_whatever_the_network_makes_of_it():
    found = candidates(HERE, THERE)
    expected = describe(found, features(1))
    halves = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    image = halves.apply(Normalisation().undo(coloured()))
    other = replace(features(1, image), normalisation=halves)
    np.testing.assert_allclose(describe(again(found), other).colours, expected.colours, atol=1e-4)
    wrong = describe(again(found), features(1, image)).colours
    assert np.abs(wrong - expected.colours).max() > 0.05


def brightness_weighted(pixels):
    """Square root of the histogram of chromaticities, pixel by pixel."""
    histogram = np.zeros((16, 16))
    for pixel in Normalisation().undo(pixels).flatten(1).T.numpy():
        red, green, blue = pixel.astype(float)
        across, down = (red - green) / pixel.sum() / 2 + 0.5, (red + green - 2 * blue) / pixel.sum() / 3 + 2 / 3
        for row in range(16):
            for column in range(16):
                near = max(0, 1 - abs(15 * across - column)) * max(0, 1 - abs(15 * down - row))
                histogram[row, column] += pixel.sum() * near
    return np.sqrt(histogram.ravel() / histogram.sum())


def test_a_distractor_that_lasts_has_a_tracklet():
    target = TargetHistory.begin(only(HERE))
    for _ in range(3):
        target = followed(target, 0, HERE, THERE, None)
    same, other, _ = compared(target, HERE, THERE, None)
    assert (same["tracklet_chosen"], other["tracklet_chosen"]) == (1.0, 0.0)
    assert (same["tracklet_length"], other["tracklet_length"]) == pytest.approx((np.log(5), np.log(4)))
    assert same["tracklet_colour"] == pytest.approx(1.0) and other["tracklet_colour"] == pytest.approx(0.0)
    assert same["tracklet_iou"] == pytest.approx(0.9 + 0.1 * 0.85**4) and other["tracklet_iou"] == pytest.approx(0.4)
    mistaken = followed(target, 1, HERE, THERE, None)
    same, other, _ = compared(mistaken, HERE, THERE, None)
    assert (same["tracklet_chosen"], other["tracklet_chosen"]) == (0.0, 1.0) and same[
        "tracklet_colour"
    ] == pytest.approx(1.0)


def test_tracklets_are_few_and_end():
    target, boxes = TargetHistory.begin(only(HERE)), [(x, y, x + 4, y + 4) for x in (0, 6, 12) for y in (0, 6, 12)]
    for first, second in zip(boxes[1::2], boxes[2::2], strict=True):
        target = followed(target, 0, HERE, first, second)
    assert len(target.tracklets) == 4 and target.tracklets[0].chosen
    twins = followed(target, 0, HERE, (0, 0, 4, 5), (0, 0, 1, 2))
    assert [tracklet.missed for tracklet in twins.tracklets] == [0, 1, 1, 2]
    for _ in range(13):
        target = followed(target, 0, HERE, None, None)
    assert [tracklet.last.box for tracklet in target.tracklets] == [(0.0, 0.0, 3.0, 3.0)]


def test_a_steady_object_is_expected_where_it_moves_to():
    target = TargetHistory.begin(only((0, 0, 4, 4)))
    for left in (2, 4):
        target = followed(target, 0, (left, 0, left + 4, 4))
    (row,) = compared(target, (6, 0, 10, 4))
    assert row["surprise"] == 0.0 < row["jump"] and row["box_predicted"] == 1.0 > row["box_last"]
    lost = followed(followed(target, 0, None), 0, None)
    assert lost.away == 2 and lost.newest is target.newest
    assert compared(lost, (6, 0, 10, 4))[0]["surprise"] == pytest.approx(row["jump"])


def frame(seed, grid, masks=3, tokens=4, empty=()):
    """Random smooth hypotheses; `tokens` cells along each axis make one of the embedding."""
    made = torch.Generator().manual_seed(seed)
    logits = 40 * F.avg_pool2d(torch.randn(masks, *grid, generator=made), 5, 1, 2)
    logits[list(empty)] = ABSENT_LOGIT
    embedding = 1 + torch.randn(7, grid[0] // tokens, grid[1] // tokens, generator=made)
    pointers = torch.randn(1, masks, 5, generator=made)
    found = Candidates(logits[None], torch.rand(1, masks, generator=made), pointers, torch.ones(1))
    return found, Features(Query(1, embedding, None), torch.rand(3, *grid, generator=made), None)


@pytest.mark.parametrize(
    "what",
    [
        *({"seed": seed, "grid": (64, 48)} for seed in range(6)),
        {"seed": 6, "grid": (16, 16), "tokens": 1},
        {"seed": 7, "grid": (32, 32), "tokens": 2},
        {"seed": 8, "grid": (24, 36), "tokens": 3},
        {"seed": 13, "grid": (128, 128)},  # finer than the embedded network's
        {"seed": 14, "grid": (256, 256)},
        {"seed": 10, "grid": (32, 32), "masks": 1},
        {"seed": 11, "grid": (32, 32), "masks": 2},
        {"seed": 12, "grid": (32, 32), "empty": (1,)},
        {"seed": 12, "grid": (32, 32), "empty": (0, 1, 2)},
    ],
)
def test_measures_are_those_of_plain_formulas(what):
    found, shown = frame(**what)
    given = shown.query.embedding.clone()
    measured = describe(found, shown)
    assert torch.equal(given, shown.query.embedding)
    step = max(1, -(-max(what["grid"]) // 128))
    logits = found.logits[0, :, ::step, ::step]
    masks = logits > 0
    np.testing.assert_array_equal(measured.masks, masks.numpy().astype(np.uint8))
    assert measured.areas == tuple(masks.sum((1, 2)).tolist())
    for mask, box in zip(masks, measured.boxes, strict=True):
        at = mask.nonzero()
        assert box == (None if not len(at) else (*at.amin(0).flip(0).tolist(), *at.amax(0).flip(0).tolist()))
    wide, narrow = ((logits > level).sum((1, 2)) for level in (-1, 1))
    assert measured.stability == pytest.approx((narrow / wide.clamp_min(1)).tolist())
    inside = (logits * masks).sum((1, 2)) / masks.sum((1, 2)).clamp_min(1)
    assert measured.sharpness == pytest.approx(torch.tanh(inside / 8).tolist(), abs=1e-5)
    common = torch.einsum("mhw,nhw->mn", masks.double(), masks.double())
    either = common.diagonal()[:, None] + common.diagonal()[None] - common
    np.testing.assert_allclose(measured.ious, common / either.clamp_min(1), atol=1e-9)
    np.testing.assert_allclose(measured.pointers, F.normalize(found.pointers[0], dim=1), atol=1e-6)
    coarse = F.avg_pool2d(given, max(given.shape[-1] // 16, 1))
    np.testing.assert_allclose(measured.looks, plain(logits, coarse), atol=5e-5)


def test_nothing_to_compare():
    target = TargetHistory.begin(only(HERE))
    assert compare(TargetHistory(), seen(HERE)) is None and compare(target, seen(None, None, None)) is None
    lost = follow(target, seen(None, None, None), None, 0)
    assert lost.away == 1 and lost.tracklets == target.tracklets


def test_a_group_left_out_takes_its_relations_along():
    used = dict(zip(FEATURES, used_without(["look", "confidence"]), strict=True))
    assert {name for name, kept in used.items() if not kept} == {
        *(f"look_{known}" for known in ("prompt", "newest", "mean", "lasting")), "iou", "stability", "sharpness",
        "iou_related", "look_prompt_related", "look_mean_related", "look_lasting_related",
    }  # fmt: skip
    assert all(used_without([])) and not any(used_without(GROUPS)[: sum(map(len, GROUPS.values()))])
    with pytest.raises(ValueError, match=r"taste.*choose among confidence, area"):
        used_without(["taste"])
