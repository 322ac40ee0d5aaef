"""The embedded network: its shapes and flags, its weights, and that it trains."""

import hashlib
import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from framework.errors import InputError
from framework.learning.losses import best_hypothesis_loss, mask_loss, presence_loss, quality_loss, reading_loss
from framework.learning.pretraining.clip_rows import clip_rows
from framework.learning.pretraining.clips import ClipStream, Curriculum
from framework.learning.pretraining.export import save_weights
from framework.learning.pretraining.memory_augmentation import after_identity_switch
from framework.learning.pretraining.module import Pretraining
from framework.learning.pretraining.sam2_steps import PROMPTED_SLOT, RowMemories, condition, decode, encode, memorise
from framework.masks import iou
from framework.networks.micro import WEIGHTS, MicroSize, micro, network
from framework.tracker import Tracker
from framework.types import Entry, Prompt, Read, Scores
from policies.sam2 import Sam2


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return micro().eval()


def test_grids_are_sixteen_times_sixteen_tokens_and_half_resolution_masks(model):
    with torch.no_grad():
        pyramid = encode(model, torch.randn(2, 3, 128, 128))
        decoded = decode(model, pyramid, pyramid.embedding)
        memory = memorise(model, pyramid, torch.randn(2, 128, 128), torch.tensor([True, False]))
    assert pyramid.embedding.shape == (2, 64, 16, 16)
    assert decoded.logits.shape == (2, 4, 64, 64) and decoded.tokens.shape == (2, 4, 64)
    assert memory.shape == (2, 64, 16, 16)
    assert model.sam_prompt_encoder.mask_input_size == (64, 64)


def test_flags_are_those_of_sam21(model):
    assert model.num_maskmem == 7 and model.max_obj_ptrs_in_encoder == 16
    assert model.use_high_res_features_in_sam and model.use_multimask_token_for_obj_ptr
    assert model.proj_tpos_enc_in_obj_ptrs and model.use_signed_tpos_enc_to_obj_ptrs
    assert model.pred_obj_scores_mlp and model.fixed_no_obj_ptr and model.no_obj_embed_spatial is not None
    assert model.iou_prediction_use_sigmoid and model.directly_add_no_mem_embed
    assert (model.multimask_min_pt_num, model.multimask_max_pt_num) == (0, 1)
    assert (model.sigmoid_scale_for_mem_enc, model.sigmoid_bias_for_mem_enc) == (20.0, -10.0)


@pytest.mark.parametrize("side", [96, 160])
def test_the_same_weights_serve_other_sizes(side):
    facade = network("random", image_size=side)
    image = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    with torch.no_grad():
        found = facade.prompt(facade.encode(image, 0, None), [Prompt(box=(20.0, 30.0, 60.0, 80.0))])
    assert facade.input_size == (side, side) and found.logits.shape[-2:] == (side // 2, side // 2)


@pytest.mark.parametrize("side", [100, 16, -8])
def test_sizes_that_tokens_do_not_divide_are_refused(side):
    with pytest.raises(InputError, match=f"image_size.*not {side}"):
        network("random", image_size=side)


@pytest.mark.parametrize(
    "size",
    [
        {"width": 50},
        {"width": 48, "memory_width": 32},
        {"width": 40, "memory_width": 5},
        {"trunk_widths": (8, 12, 16)},
        {"trunk_depths": (1, 2, 3)},
        {"layers": 0},
    ],
)
def test_sizes_that_no_network_has_are_refused(size):
    with pytest.raises(InputError, match=f"embedded network.*{list(size)[-1]}"):
        network("random", size=MicroSize(**size))


def test_weights_of_another_size_are_tracked_with(tmp_path):
    size = MicroSize(width=48, memory_width=24, layers=1, trunk_widths=(8, 16, 24), trunk_depths=(1, 0))
    torch.manual_seed(3)
    trained, file = micro(size=size), tmp_path / "small.pt"
    torch.save({"model": trained.state_dict()}, file)
    small = network(str(file), size=size)
    torch.testing.assert_close(small.model.state_dict()["no_mem_embed"], trained.state_dict()["no_mem_embed"])
    image = np.zeros((128, 128, 3), np.uint8)
    with torch.no_grad():
        tracker, state = Tracker(small, Sam2()), Tracker(small, Sam2()).init()
        for frame in range(3):
            prompts = {} if frame else {1: Prompt(box=(20.0, 30.0, 60.0, 80.0))}
            state, found = tracker.step(state, small.encode(image, frame, None), prompts)
    assert found.tracks[1].logits.shape == (64, 64)
    with pytest.raises(InputError, match="does not fit"):
        network(str(file))


def test_the_training_path_computes_what_the_facade_computes():
    facade = network("random")
    image = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    mask = np.zeros((128, 128), bool)
    mask[40:72, 48:80] = True
    with torch.no_grad():
        features = facade.encode(image, 0, None)
        prompted = facade.prompt(features, [Prompt(mask=mask)])
        stored = facade.memorise(features, prompted.logits[:, 0], prompted.presence, torch.tensor([True]))[0]
        entry = Entry(0, prompted.pointers[0, 0], stored, Scores(1.0, 10.0, None, 0, True))
        theirs = facade.condition(features, [Read(spatial=((entry, -1),), pointers=((entry, 3),))])
        theirs_decoded = facade.decode(features, theirs, torch.tensor([-1e9]))
        pyramid = encode(facade.model, facade.prepare(image)[None])
        memory = RowMemories(
            stored.float()[None], entry.pointer[None], torch.zeros(1, 256), torch.zeros(1, dtype=torch.long)
        )
        slot = torch.tensor([PROMPTED_SLOT])
        ours, _ = condition(facade.model, pyramid, [(memory, slot)], [(memory, torch.tensor([3.0]))])
        decoded = decode(facade.model, pyramid, ours)
        ours_stored = memorise(facade.model, pyramid, torch.from_numpy(mask)[None] * 20.0 - 10, torch.tensor([True]))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(decoded.logits[:, 1:], theirs_decoded.logits, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(decoded.iou[:, 1:], theirs_decoded.iou, atol=1e-4, rtol=1e-4)
    # The facade stores the prompt at half resolution, so the two differ along its rim alone.
    assert (ours_stored[0] - stored.float()).abs().median() < 0.05


@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_a_step_of_either_phase_reaches_every_module(progress, monkeypatch):
    torch.manual_seed(0)
    plan = Curriculum(videos=2, sequence_videos=1, burn_in=(3, 3), learned=3, sequential_share=1.0)
    module = Pretraining(micro(), 1.0, curriculum=plan, half_encoder=False)
    monkeypatch.setattr(module, "log_dict", lambda *args, **kwargs: None)
    module.progress.fill_(progress)
    clips = ClipStream(module.progress, plan, 128).draw(np.random.default_rng(0), 0, progress)
    assert clips.sequential == (progress > 0.5)
    module.training_step(clips, 0).backward()
    silent = {n for n, p in module.network.named_parameters() if p.grad is None or not p.grad.isfinite().all()}
    assert silent <= {"no_mem_pos_enc"}  # SAM2.1 never reads it


def test_clips_are_the_same_for_the_same_step():
    plan = Curriculum(videos=2)
    one, two = (ClipStream(torch.zeros(1), plan, 64).draw(np.random.default_rng(5), 7, 0.3) for _ in range(2))
    assert torch.equal(one.images, two.images) and torch.equal(one.owners, two.owners)
    assert (one.times.diff(dim=1) >= 0).all()


def test_clips_do_not_depend_on_how_many_processes_draw_them():
    stream = ClipStream(torch.zeros(1), Curriculum(videos=1), 64, step=3)
    alone = list(islice(stream, 4))
    shared = list(islice(DataLoader(stream, batch_size=None, num_workers=2), 4))
    assert all(torch.equal(one.images, two.images) for one, two in zip(alone, shared, strict=True))
    assert not torch.equal(alone[0].images, alone[1].images)


def test_memories_after_an_identity_switch_are_those_of_the_other_row(model):
    clips = ClipStream(torch.zeros(1), Curriculum(videos=2), 128).draw(np.random.default_rng(0), 0, 0.5)
    with torch.no_grad():
        clip = clip_rows(model, clips, slice(0, None), half=False)
    slot, number = torch.zeros(4, dtype=torch.long), torch.arange(4.0)
    seen = RowMemories(number.view(4, 1, 1, 1), number[:, None], torch.ones(4, 1), slot)
    for share, expected in ((1.0, [1.0, 0.0, 3.0, 2.0]), (0.0, [0.0, 1.0, 2.0, 3.0])):
        ((memory, at),) = after_identity_switch(clip, [(seen, slot)], share, np.random.default_rng(0))
        assert memory.features.flatten().tolist() == memory.pointer.flatten().tolist() == expected
        assert torch.equal(memory.coverage, seen.coverage) and torch.equal(at, slot)


def test_losses_prefer_the_truth():
    truth = torch.zeros(1, 16, 16)
    truth[:, 4:9, 4:9] = 1
    right, wrong = truth[:, None] * 20 - 10, -(truth[:, None] * 20 - 10)
    for balance in (0.0, 1.0):
        assert mask_loss(right, truth, balance) < 0.05 < mask_loss(wrong, truth, balance)
    assert best_hypothesis_loss(torch.tensor([[3.0, 1.0, 2.0]]), 0.0).item() == 1.0
    assert quality_loss(torch.tensor([[0.99]]), right, truth) < quality_loss(torch.tensor([[0.3]]), right, truth)
    assert presence_loss(torch.tensor([4.0, -4.0]), torch.tensor([True, False])) < 0.05
    covered = truth.flatten(1)
    assert reading_loss(covered.clamp(0.01, 0.99), covered) < reading_loss(torch.full_like(covered, 0.5), covered)
    assert iou(truth > 0.5, truth > 0.5).item() == 1.0


def test_weights_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "other.pt"
    save_weights(torch.nn.Linear(2, 2), path)
    assert [file.name for file in tmp_path.iterdir()] == ["other.pt"]
    with pytest.raises(InputError, match=r"other\.pt"):
        network(str(path))
    with pytest.raises(InputError, match=r"absent\.pt"):
        network(str(tmp_path / "absent.pt"))


def test_shipped_weights_load_and_match_the_card():
    assert WEIGHTS.stat().st_size <= 8 * 2**20
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    card = Path(WEIGHTS).with_suffix(".md").read_text()
    assert re.search(r"\b[0-9a-f]{64}\b", card).group() == digest
    shipped = network()
    assert all(value.isfinite().all() for value in shipped.model.state_dict().values())
