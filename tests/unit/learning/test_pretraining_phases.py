"""The phases of pretraining: gradients everywhere, and what an oracle would keep."""

import numpy as np
import pytest
import torch

from framework.learning.pretraining import module
from framework.learning.pretraining.clip_rows import ClipRows
from framework.learning.pretraining.clips import ClipStream, Curriculum
from framework.learning.pretraining.module import Pretraining, computes_in_bfloat16
from framework.learning.pretraining.phases import shows_object
from framework.learning.pretraining.sam2_steps import Decoded, RowPyramid
from framework.learning.pretraining.validation import TrackedFrames
from framework.networks.micro import micro


@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_a_step_of_either_phase_reaches_every_module(progress, monkeypatch):
    torch.manual_seed(0)
    plan = Curriculum(videos=2, sequence_videos=1, burn_in=(3, 3), learned=3, sequential_share=1.0)
    training = Pretraining(micro(), 1.0, curriculum=plan, half_encoder=False)
    monkeypatch.setattr(training, "log_dict", lambda *args, **kwargs: None)
    training.progress.fill_(progress)
    clips = ClipStream(training.progress, plan, 128).draw(np.random.default_rng(0), 0, progress)
    assert clips.sequential == (progress > 0.5)
    training.training_step(clips, 0).backward()
    silent = {n for n, p in training.network.named_parameters() if p.grad is None or not p.grad.isfinite().all()}
    assert silent <= {"no_mem_pos_enc"}  # SAM2.1 never reads it


def tracked(rows: list[tuple[int, int, float]]) -> tuple[ClipRows, Decoded]:
    """Rows of (visible cells of 12, those of them predicted, presence), one frame of 4 x 4 cells."""
    count = len(rows)
    low, logits = torch.zeros(count, 1, 16), torch.full((count, 4, 16), -1.0)
    for row, (visible, predicted, _) in enumerate(rows):
        low[row, 0, :visible] = 1
        logits[row, 3, :predicted] = 1.0
    logits[:, 0], logits[:, 1] = 1.0, 1.0  # others, which are not best, say that everything is object
    masks, no = low.view(count, 1, 4, 4) > 0, torch.zeros(count, 1, 4, 4, dtype=torch.bool)
    pyramid = RowPyramid(
        torch.zeros(1, 8, 2, 2), torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 2, 2), torch.zeros(1, 8, 2, 2)
    )
    zeros = torch.zeros(count, dtype=torch.long)
    clip = ClipRows(pyramid, zeros, 1, masks, no, zeros[:, None], low.view(count, 1, 4, 4), torch.zeros(count, 1, 4))
    presence = torch.tensor([p for _, _, p in rows])
    iou = torch.tensor([[1.0, 0.1, 0.2, 0.3]] * count)
    return clip, Decoded(logits.view(count, 4, 4, 4), iou, torch.zeros(count, 4, 8), presence)


def test_a_memory_shows_its_object_above_an_iou_of_seven_tenths():
    clip, decoded = tracked(
        [
            (10, 8, 1.0),  # IoU .8
            (10, 7, 1.0),  # .7
            (10, 3, 1.0),  # .3
            (10, 10, -1.0),  # called absent
            (0, 0, 1.0),  # is absent
            (10, 10, 1.0),
        ]
    )
    assert shows_object(clip, 0, decoded).tolist() == [True, False, False, False, False, True]
    switched = torch.tensor([False] * 5 + [True])
    assert shows_object(clip, 0, decoded, switched).tolist() == [True, False, False, False, False, False]


def test_scores_of_tracked_frames():
    frames = TrackedFrames(
        iou=torch.tensor([0.9, 0.5, 0.1, 1.0]),
        quality=torch.tensor([0.8, 0.9, 0.2, 0.0]),
        presence=torch.tensor([2.0, -1.0, 3.0, -2.0]),
        visible=torch.tensor([True, True, True, False]),
    )
    scores = {name: value.item() for name, value in frames.scores().items()}
    # Ranks of the visible frames are 2 1 0 and 1 2 0: Spearman's 1 - 6 (1 + 1) / (3 * 8) = .5
    assert scores == pytest.approx({"J": 0.5, "visible_right": 2 / 3, "absent_right": 1.0, "spearman": 0.5})
    assert (
        "absent_right"
        not in TrackedFrames(*(p[:3] for p in (frames.iou, frames.quality, frames.presence, frames.visible))).scores()
    )


@pytest.mark.parametrize(
    "said, expected",
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, False),
        ({"avx512_f": True, "avx512_bf16": True}, True),
        ({"amx_bf16": True, "amx_tile": True}, True),
        ({"architecture": "aarch64", "neon": True}, False),
    ],
)
def test_the_encoder_computes_in_bfloat16_where_the_processor_does(said, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: said, raising=False)
    assert computes_in_bfloat16(torch.device("cpu")) is expected
    assert computes_in_bfloat16(torch.device("meta")) is False


@pytest.mark.parametrize(
    "given, units, half", [(None, True, True), (None, False, False), (True, False, True), (False, True, False)]
)
def test_the_option_decides_before_the_processor(given, units, half, monkeypatch):
    asked = []

    def encode(network, clips, learned, half):
        asked.append(half)
        raise StopIteration

    monkeypatch.setattr(module, "computes_in_bfloat16", lambda device: units)
    monkeypatch.setattr(module, "clip_rows", encode)
    clips = ClipStream(torch.zeros(1), Curriculum(videos=1), 64).draw(np.random.default_rng(0), 0, 0.0)
    with pytest.raises(StopIteration):
        Pretraining(micro(64), 1.0, half_encoder=given).training_step(clips, 0)
    assert asked == [half]
