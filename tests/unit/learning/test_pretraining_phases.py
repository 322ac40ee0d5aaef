"""The phases of pretraining: gradients everywhere, and what an oracle would keep."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from framework.errors import InputError
from framework.learning.losses import LossTerms
from framework.learning.pretraining import module, phases
from framework.learning.pretraining.clip_rows import ClipRows
from framework.learning.pretraining.clips import ClipStream, Curriculum
from framework.learning.pretraining.module import Pretraining, computes_in_bfloat16
from framework.learning.pretraining.objectives import Objectives, PretrainingLossWeights
from framework.learning.pretraining.phases import free_running, shows_object, teacher_forced
from framework.learning.pretraining.sam2_steps import Decoded, RowMemories, RowPyramid
from framework.learning.pretraining.validation import TrackedFrames
from framework.networks.micro import MicroSize, micro
from tests.fakes.draws import ScriptedDraws


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
        presence=torch.tensor([0.5, 0.0, 3.0, 0.0]),  # an object is found above 0
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


def test_the_learning_rate_warms_up_and_fades_with_the_time(monkeypatch):
    """A minute, 30 s of it spent: half way the cosine is at .02 + .49; the 15th of 60 steps has a quarter of it."""
    clips = ClipStream(torch.zeros(1), Curriculum(videos=1), 64).draw(np.random.default_rng(0), 0, 0.0)
    training = Pretraining(micro(64), 1.0, peak=0.004, warmup=60, decay=0.03)
    optimizer = training.configure_optimizers()
    decays = {group["weight_decay"]: group["params"] for group in optimizer.param_groups}
    assert set(decays) == {0.03, 0.0} and all(group["lr"] == 0.004 for group in optimizer.param_groups)
    assert all(parameter.ndim > 1 for parameter in decays[0.03])
    assert all(parameter.ndim <= 1 for parameter in decays[0.0])
    assert optimizer.defaults["betas"] == (0.9, 0.98)
    reduced = []
    strategy = SimpleNamespace(reduce=lambda value, reduce_op: reduced.append(reduce_op) or value)
    training._trainer = trainer = SimpleNamespace(optimizers=[optimizer], strategy=strategy, should_stop=False)
    monkeypatch.setattr(Pretraining, "global_step", 14)
    clock = iter((100.0, 110.0, 125.0, 160.0))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    training.spent = 5.0
    training.on_train_epoch_start()
    for spent, progress, rate in ((15.0, 0.25, 0.004 * 0.25 * 0.856482), (30.0, 0.5, 0.004 * 0.25 * 0.51)):
        training.on_train_batch_start(clips, 0)
        assert (training.spent, float(training.progress), trainer.should_stop) == (spent, progress, False)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rate, rate], rel=1e-5)
    monkeypatch.setattr(Pretraining, "global_step", 200)
    training.on_train_batch_start(clips, 0)
    assert (training.spent, float(training.progress), trainer.should_stop) == (65.0, 1.0, True)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.004 * 0.02) and set(reduced) == {"mean"}
    checkpoint: dict = {}
    training.on_save_checkpoint(checkpoint)
    again = Pretraining(micro(64), 1.0)
    again.on_load_checkpoint(checkpoint)
    assert again.spent == 65.0


def test_training_starts_from_the_network_it_is_given():
    network = micro(64)
    torch.nn.init.normal_(network.memory_attention.layers[0].cross_attn_image.q_proj.bias)
    given = {name: value.clone() for name, value in network.state_dict().items()}
    started = Pretraining(network, 1.0).network.state_dict()
    assert started.keys() == given.keys() and all(torch.equal(started[name], given[name]) for name in given)
    with pytest.raises(InputError, match=r"minutes=0\.0 must be more than 0"):
        Pretraining(micro(64), 0.0)


def test_the_end_of_a_sequence_is_learned_from(monkeypatch):
    """Three of its seven frames; of other clips all."""
    asked = []

    def encode(network, clips, learned, half):
        asked.append(learned)
        raise StopIteration

    monkeypatch.setattr(module, "clip_rows", encode)
    plan = Curriculum(videos=1, sequence_videos=1, burn_in=(4, 4), learned=3, sequential_share=1.0)
    training = Pretraining(micro(64), 1.0, curriculum=plan)
    for progress in (0.0, 0.9):
        clips = ClipStream(torch.zeros(1), plan, 64).draw(np.random.default_rng(0), 0, progress)
        with pytest.raises(StopIteration):
            training.training_step(clips, 0)
    assert asked == [slice(0, None), slice(4, None)]


# ------------------------------------------------------------------------------ the course of a phase, draw by draw


def numbered(number: int) -> RowMemories:
    """Memories of two rows, told apart by their number."""
    value = float(number)
    return RowMemories(
        torch.full((2, 2, 1, 1), value), torch.full((2, 2), value), torch.zeros(2, 1), torch.tensor([number] * 2)
    )


def numbers(bank) -> list[tuple[int, int]]:
    """(memory, slot) of each that is read."""
    return [(int(memory.pointer[0, 0]), int(slot[0])) for memory, slot in bank]


class Course(Objectives):
    """Keeps what it is asked to track."""

    asked: list = []  # noqa: RUF012, a test's own

    def prompt(self, clip):
        return numbered(0)

    def track(self, clip, frames, bank, pointers=None, learn=True):
        read = None if pointers is None else [int(memory.pointer[0, 0]) for memory in pointers]
        self.asked.append((frames, numbers(bank), read, learn, torch.is_grad_enabled()))
        rows = 2 * len(frames)
        no = torch.zeros(rows, 4, 4, 4), torch.zeros(rows, 4), torch.zeros(rows, 4, 2)
        return Decoded(*no, torch.arange(rows).float())


@pytest.fixture
def course(monkeypatch):
    """`run(phase, frames, progress, curriculum, *draws)`: what was tracked, what was remembered, and the draws."""
    size = MicroSize(width=32, memory_width=32, layers=1, feedforward=64, trunk_widths=(8, 16, 32))
    network = micro(32, size)
    remembered: list = []

    def frame_memories(network, clip, t, decoded, own, switched=None):
        remembered.append((t, decoded.presence.tolist(), own, None if switched is None else switched.tolist()))
        return numbered(t)

    def after_occlusion(network, clip, seen, now, rng):
        assert [int(memory.pointer[0, 0]) for memory in seen] == list(range(1, 1 + len(seen)))
        return [numbered(100 * now + ago) for ago in range(15)]

    def after_identity_switch(clip, recent, share, rng):
        return [(numbered(round(100 * share) + int(memory.pointer[0, 0])), slot) for memory, slot in recent]

    for fake in (frame_memories, after_occlusion, after_identity_switch):
        monkeypatch.setattr(phases, fake.__name__, fake)

    def run(phase, frames, progress, curriculum, *draws):
        rng, no = ScriptedDraws(*draws), torch.zeros(2, frames, 4, 4)
        pyramid = RowPyramid(
            torch.zeros(1, 8, 2, 2), torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 2, 2), torch.zeros(1, 8, 2, 2)
        )
        row = torch.zeros(2, dtype=torch.long)
        times = torch.arange(frames).expand(2, -1)
        clip = ClipRows(pyramid, row, frames, no > 0, no > 0, times, no, torch.zeros(2, frames, 4))
        objectives = Course(network, PretrainingLossWeights(), progress, 0.0, rng, LossTerms())
        monkeypatch.setattr(Course, "asked", [])
        remembered.clear()
        phase(objectives, clip, curriculum)
        assert not rng.draws
        return Course.asked, list(remembered), rng.asked

    return run


def test_the_second_round_reads_what_the_first_one_saw(course):
    """Eight frames: 1 to 3, then 4 to 7. At full difficulty own masks have a probability of .6, occlusions of .4."""
    plan = Curriculum()
    tracked, remembered, _ = course(teacher_forced, 8, 0.6, plan, 0.59, 0.79, 0.8, 0.79, 0.5, 0.4)
    assert [each[:3] for each in tracked] == [
        ([1, 2, 3], [(0, 6)], None),
        ([4, 5, 6, 7], [(0, 6), (23, 0), (21, 1)], None),  # the newest first; switched with a share of .2
    ]
    assert remembered == [(1, [0.0, 1.0], True, None), (2, [2.0, 3.0], True, None), (3, [4.0, 5.0], True, None)]


def test_the_second_round_may_have_slots_left_out(course):
    tracked, remembered, asked = course(
        teacher_forced, 8, 0.6, Curriculum(identity_switch=0.0), 0.6, 0.0, 0.0, 0.0, 0.49, [4, 1, 3], 0.4
    )
    assert tracked[1][1] == [(0, 6), (3, 1), (2, 3), (1, 4)]
    assert ("choice", 6, 3, False) in asked and not any(own for _, _, own, _ in remembered)


def test_the_second_round_may_follow_an_occlusion(course):
    """Spatial memories of six frames, pointers of six to fifteen; at half the difficulty half as often."""
    draws = (0.29, 0.0, 0.0, 0.0, 0.5)
    tracked, remembered, asked = course(teacher_forced, 7, 0.3, Curriculum(), *draws, 0.19, 9)
    assert [each[0] for each in tracked] == [[1, 2, 3], [4, 5, 6]]
    assert tracked[1][1:3] == ([(0, 6), *((400 + ago, ago) for ago in range(6))], [400 + ago for ago in range(9)])
    assert asked[-1] == ("integers", 6, 16) and all(own for _, _, own, _ in remembered)
    assert course(teacher_forced, 7, 0.3, Curriculum(), *draws, 0.2)[0][1][2] is None


def test_a_sequence_is_tracked_on_what_it_remembers_itself(course):
    """Six frames of which two are learned from; before them a row that is astray may take the other object."""
    draws = ([0.09, 0.1], "all", 3, 2, 0, 0.49, 0.0, 1, 0.5, 0.0, 5, 0.0, 0.0, 2, 0.0, 15, 0.0)
    tracked, remembered, asked = course(free_running, 6, 1.0, Curriculum(learned=2), *draws)
    assert asked[1:4] == [
        ("choice", "all", "right", "sampled", "spaced", pytest.approx([0.5, 0.32, 0.1, 0.08])),
        ("choice", 1, 3, 6, 6, 6),
        ("integers", 2, 4),
    ]
    assert tracked == [
        ([1], [(0, 6)], [], False, False),
        ([2], [(0, 6), (1, 0)], [1], False, False),
        ([3], [(0, 6), (2, 0), (1, 1)], [2, 1], False, False),
        ([4], [(0, 6), (3, 0), (2, 1), (1, 2)], [3, 2], True, True),
        ([5], [(0, 6), (4, 0), (3, 1), (2, 2)], [4, 3, 2, 1], True, True),
    ]
    assert remembered == [
        (1, [0.0, 1.0], True, [True, False]),
        (2, [0.0, 1.0], True, [False, False]),
        (3, [0.0, 1.0], True, [True, False]),
        (4, [0.0, 1.0], True, None),
        (5, [0.0, 1.0], True, None),
    ]
    assert asked.count(("integers", 0, 16)) == 5
    with torch.no_grad():
        assert not any(each[4] for each in course(free_running, 6, 1.0, Curriculum(learned=2), *draws)[0])


@pytest.mark.parametrize(
    ("style", "last"),
    [
        ("right", [(0, 6), (4, 0), (2, 1), (0, 6)]),  # frames 2 and 4 show the object
        ("sampled", [(0, 6), (3, 0), (1, 1), (0, 6)]),  # 1 and 3 were drawn
        ("spaced", [(0, 6), (3, 0), (0, 6), (0, 6)]),  # every third
    ],
)
def test_a_sequence_remembers_by_its_style(style, last, course, monkeypatch):
    told = []

    def shows_object(clip, t, decoded, switched):
        told.append(None if switched is None else switched.tolist())
        return torch.tensor([t % 2 == 0] * 2)

    monkeypatch.setattr(phases, "shows_object", shows_object)
    draws = ([0.0, 0.5], style, 3, 3, 0.0, 0.59, 0.9, 0.6, 0.0, 0.59, 0.6, 0.59)
    tracked, _, _ = course(free_running, 6, 1.0, Curriculum(learned=2), *draws)
    assert tracked[-1][1] == last and all(each[2] is None for each in tracked)
    assert told == [[True, False], [False, False], [True, False], None, None]
