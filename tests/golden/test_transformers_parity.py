"""transformers' own models track as the networks here do that load what they save.

They run in a process of their own that has the package beside this environment's torch; ENGRAM_TRANSFORMERS names a
folder with it, or uv makes one.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base

from framework.networks.build import network, sam3_model
from framework.networks.checkpoints import SOURCES, read
from framework.networks.sam2 import Sam2Network
from framework.networks.sam3 import Sam3Size
from framework.tracker import Tracker, lockstep
from framework.types import Frame, Prompt
from policies.sam2 import Sam2

pytestmark = pytest.mark.slow

PACKAGES = ("transformers==5.24.0", "tokenizers==0.23.3", "regex==2026.11.19")
SIDE, POINT = 256, (100.0, 120.0)

SAM2 = """
import sys
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VideoModel, Sam2VisionConfig
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession as Session

root, side = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
torch.set_num_threads(1)
sizes = [[side // step] * 2 for step in (4, 8, 16)]
vision = Sam2VisionConfig(backbone_config=Sam2HieraDetConfig(image_size=[side, side]), backbone_feature_sizes=sizes)
config = Sam2VideoConfig(
    vision_config=vision,
    image_size=side,
    memory_attention_rope_feat_sizes=sizes[-1],
    prompt_encoder_config={"image_size": side},
)
model = Sam2VideoModel(config).eval()
with torch.no_grad():
    for name, value in model.named_parameters():
        if not value.any() or name.endswith(".scale"):  # or parts would not count
            value.normal_(0, 0.1)
    model.prompt_encoder.shared_embedding.positional_embedding.copy_(model.shared_image_embedding.positional_embedding)
    save_file(model.state_dict(), root + "/model.safetensors")
"""

SAM3 = """
import sys
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Sam3TrackerVideoConfig, Sam3TrackerVideoModel, Sam3VisionConfig, Sam3ViTConfig
from transformers.models.sam3_tracker_video import modeling_sam3_tracker_video

Session = modeling_sam3_tracker_video.Sam3TrackerVideoInferenceSession
root, side = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
torch.set_num_threads(1)
trunk = Sam3ViTConfig(
    hidden_size=64,
    intermediate_size=296,
    num_hidden_layers=4,
    num_attention_heads=4,
    window_size=6,
    global_attn_indexes=[1, 3],
    pretrain_image_size=84,
    image_size=side,
    layer_norm_eps=1e-5,
)
tokens = side // 14
sizes = [[4 * tokens] * 2, [2 * tokens] * 2, [tokens] * 2]
vision = Sam3VisionConfig(backbone_config=trunk, backbone_feature_sizes=sizes)
config = Sam3TrackerVideoConfig(
    vision_config=vision,
    image_size=side,
    memory_attention_rope_feat_sizes=sizes[-1],
    prompt_encoder_config={"image_size": side},
)
model = Sam3TrackerVideoModel(config).eval()
with torch.no_grad():
    model.prompt_encoder.shared_embedding.positional_embedding.copy_(model.shared_image_embedding.positional_embedding)
    for name, value in model.named_parameters():
        if not value.any() or name.endswith(("scale", "position_embeddings")):
            value.normal_(0, 0.1)
    model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(4.0)  # the object is seen
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, root + "/sam3.safetensors")
    image = torch.randn(3, side, side)
    levels = model.vision_encoder(image[None]).fpn_hidden_states
np.savez(root + "/seen.npz", image=image.numpy(), **{f"level{i}": level.numpy() for i, level in enumerate(levels)})
"""

CLICK = """
x, y = map(float, sys.argv[3:5])
with torch.no_grad():
    frames = torch.randn(4, 3, side, side)
    session = Session(frames, side, side, dtype=torch.float32)
    index = session.obj_id_to_idx(1)
    session.add_point_inputs(
        index, 0, {"point_coords": torch.tensor([[[[x, y]]]]), "point_labels": torch.tensor([[[1]]])}
    )
    session.obj_with_new_inputs.append(1)
    masks = torch.stack([model(session, frame_idx=at).pred_masks[0, 0] for at in range(len(frames))])
np.savez(root + "/tracked.npz", frames=frames.numpy(), masks=masks.numpy())
"""
"""Tracks what a click on the first frame of a video of noise shows."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    """A folder with transformers."""
    if "ENGRAM_TRANSFORMERS" in os.environ:
        return Path(os.environ["ENGRAM_TRANSFORMERS"])
    place = tmp_path_factory.mktemp("packages")
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--target", str(place)]
    subprocess.run([*uv, *PACKAGES], check=True)
    return place


def run(script: str, packages: Path, folder: Path, side: int) -> None:
    """In a process that has transformers; a script ends with what its model sees or tracks in a file of the folder."""
    environment = os.environ | {"PYTHONPATH": str(packages)}
    given = [str(each) for each in (folder, side, *POINT)]
    subprocess.run([sys.executable, "-c", script, *given], cwd=folder, env=environment, check=True)


@torch.no_grad()
def compare(model: SAM2Base, folder: Path) -> None:
    """Every frame of the video, from a click on the first one."""
    found = np.load(folder / "tracked.npz")
    tracker = Tracker(Sam2Network(model.eval(), memory_dtype=torch.float32), Sam2(), fill_hole_area=0)
    prompts = {1: Prompt(points=(POINT,), labels=(1,))}
    frames = [Frame(torch.from_numpy(image), {} if at else prompts) for at, image in enumerate(found["frames"])]
    tracked = [results["own"].tracks[1].logits for results in lockstep({"own": tracker}, frames, length=len(frames))]
    masks = torch.from_numpy(found["masks"])
    spread = masks.std(dim=(1, 2), keepdim=True)
    assert (spread > 0.01).all()
    assert ((torch.stack(tracked) - masks).abs() / spread).max() < 1e-3


def test_a_click_is_tracked_as_transformers_tracks_it(packages, tmp_path):
    run(SAM2 + CLICK, packages, tmp_path, SIDE)
    compare(network("sam2.1_hiera_t", checkpoint=str(tmp_path), image_size=SIDE, device="cpu").model, tmp_path)


@torch.no_grad()
@pytest.mark.parametrize("side", [252, 238], ids=["whole windows", "padded windows"])
def test_sam3_sees_and_tracks_as_transformers_sam3_does(side, packages, tmp_path):
    """Trunk and neck, then a click; 252 pixels are three windows of six tokens each way."""
    run(SAM3 + CLICK, packages, tmp_path, side)
    size = Sam3Size(width=64, depth=4, heads=4, window=6, global_blocks=(1, 3), pretrained_grid=6)
    own = sam3_model(side, size=size)
    own.load_state_dict(SOURCES["sam3"].select(read(tmp_path / "sam3.safetensors")))
    found = np.load(tmp_path / "seen.npz")
    levels, _ = own.image_encoder.neck(own.image_encoder.trunk(torch.from_numpy(found["image"])[None]))
    for index, level in enumerate(levels):
        theirs = torch.from_numpy(found[f"level{index}"])
        assert ((level - theirs).abs() / theirs.std()).max() < 1e-4, f"level {index}"
    compare(own, tmp_path)
