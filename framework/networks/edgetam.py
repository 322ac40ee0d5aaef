"""EdgeTAM (Zhou et al., "EdgeTAM: On-Device Track Anything Model", CVPR 2025): what SAM 2's own classes do not hold.

A perceiver compresses each memory map to 512 tokens, of which the second half keeps a 16x16 layout; cross-attention
therefore rotates queries and keys on different grids. Parameter names and numbers match the published checkpoint.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from framework.networks.rope import RotaryCrossAttention

GLOBAL = 256  # latents that see the whole map
GRID = 16  # side of the latents that each see one window
TOKENS = GLOBAL + GRID**2  # per memory


class TwoGridAttention(RotaryCrossAttention):
    """Queries on the image grid; of each memory only the windowed latents rotate, on their own 16x16 grid."""

    def _landmarks(
        self, maps: Float[Tensor, "R heads S D"], values: Float[Tensor, "R heads S D"], query_tokens: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        free, placed = maps.unflatten(2, (-1, TOKENS)).split([GLOBAL, GRID**2], dim=3)
        placed = self._rotate_each(placed.flatten(2, 3), GRID**2).view_as(placed)
        return torch.cat([free, placed], dim=3).flatten(2, 3), values, None


class EdgeTAM(SAM2Base):
    """SAM 2 whose memories go through the perceiver.

    They are kept as maps one pixel wide, [B 64 512 1] for features and position codes alike, so everything that
    expects [B C H W] memories works on them unchanged.
    """

    def __init__(self, *args: Any, spatial_perceiver: nn.Module, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spatial_perceiver = spatial_perceiver

    def _encode_new_memory(self, *args: Any, **kwargs: Any) -> tuple[Tensor, list[Tensor]]:
        features, (position,) = super()._encode_new_memory(*args, **kwargs)
        latents, codes = self.spatial_perceiver(features, position)
        return latents.transpose(1, 2).unsqueeze(3), [codes.transpose(1, 2).unsqueeze(3)]


class Perceiver(nn.Module):
    """A memory map and its position code to 512 tokens and theirs.

    Tokens 0..255 come from latents that attend to the whole map and have no position; 256..511 from latents that each
    attend to one window of a 16x16 partition, row-major, with the position code of that grid. Both kinds share all
    layers.
    """

    def __init__(self, position_encoding: nn.Module, dim: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(GLOBAL, dim))
        self.latents_2d = nn.Parameter(torch.randn(GRID**2, dim))
        self.position_encoding = position_encoding
        self.layers = nn.ModuleList(PerceiverLayer(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Float[Tensor, "B C H W"], position: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B 512 C"], Float[Tensor, "B 512 C"]]:
        everywhere = self._everywhere(x, position)
        placed = self._per_window(x)
        grid = placed.transpose(1, 2).unflatten(2, (GRID, GRID))
        codes = self.position_encoding(grid).to(x.dtype).flatten(2).transpose(1, 2)
        return torch.cat([everywhere, placed], 1), torch.cat([torch.zeros_like(everywhere), codes], 1)

    def _everywhere(self, x: Float[Tensor, "B C H W"], position: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 256 C"]:
        latents = self.latents.expand(len(x), -1, -1)
        for layer in self.layers:
            latents = layer(latents, x.flatten(2).transpose(1, 2), position.flatten(2).transpose(1, 2))
        return self.norm(latents)

    def _per_window(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 256 C"]:
        B, C, H, W = x.shape
        windows = x.view(B, C, GRID, H // GRID, GRID, W // GRID).permute(0, 2, 4, 3, 5, 1)
        tokens = windows.reshape(B * GRID**2, -1, C)
        latents = self.latents_2d.repeat(B, 1).unsqueeze(1)
        for layer in self.layers:
            latents = layer(latents, tokens, None)
        return self.norm(latents.view(B, GRID**2, C))


class PerceiverLayer(nn.Module):
    """Latents read the tokens, then one another; each step residual and followed by an MLP."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attn = LatentCrossAttention(dim)
        self.ff = _feed_forward(dim)
        self.self_attn = LatentSelfAttention(dim)
        self.self_ff = _feed_forward(dim)

    def forward(
        self,
        latents: Float[Tensor, "B L C"],
        tokens: Float[Tensor, "B T C"],
        position: Float[Tensor, "B T C"] | None,
    ) -> Float[Tensor, "B L C"]:
        latents = latents + self.attn(latents, tokens, position)
        latents = latents + self.ff(latents)
        latents = latents + self.self_attn(latents)
        return latents + self.self_ff(latents)


class LatentCrossAttention(nn.Module):
    """One head; the position code is added to keys *and* values, after their projection."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_x = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(
        self,
        latents: Float[Tensor, "B L C"],
        tokens: Float[Tensor, "B T C"],
        position: Float[Tensor, "B T C"] | None,
    ) -> Float[Tensor, "B L C"]:
        k, v = self.to_kv(self.norm_x(tokens)).chunk(2, dim=-1)
        if position is not None:
            k, v = k + position, v + position
        return self.to_out(_attend(self.to_q(self.norm_latents(latents)), k, v))


class LatentSelfAttention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, latents: Float[Tensor, "B L C"]) -> Float[Tensor, "B L C"]:
        x = self.norm(latents)
        k, v = self.to_kv(x).chunk(2, dim=-1)
        return self.to_out(_attend(self.to_q(x), k, v))


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One head; the head axis keeps the fast kernels available."""
    return F.scaled_dot_product_attention(q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)).squeeze(1)


def _feed_forward(dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, 4 * dim, bias=False),
        nn.GELU(),
        nn.Linear(4 * dim, dim, bias=False),
    )
