"""The embedded network: its shapes and flags, its weights, and that it trains."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from framework.errors import InputError
from framework.learning.pretraining.export import save_weights
from framework.networks.micro import WEIGHTS, MicroSize, micro, network
from framework.tracker import Tracker
from framework.types import Prompt
from policies.sam2 import Sam2


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return micro().eval()


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


def test_attention_over_memories_starts_out_looking_where_it_stands(model):
    for layer in model.memory_attention.layers:
        assert (layer.cross_attn_image.q_proj.bias == 1).all() and (layer.cross_attn_image.k_proj.bias == 1).all()


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


@pytest.mark.parametrize("part", ["sam_prompt_encoder.mask_downscaling.0", "obj_ptr_proj.layers.0"])
def test_damaged_weights_are_noticed_on_the_frame_of_a_mask(part):
    """What they do to the object pointer, though the mask that is shown is the one given."""
    damaged = network("random")
    damaged.model.get_submodule(part).weight.fill_(torch.nan)
    tracker = Tracker(damaged, Sam2())
    features = damaged.encode(np.zeros((16, 16, 3), np.uint8), 0, None)
    with pytest.raises(InputError, match="the network gives NaN on frame 0: damaged weights"):
        tracker.step(tracker.init(), features, {1: Prompt(mask=np.eye(16, dtype=bool))})
