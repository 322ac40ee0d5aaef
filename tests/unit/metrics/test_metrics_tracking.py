import math

import numpy as np
import pytest

from framework.errors import InputError
from framework.metrics.tracking import (
    box_iou,
    losses,
    mask_iou,
    mean_scores,
    score,
    success_auc,
    success_curve,
)


def test_mask_iou_counts_pixels():
    a, b = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    assert mask_iou(a, b) == 1.0
    a[:2] = True
    assert mask_iou(a, b) == 0.0
    b[1:3] = True
    assert mask_iou(a, b) == 6 / 18


def test_success_curve_is_strict():
    curve = success_curve(np.array([0.0, 0.5, 1.0]))
    assert curve[0] == pytest.approx(2 / 3)
    assert curve[10] == pytest.approx(1 / 3)  # 0.5 is not above 0.5
    assert curve[20] == 0.0
    assert success_auc(np.ones(7)) == pytest.approx(20 / 21)


def test_redetections_need_a_loss_and_ignore_wavering():
    visible = np.ones(8, bool)
    assert losses(np.array([0.9, 0.4, 0.6, 0.4, 0.2, 0.6, 0.3, 0.9]), visible) == []
    assert losses(np.array([0.9, 0.0, 0.3, 0.6, 0.1, 0.05, 0.5, 0.51]), visible) == [(1, 3), (4, 7)]


def test_absence_is_a_loss_and_the_return_a_redetection():
    visible = np.array([True, False, False, True, True])
    assert losses(np.array([0.9, 1.0, 1.0, 0.0, 0.8]), visible) == [(1, 4)]
    assert losses(np.array([0.9, 0.0, 0.0, 0.0, 0.0]), visible) == [(1, None)]


def test_score_of_a_short_video():
    iou = np.array([0.9, 0.6, 1.0, 0.0, 0.0, 0.8])
    visible = np.array([True, True, False, False, True, True])
    scores = score(iou, visible)
    assert scores.jaccard == pytest.approx(3.3 / 6)
    assert scores.visible_accuracy == 0.75
    assert scores.absent_accuracy == 0.5
    assert scores.losses == scores.redetections == pytest.approx(1000 / 6)
    assert scores.early == pytest.approx(0.75)
    assert scores.late == pytest.approx(0.4)


def test_score_without_absent_or_without_visible_frames():
    assert math.isnan(score(np.ones(3), np.ones(3, bool)).absent_accuracy)
    assert math.isnan(score(np.ones(3), np.zeros(3, bool)).visible_accuracy)
    with pytest.raises(InputError, match="at least one frame"):
        score(np.ones(0), np.ones(0, bool))


def test_mean_over_videos_skips_missing_scores():
    always = score(np.full(4, 0.8), np.ones(4, bool))
    absent = score(np.array([0.4, 0.0, 1.0, 0.4]), np.array([True, False, False, True]))
    mean = mean_scores([always, absent])
    assert mean.absent_accuracy == 0.5
    assert mean.jaccard == pytest.approx((0.8 + 0.45) / 2)
    assert math.isnan(mean_scores([always]).absent_accuracy)
    with pytest.raises(InputError):
        mean_scores([])


def test_overlap_of_boxes():
    box = (0.0, 0.0, 4.0, 4.0)
    assert box_iou(None, None) == 1.0 and box_iou(box, None) == box_iou(None, box) == 0.0
    assert box_iou(box, box) == 1.0 and box_iou(box, (2.0, 0.0, 6.0, 4.0)) == pytest.approx(1 / 3)
    assert box_iou(box, (4.0, 0.0, 8.0, 4.0)) == 0.0 == box_iou((1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0))
