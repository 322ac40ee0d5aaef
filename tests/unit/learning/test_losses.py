"""Losses of masks, quality, presence and reading, against values computed by hand."""

from math import log

import pytest
import torch

from framework.learning.losses import (
    LossTerms,
    best_hypothesis_loss,
    mask_loss,
    presence_loss,
    quality_loss,
    reading_loss,
)

LN2 = log(2)


def test_an_undecided_mask_costs_ln_2_where_both_sides_weigh_the_same_and_a_quarter_of_it_where_focal():
    truth = torch.zeros(1, 4, 5)
    truth[0, 0, :4] = 1  # 4 of 20 cells
    undecided = torch.zeros(1, 1, 4, 5)  # probability .5 everywhere
    dice = 1 - (2 * 2 + 1) / (10 + 4 + 1)
    focal = 20 * LN2 * 0.5**2 * (4 * 0.25 + 16 * 0.75) / 20
    assert mask_loss(undecided, truth, 1.0).item() == pytest.approx(LN2 + dice, rel=1e-5)
    assert mask_loss(undecided, truth, 0.0).item() == pytest.approx(focal + dice, rel=1e-5)
    assert mask_loss(undecided, truth, 0.25).item() == pytest.approx(0.25 * LN2 + 0.75 * focal + dice, rel=1e-5)


def test_a_mask_that_is_sure_costs_nothing_when_right_and_its_logit_when_wrong():
    truth = torch.zeros(1, 4, 4)
    truth[0, 1, 1] = 1
    sure = (truth * 2 - 1) * 30
    right, wrong = mask_loss(torch.stack([sure, -sure], dim=1), truth, 1.0)[0].tolist()
    assert right == pytest.approx(0, abs=1e-5)
    assert wrong == pytest.approx(30 + 1 - 1 / (15 + 1 + 1), rel=1e-5)


def test_the_best_hypothesis_counts_and_a_share_of_all():
    assert best_hypothesis_loss(torch.tensor([[3.0, 1.0, 2.0], [0.0, 6.0, 6.0]]), 0.1).tolist() == pytest.approx(
        [1 + 0.1 * 2, 0 + 0.1 * 4]
    )


def test_quality_is_the_cross_entropy_against_the_iou_of_the_mask_itself():
    truth = torch.zeros(1, 2, 4)
    truth[0, 0, :2] = 1
    logits = torch.full((1, 1, 2, 4), -3.0)
    logits[0, 0, 0, :4] = 3.0  # IoU 2 / 4
    found = quality_loss(torch.tensor([[0.3]]), logits, truth).item()
    assert found == pytest.approx(-0.5 * log(0.3) - 0.5 * log(0.7), rel=1e-5)


def test_absent_frames_weigh_two_thirds_of_the_visible_ones_together():
    visible = torch.tensor([True] * 3 + [False])
    sure_of_the_visible = torch.tensor([40.0, 40.0, 40.0, 0.0])
    assert presence_loss(sure_of_the_visible, visible).item() == pytest.approx(2 * LN2 / (3 + 2), rel=1e-5)
    sure_of_the_absent = torch.tensor([0.0, 0.0, 0.0, -40.0])
    assert presence_loss(sure_of_the_absent, visible).item() == pytest.approx(3 * LN2 / (3 + 2), rel=1e-5)
    rare = torch.tensor([True] * 30 + [False])  # 20 times as much, but four times is the most
    logits = torch.cat([torch.full((30,), 40.0), torch.zeros(1)])
    assert presence_loss(logits, rare).item() == pytest.approx(4 * LN2 / (30 + 4), rel=1e-5)


def test_reading_weighs_object_and_background_tokens_the_same():
    mass, covered = torch.tensor([[0.8, 0.1, 0.1, 0.1]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    assert reading_loss(mass, covered).item() == pytest.approx(-0.5 * log(0.8) - 0.5 * log(0.9), rel=1e-5)


def test_terms_are_means_over_the_step_and_presence_counts_where_it_is_certain():
    terms = LossTerms()
    terms.add("mask", torch.tensor(1.0))
    terms.add("mask", torch.tensor(4.0))
    undecided, certain = torch.zeros(2), torch.tensor([True, False])
    terms.presence.append((torch.tensor([0.0, -40.0]), torch.tensor([True, True]), certain))
    means = terms.means()
    assert means["mask"] == 2.5 and means["presence"].item() == pytest.approx(LN2, rel=1e-5)
    uncertain = LossTerms()
    uncertain.presence.append((undecided, certain, torch.zeros(2, dtype=torch.bool)))
    assert uncertain.means() == {}
