"""The learned judge of hypotheses: what it sees and what it says."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from framework.data.procedural.dataset import Procedural
from framework.learning.checkpoints import write_best
from framework.learning.supervised.judge import JudgeTraining
from framework.networks.micro import network
from framework.storage import identity
from framework.types import Candidates, Features, Normalisation, Outcome, Query, Scores
from motion.components.judge import Judge
from motion.features.hypotheses import describe
from motion.features.relative import FEATURES, compare
from motion.features.target import TargetModel
from motion.learned_judge import LearnedJudge
from policies.skip_absent import SkipAbsent

GRID, HERE, THERE = 16, (0, 0, 4, 4), (12, 12, 16, 16)


def candidates(*boxes, iou=(0.9, 0.4, 0.3)):
    """Hypotheses that are these boxes (x0, y0, x1, y1); None is an empty mask."""
    logits = torch.full((1, len(boxes), GRID, GRID), -8.0)
    for index, box in enumerate(boxes):
        if box is not None:
            x0, y0, x1, y1 = box
            logits[0, index, y0:y1, x0:x1] = 8.0
    pointers = torch.eye(4)[None, : len(boxes)]
    return Candidates(logits, torch.tensor([iou[: len(boxes)]]), pointers, torch.tensor([5.0]))


def embedding():
    """One look at the top left, another one at the bottom right."""
    look = torch.zeros(2, 4, 4)
    look[0, 0, 0], look[1, 3, 3] = 1.0, 1.0
    return look


RED, GREEN, GREY = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.5, 0.5, 0.5)


def coloured(here=RED, there=GREEN, light=1.0):
    """Network input of twice the grid: one colour at the top left, another one at the bottom right, grey between."""
    image = torch.tensor(GREY)[:, None, None].repeat(1, 2 * GRID, 2 * GRID)
    image[:, :8, :8], image[:, 24:, 24:] = (torch.tensor(colour)[:, None, None] for colour in (here, there))
    return Normalisation().apply(image * light)


def features(frame, image=None, tokens=None):
    image = coloured() if image is None else image
    return Features(Query(frame, embedding() if tokens is None else tokens, None), image, None)


def outcome(frame, found, choice=0):
    area = int((found.logits[0, choice] > 0).sum())
    scores = Scores(float(found.iou[0, choice]), 5.0, None, area, prompted=frame == 0)
    return Outcome(frame, found, choice, None, scores, (GRID, GRID), embedding=torch.zeros(1, 1, 1))


def seen(*boxes, image=None):
    found = candidates(*boxes)
    return describe(found, features(1, image)), found


def only(box):
    """What the one mask of a frame shows."""
    return seen(box)[0].mask(0)


def compared(target, *boxes, image=None):
    """By name, the features of every hypothesis."""
    return [named(row) for row in compare(target, *seen(*boxes, image=image)).rows]


def followed(target, choice, *boxes):
    """What is target after a frame of these hypotheses."""
    hypotheses, found = seen(*boxes)
    tracklets = compare(target, hypotheses, found).association.update(hypotheses, choice)
    return target.update(hypotheses.mask(choice), tracklets)


def named(row):
    return dict(zip(FEATURES, row, strict=True))


def test_features_are_what_the_masks_say():
    target = TargetModel.begin(only(HERE))
    same, other, empty = compared(target, HERE, THERE, None)
    assert same["iou"] == pytest.approx(0.9) and same["iou_related"] == pytest.approx(0.5)
    assert same["area_prompt"] == same["jump"] == 0.0 and same["mask_last"] == same["box_last"] == 1.0
    assert same["look_prompt"] == pytest.approx(1.0) and other["look_prompt"] < 0 == empty["look_prompt"]
    assert same["look_prompt_related"] == pytest.approx(1.0) and other["look_prompt_related"] < -1
    assert same["pointer_prompt"] == 1.0 and other["pointer_prompt"] == 0.0
    assert other["jump"] == 4.0 and other["mask_last"] == 0.0 and other["agreed"] == 0.0
    assert [row["second"] for row in compared(target, HERE, THERE, None)] == [0.0, 1.0, 0.0]
    assert same["presence"] == pytest.approx(np.tanh(1.0)) and same["away"] == 0.0


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
        return describe(hypotheses, features(1, torch.zeros(3, 128, 192), tokens)).looks

    np.testing.assert_allclose(looks(fine), looks(halved), atol=1e-6)
    odd, coarser = fine[:, :63], logits[:, ::2, ::2]
    np.testing.assert_allclose(looks(odd), plain(coarser, odd), atol=1e-5)
    np.testing.assert_array_equal(looks(fine), looks(fine, replace(found, logits=coarser[None])))


def test_colours_tell_things_apart_in_any_light():
    target = TargetModel.begin(only(HERE))
    same, other, empty = compared(target, HERE, THERE, None)
    assert same["colour_prompt"] == pytest.approx(1.0) and other["colour_prompt"] == empty["colour_prompt"] == 0.0
    darker = compared(target, HERE, THERE, image=coloured(light=0.6))[0]["colour_prompt"]
    paler = compared(target, HERE, THERE, image=coloured((0.7, 0.2, 0.15)))[0]["colour_prompt"]
    assert darker == pytest.approx(1.0, abs=1e-3) and 0.0 < paler < 0.99
    shown, _ = seen((0, 0, 16, 16))
    np.testing.assert_allclose(shown.colours[0], brightness_weighted(coloured()[:, ::2, ::2]), atol=1e-3)


def test_colours_are_the_images_whatever_the_network_makes_of_it():
    expected, found = seen(HERE, THERE)
    halves = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    image = halves.apply(Normalisation().undo(coloured()))
    other = replace(features(1, image), normalisation=halves)
    np.testing.assert_allclose(describe(found, other).colours, expected.colours, atol=1e-4)
    wrong = describe(found, features(1, image)).colours
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
    target = TargetModel.begin(only(HERE))
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
    target, boxes = TargetModel.begin(only(HERE)), [(x, y, x + 4, y + 4) for x in (0, 6, 12) for y in (0, 6, 12)]
    for first, second in zip(boxes[1::2], boxes[2::2], strict=True):
        target = followed(target, 0, HERE, first, second)
    assert len(target.tracklets) == 4 and target.tracklets[0].chosen
    twins = followed(target, 0, HERE, (0, 0, 4, 5), (0, 0, 1, 2))
    assert [tracklet.missed for tracklet in twins.tracklets] == [0, 1, 1, 2]
    for _ in range(13):
        target = followed(target, 0, HERE, None, None)
    assert [tracklet.last.box for tracklet in target.tracklets] == [(0.0, 0.0, 3.0, 3.0)]


def test_a_steady_object_is_expected_where_it_moves_to():
    target = TargetModel.begin(only((0, 0, 4, 4)))
    for left in (2, 4):
        target = followed(target, 0, (left, 0, left + 4, 4))
    (row,) = compared(target, (6, 0, 10, 4))
    assert row["surprise"] == 0.0 < row["jump"] and row["box_predicted"] == 1.0 > row["box_last"]
    lost = followed(followed(target, 0, None), 0, None)
    assert lost.away == 2 and lost.newest is target.newest
    assert compared(lost, (6, 0, 10, 4))[0]["surprise"] == pytest.approx(row["jump"])


def test_the_judge_overrules_the_network_by_its_weight():
    judges = {weight: LearnedJudge("untrained", weight) for weight in (0.001, 1.0)}
    place = FEATURES.index("look_prompt")
    for judge in judges.values():
        judge.judge = Judge(width=len(FEATURES))
        for name, parameter in judge.judge.named_parameters():
            parameter.data = (
                torch.eye(len(FEATURES)) * 9 if name in ("layers.0.weight", "layers.3.weight") else parameter.data * 0
            )
        judge.judge.layers[6].weight.data[0, place] = 1.0
        judge.eval()
    found = candidates(THERE, HERE, None)
    for weight, best in ((0.001, 0), (1.0, 1)):
        model = judges[weight]
        state = model.update(model.init(), features(0), outcome(0, candidates(HERE)))
        state, cue = model.score(state, features(1), found)
        fused = cue.fuse(tuple(found.iou[0].tolist()))
        assert fused.index(max(fused)) == best and len(model.rows(state)) == 3
    state, cue = model.score(state, features(2), candidates(None, None, None))
    assert cue is None and model.rows(state) is None


def test_features_only_describes_the_hypotheses_and_leaves_the_choice_to_the_network():
    model = LearnedJudge("untrained").features_only()
    state = model.update(model.init(), features(0), outcome(0, candidates(HERE)))
    state, cue = model.score(state, features(1), candidates(THERE, HERE, None))
    assert cue is None and len(model.rows(state)) == 3


def test_what_features_only_records_serves_every_seed_and_ablation():
    torch.manual_seed(1)
    one, other = LearnedJudge("untrained"), LearnedJudge("untrained")
    other.ignore(["colour"])
    assert identity.describe(one) != identity.describe(other)
    assert identity.describe(one.features_only()) == identity.describe(other.features_only())


def test_what_is_judged_is_what_was_trained_and_never_stale():
    torch.manual_seed(3)
    judge, rows = Judge().eval(), (3 * torch.randn(3, len(FEATURES))).numpy()
    for _ in range(2):
        expected = judge(torch.from_numpy(rows)).sigmoid().tolist()
        assert judge.expect(rows) == pytest.approx(expected, abs=1e-6)
        torch.optim.SGD(judge.parameters(), lr=0.1).zero_grad()
        judge(torch.from_numpy(rows)).sum().backward()
        torch.optim.SGD(judge.parameters(), lr=0.1).step()
        judge.centre += 0.5
        judge.used = (torch.arange(len(FEATURES)) % 3 > 0).float()
        judge.layers[0].weight.data = judge.layers[0].weight.data * 1.5
        assert judge.expect(rows) != pytest.approx(expected, abs=1e-3)
    again = copy.deepcopy(judge)
    judge.layers[6].bias.data.zero_()
    assert again.expect(rows) == pytest.approx(again(torch.from_numpy(rows)).sigmoid().tolist(), abs=1e-6)


def test_a_group_left_out_counts_for_nothing():
    model = LearnedJudge("untrained")
    model.ignore(["look"])
    rows = torch.randn(3, len(FEATURES))
    before = model.judge(rows)
    for name in ("look_prompt", "look_mean", "look_prompt_related"):
        rows[:, FEATURES.index(name)] += 5
    assert torch.equal(model.judge(rows), before)
    with pytest.raises(ValueError, match=r"taste.*look"):
        model.ignore(["taste"])


def test_a_checkpoint_of_other_inputs_is_refused(tmp_path):
    model = LearnedJudge("untrained")
    write_best(JudgeTraining(model, SkipAbsent(), network(), Procedural()), "", tmp_path / "good.pt")
    assert torch.equal(LearnedJudge(str(tmp_path / "good.pt")).judge.layers[0].weight, model.judge.layers[0].weight)
    torch.save({**model.checkpoint(), "inputs": ["taste", *FEATURES[1:]]}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name, reason in (("other", "differs in iou, taste"), ("text", "not hold weights"), ("none", "not exist")):
        with pytest.raises(ValueError, match=f"{name}.pt.*{reason}.*train"):
            LearnedJudge(str(tmp_path / f"{name}.pt"))
