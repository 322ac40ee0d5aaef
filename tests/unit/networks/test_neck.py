"""The pyramid that tracking asks for is the one that sam2's neck makes."""

import pytest
import torch
from sam2.modeling.backbones.image_encoder import FpnNeck

from framework.networks.micro import micro
from framework.networks.neck import fuse


@pytest.mark.parametrize("top_down", [None, [2]], ids=["everywhere", "coarsest"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_same_levels_and_code_as_the_whole_neck(top_down: list[int] | None, interpolation: str) -> None:
    torch.manual_seed(0)
    built = micro().image_encoder.neck
    channels = built.backbone_channel_list
    neck = FpnNeck(built.position_encoding, 64, channels, fpn_interp_model=interpolation, fpn_top_down_levels=top_down)
    maps = [torch.randn(2, width, side, side) for width, side in zip(reversed(channels), (32, 16, 8), strict=True)]
    expected, codes = neck(maps)
    for levels in (2, 3):
        found, code = fuse(neck, maps, levels)
        assert len(found) == levels
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=False))
        assert torch.equal(code, codes[levels - 1])
