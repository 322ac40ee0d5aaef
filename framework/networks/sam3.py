"""SAM 3's tracker (Carion et al., "SAM 3: Segment Anything with Concepts", 2025): what SAM 2's own classes do not hold.

A plain ViT trunk with rotary positions in every block, a neck of independent branches, and masks that are brought to 16
cells per token before they are remembered. Memory attention, memory encoder, decoder and pointers are those of SAM 2.1.
Parameter names and numbers match the published checkpoint, after `framework.networks.checkpoint_names.of_sam3`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from sam2.modeling.memory_encoder import MaskDownSampler
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from framework.networks.conventions import Conventions
from framework.networks.neck import fuse
from framework.types import Normalisation

PATCH = 14  # pixels
MASK_CELLS = 16  # per token, of a mask before it is downsampled
EPSILON = 1e-5  # of the trunk's normalisations
MLP_RATIO = 4.625
THETA = 10000.0


@dataclass(frozen=True)
class Sam3Size:
    """How large the trunk is; the published weights have the defaults. Windows and grids in tokens per side."""

    width: int = 1024
    depth: int = 32
    heads: int = 16
    window: int = 24
    global_blocks: Sequence[int] = (7, 15, 23, 31)
    pretrained_grid: int = 24
    """Of the stored position table (336 pixels)."""


def rotary_table(width: int, side: int, scale: float) -> Complex[Tensor, "N {width}//2"]:
    """Unit factors of a side x side grid, row-major: the first half of them turns by the column, the other by the row.

    Coordinates are multiplied by `scale`.
    """
    frequencies = 1.0 / THETA ** (torch.arange(0, width, 4)[: width // 4].float() / width)
    angles = torch.outer(torch.arange(side) * scale, frequencies)
    both = torch.cat([angles.expand(side, -1, -1), angles[:, None].expand(-1, side, -1)], dim=-1).flatten(0, 1)
    return torch.polar(torch.ones_like(both), both)


class RotaryAttention(nn.Module):
    """Self-attention of tokens whose queries and keys are turned by their place, pairs of adjacent channels each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "B N D"], table: Complex[Tensor, "N _"]) -> Float[Tensor, "B N D"]:
        parts = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        pairs = torch.view_as_complex(parts[:2].float().unflatten(-1, (-1, 2)))
        query, key = torch.view_as_real(pairs * table).flatten(-2).type_as(parts)
        out = F.scaled_dot_product_attention(query, key, parts[2])
        return self.proj(out.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers around an exact GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*n D"]) -> Float[Tensor, "*n D"]:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A transformer block over a grid of tokens, normalised before each part."""

    def __init__(self, width: int, heads: int, everywhere: bool) -> None:
        super().__init__()
        self.everywhere = everywhere
        self.norm1, self.norm2 = nn.LayerNorm(width, EPSILON), nn.LayerNorm(width, EPSILON)
        self.attn, self.mlp = RotaryAttention(width, heads), Mlp(width, int(MLP_RATIO * width))

    def forward(
        self, x: Float[Tensor, "B y x D"], table: Complex[Tensor, "N _"], window: int = 0
    ) -> Float[Tensor, "B y x D"]:
        """Tokens see those of their `window` x `window` tokens; 0: of the whole grid."""
        seen, size = self.norm1(x), (x.shape[1], x.shape[2])
        if window:
            seen = cut(seen, window)
        seen = self.attn(seen.flatten(1, 2), table).unflatten(1, seen.shape[1:3])
        x = x + (joined(seen, size) if window else seen)
        return x + self.mlp(self.norm2(x))


def cut(x: Float[Tensor, "B y x D"], window: int) -> Float[Tensor, "W w w D"]:
    """Windows that do not overlap, row-major; at the lower and right border they are filled up with zeros."""
    height, width = x.shape[1:3]
    x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
    return x.unflatten(2, (-1, window)).unflatten(1, (-1, window)).transpose(2, 3).flatten(0, 2)


def joined(windows: Float[Tensor, "W w w D"], size: tuple[int, int]) -> Float[Tensor, "B y x D"]:
    """The grid of `size` that was `cut`."""
    window, (down, across) = windows.shape[1], (-(-side // windows.shape[1]) for side in size)
    x = windows.unflatten(0, (-1, down, across)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return x[:, : size[0], : size[1]] if (down * window, across * window) != tuple(size) else x


class PatchEmbedding(nn.Module):
    """Patches that do not overlap, as tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH, bias=False)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B y x D"]:
        return self.proj(x).permute(0, 2, 3, 1)


class RotaryViT(nn.Module):
    """ViT with rotary positions beside learned ones, windowed in all but a few blocks; one map at stride 14.

    Args:
        side: tokens per side of its input.
        others: fields of `Sam3Size`.
    """

    def __init__(self, side: int, **others: Any) -> None:
        super().__init__()
        size = Sam3Size(**others)
        self.channel_list = [size.width]
        self.window, self.grid = size.window, size.pretrained_grid
        # One slot in front for a class token that tracking does not use.
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + size.pretrained_grid**2, size.width))
        self.patch_embed = PatchEmbedding(size.width)
        self.ln_pre = nn.LayerNorm(size.width, EPSILON)
        self.blocks = nn.ModuleList(Block(size.width, size.heads, i in size.global_blocks) for i in range(size.depth))
        head = size.width // size.heads
        self.register_buffer("window_table", rotary_table(head, size.window, 1.0), persistent=False)
        self.register_buffer("grid_table", rotary_table(head, side, size.window / side), persistent=False)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def position(self, height: int, width: int) -> Float[Tensor, "1 y x D"]:
        """The stored position table, repeated over the token grid."""
        table = self.pos_embed[:, 1:].unflatten(1, (self.grid, self.grid))
        return table.repeat(1, -(-height // self.grid), -(-width // self.grid), 1)[:, :height, :width]

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        x = self.patch_embed(x)
        size = (x.shape[1], x.shape[2])
        x = self.ln_pre(x + self.position(*size))
        whole = size[0] % self.window == size[1] % self.window == 0
        for everywhere, blocks in groupby(self.blocks, key=lambda block: block.everywhere):
            if everywhere:
                for block in blocks:
                    x = block(x, self.grid_table)
            elif whole:  # nothing else mixes tokens, so they stay cut from one windowed block to the next
                x = cut(x, self.window)
                for block in blocks:
                    x = block(x, self.window_table)
                x = joined(x, size)
            else:  # what fills up a window is zero after the normalisation, in every block
                for block in blocks:
                    x = block(x, self.window_table, self.window)
        return [x.permute(0, 3, 1, 2)]


class BranchedNeck(nn.Module):
    """One map of the trunk to maps of `d_model` channels at 4, 2 and 1 cells per token, each by a branch of its own."""

    def __init__(self, position_encoding: nn.Module, d_model: int, width: int) -> None:
        super().__init__()
        self.position_encoding = position_encoding
        self.d_model = d_model
        self.backbone_channel_list = [width]
        half, quarter = width // 2, width // 4
        doubled = {"dconv_2x2": nn.ConvTranspose2d(width, half, 2, stride=2)}
        quadrupled = {
            "dconv_2x2_0": nn.ConvTranspose2d(width, half, 2, stride=2),
            "gelu": nn.GELU(),
            "dconv_2x2_1": nn.ConvTranspose2d(half, quarter, 2, stride=2),
        }
        self.convs = nn.ModuleList()
        for enlarge, narrow in ((quadrupled, quarter), (doubled, half), ({}, width)):
            branch = nn.Sequential()
            for name, layer in enlarge.items():
                branch.add_module(name, layer)
            branch.add_module("conv_1x1", nn.Conv2d(narrow, d_model, 1))
            branch.add_module("conv_3x3", nn.Conv2d(d_model, d_model, 3, padding=1))
            self.convs.append(branch)

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        levels = [branch(maps[0]) for branch in self.convs]
        return levels, [self.position_encoding(level).to(level.dtype) for level in levels]


@fuse.register
def _(
    neck: BranchedNeck, maps: list[Tensor], levels: int
) -> tuple[list[Float[Tensor, "B C _ _"]], Float[Tensor, "B C y x"]]:
    """`BranchedNeck.forward` with the one position code that is read."""
    found = [branch(maps[0]) for branch in neck.convs[:levels]]
    return found, neck.position_encoding(found[-1]).to(found[-1].dtype)


class ResizedMaskDownSampler(MaskDownSampler):
    """SAM 2's own downsampling of a mask, after it is brought to 16 cells for each of `tokens` x `tokens` tokens."""

    def __init__(self, tokens: int, **options: Any) -> None:
        super().__init__(**options)
        self.cells = MASK_CELLS * tokens

    def forward(self, x: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C y x"]:
        if x.shape[-2:] != (self.cells, self.cells):
            size = (self.cells, self.cells)
            x = F.interpolate(x.float(), size=size, mode="bilinear", align_corners=False, antialias=True)
        return super().forward(x)


class Sam3Tracker(SAM2Base):
    """SAM 2.1 with SAM 3's trunk, neck and conventions."""

    conventions = Conventions(
        normalisation=Normalisation(mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5)),
        prompt_logit=1024.0,
        prompt_cells=MASK_CELLS,
        binarised_prompts=False,
        corrections_read_memory=False,
        most_points=16,
        max_anchors=4,
        fill_hole_area=0,
    )
