"""Modules of each backbone against numbers of the projects' own code, with weights from a hash (CPU, float32).

The files hold subsampled maps: `max(size // 16, 1)` is the step along channels, rows and columns of a map and along the
channels of tokens, `max(N // 256, 1)` along tokens.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from framework.diagnostics.deterministic_weights import array, fill, frames_tensor
from framework.networks.build import model

GOLDENS = Path(__file__).parents[1] / "assets" / "goldens"
BATCH, POINTER_TOKENS = 2, 8
BACKBONES = (
    "efficienttam_ti_512x512",
    "edgetam",
    pytest.param("sam2.1_hiera_t", marks=pytest.mark.slow),
)

Check = Callable[[str, Tensor], None]


@pytest.fixture(scope="module", params=BACKBONES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(name: str) -> SAM2Base:
    return fill(model(name, dynamic_multimask=False))


@pytest.fixture(scope="module")
def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDENS / f"{name}.npz") as file:
        return {key: file[key] for key in file.files if "/frame" not in key or key.endswith("perceiver_pos")}


@pytest.fixture
def check(golden: dict[str, np.ndarray]) -> Check:
    """Compares a whole tensor's statistics and its subsample with the file."""

    def compare(key: str, sample: Tensor, whole: Tensor | None = None, tolerance: float = 2e-4) -> None:
        expected = golden[key]
        assert tuple(sample.shape) == expected.shape, key
        np.testing.assert_allclose(sample.numpy(), expected, rtol=0, atol=tolerance * expected.std(), err_msg=key)
        if whole is not None:
            found = [whole.mean(), whole.std(correction=0), whole.min(), whole.max()]
            np.testing.assert_allclose(
                torch.stack(found), golden[f"{key}_stats"], rtol=1e-4, atol=1e-4 * expected.std(), err_msg=key
            )

    return compare


def maps(x: Tensor) -> Tensor:
    return x[:, :: max(x.shape[1] // 16, 1), :: max(x.shape[2] // 16, 1), :: max(x.shape[3] // 16, 1)]


def tokens(x: Tensor) -> Tensor:
    return x[:: max(len(x) // 256, 1), :, :: max(x.shape[2] // 16, 1)]


def given(name: str, *shape: int, scale: float = 1.0) -> Tensor:
    return torch.from_numpy(array(name, shape, scale))


@torch.no_grad()
def test_image_encoder(network: SAM2Base, golden: dict[str, np.ndarray], check: Check) -> None:
    levels = network.image_encoder.trunk(frames_tensor(1, network.image_size))
    assert [list(level.shape) for level in levels] == [
        golden[f"trunk/level{i}_shape"].tolist() for i in range(len(levels))
    ]
    pyramid, positions = network.image_encoder.neck(levels)
    for i, level in enumerate(levels):
        check(f"trunk/level{i}", maps(level), level)
    kept = len(pyramid) - network.image_encoder.scalp
    assert kept == network.num_feature_levels
    for i, (level, position) in enumerate(zip(pyramid[:kept], positions[:kept], strict=True)):
        assert list(level.shape) == golden[f"fpn/level{i}_shape"].tolist()
        check(f"fpn/level{i}", maps(level), level)
        step = level.shape[-1] // 8
        check(f"pos/level{i}", position[:, ::32, ::step, ::step], tolerance=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("memories", [1, 3])
def test_memory_attention(network: SAM2Base, check: Check, memories: int) -> None:
    grid = (network.image_size // 16) ** 2
    each = 512 if hasattr(network, "spatial_perceiver") else grid
    length = memories * each + POINTER_TOKENS
    out = network.memory_attention(
        curr=given("ma.curr", grid, BATCH, 256),
        curr_pos=given("ma.curr_pos", grid, BATCH, 256),
        memory=given(f"ma.memory{memories}", length, BATCH, 64),
        memory_pos=given(f"ma.memory_pos{memories}", length, BATCH, 64),
        num_obj_ptr_tokens=POINTER_TOKENS,
    )
    check(f"modules/memory_attention_{memories}", tokens(out), out)


@torch.no_grad()
def test_memory_encoder_and_perceiver(network: SAM2Base, golden: dict[str, np.ndarray], check: Check) -> None:
    size, side = network.image_size, network.image_size // 16
    mask = given("me.mask", BATCH, 1, size, size, scale=5.0)
    out = network.memory_encoder(given("me.pix", BATCH, 256, side, side), mask, skip_mask_sigmoid=True)
    features, position = out["vision_features"], out["vision_pos_enc"][0]
    check("modules/memory_encoder", maps(features), features)
    check("memory_pos_enc", maps(position[:1]), tolerance=1e-6)
    assert hasattr(network, "spatial_perceiver") == ("modules/perceiver" in golden)
    if "modules/perceiver" in golden:  # upstream takes one sample at a time; ours takes the batch
        latents, codes = network.spatial_perceiver(given("sp.x", BATCH, 64, side, side), position)
        check("modules/perceiver", latents[:, ::2, ::4], latents)
        check("mask/frame0/perceiver_pos", codes[:1, ::4, ::4], tolerance=1e-6)
