"""Training of the judge: what it learns from."""

import numpy as np
import pytest
import torch

from framework.data.procedural.dataset import Procedural
from framework.errors import InputError
from framework.learning.supervised.judge import HypothesisRecord, JudgeRounds
from framework.networks.micro import network
from policies.skip_absent import SkipAbsent


def rounds(tmp_path):
    return JudgeRounds(network("random"), {"skip": SkipAbsent()}, Procedural("train", "calm"), cache=str(tmp_path))


def record(*rows):
    values = np.array(rows, np.float32).reshape(len(rows), 3, 1)
    return HypothesisRecord(values, values[..., 0] / 10)


def test_records_without_a_choice_are_left_out_of_a_batch(tmp_path):
    rows, iou = rounds(tmp_path).validation_batch([record(), record((1, 2, 3)), record((4, 5, 6), (7, 8, 9))])
    assert rows.flatten(1).tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    torch.testing.assert_close(iou, rows[..., 0] / 10)


def test_videos_without_any_choice_are_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to choose on 2 videos: give more"):
        rounds(tmp_path).validation_batch([record(), record()])
