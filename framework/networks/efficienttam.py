"""EfficientTAM (Xiong et al., "Efficient Track Anything", 2024): what SAM 2's own classes do not already hold.

A plain ViT trunk, a one-level convolutional neck, and the efficient cross-attention of the `_1` and `_2` variants.
Parameter names and numbers match the published checkpoints.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from sam2.modeling.backbones.hieradet import MultiScaleBlock
from sam2.modeling.backbones.utils import PatchEmbed
from sam2.modeling.sam2_utils import LayerNorm2d
from torch import Tensor, nn

from framework.networks.rope import RotaryCrossAttention

DEPTH = 12
GLOBAL_BLOCKS = (2, 5, 8, 11)
WINDOW = 14  # tokens
PATCH = 16  # pixels
PRETRAINED_GRID = 14  # tokens per side of the stored position table (224 px)
LOG_CELL = math.log(4.0)  # a landmark stands for four tokens


class PlainViT(nn.Module):
    """ViT with windowed attention in eight of its twelve blocks (ViTDet style), stride 16.

    Hiera's block without pooling is exactly this ViT's block, names included.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.channel_list = [width]
        # One slot in front for a class token that this ViT does not have.
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + PRETRAINED_GRID**2, width))
        self.patch_embed = PatchEmbed((PATCH, PATCH), (PATCH, PATCH), (0, 0), 3, width)
        self.blocks = nn.ModuleList(
            MultiScaleBlock(width, width, heads, window_size=0 if i in GLOBAL_BLOCKS else WINDOW) for i in range(DEPTH)
        )
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def position(self, height: int, width: int) -> Float[Tensor, "1 y x D"]:
        """The stored position table, resized to the token grid."""
        table = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (PRETRAINED_GRID, PRETRAINED_GRID))
        if (height, width) != (PRETRAINED_GRID, PRETRAINED_GRID):
            table = F.interpolate(table, (height, width), mode="bicubic", align_corners=False)
        return table.permute(0, 2, 3, 1)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        x = self.patch_embed(x)
        x = x + self.position(x.shape[1], x.shape[2])
        for block in self.blocks:
            x = block(x)
        return [x.permute(0, 3, 1, 2)]


class ConvNeck(nn.Module):
    """One map of the trunk to one map of `d_model` channels with its sine position code."""

    def __init__(self, position_encoding: nn.Module, d_model: int, width: int) -> None:
        super().__init__()
        self.position_encoding = position_encoding
        self.d_model = d_model
        self.backbone_channel_list = [width]
        layers = nn.Sequential()
        layers.add_module("conv_1x1", nn.Conv2d(width, d_model, 1, bias=False))
        layers.add_module("norm_0", LayerNorm2d(d_model))
        layers.add_module("conv_3x3", nn.Conv2d(d_model, d_model, 3, padding=1, bias=False))
        layers.add_module("norm_1", LayerNorm2d(d_model))
        self.convs = nn.ModuleList([layers])

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        out = self.convs[0](maps[0])
        return [out], [self.position_encoding(out).to(out.dtype)]


class PooledAttention(RotaryCrossAttention):
    """Cross-attention to 2x2 landmarks of the memory, the efficient variant of the paper.

    With two or more memory maps, each map's rotated keys and its values are averaged over 2x2 cells. A landmark stands
    for four tokens, so ln 4 is added to its logits or, with `shift_keys` (as the published `_2` checkpoints were
    trained), to every component of its key. A single map and the pointer tokens are attended to as they are.
    """

    def __init__(self, *args: Any, shift_keys: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shift_keys = shift_keys

    def _landmarks(
        self, maps: Float[Tensor, "R heads S D"], values: Float[Tensor, "R heads S D"], query_tokens: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        maps = self._rotate_each(maps, query_tokens)
        if maps.shape[2] <= query_tokens:
            return maps, values, None
        side = math.isqrt(query_tokens)
        maps, values = _mean_of_cells(maps, side), _mean_of_cells(values, side)
        if self.shift_keys:
            return maps + LOG_CELL, values, None
        return maps, values, maps.new_full((maps.shape[2],), LOG_CELL)


def _mean_of_cells(maps: Float[Tensor, "R heads S D"], side: int) -> Float[Tensor, "R heads S/4 D"]:
    """Consecutive side x side maps of tokens, each averaged over non-overlapping 2x2 cells."""
    cells = maps.unflatten(2, (-1, side // 2, 2, side // 2, 2))
    return cells.mean(dim=(4, 6)).flatten(2, 4)
