"""Rotary memory cross-attention in separate steps: rotate the queries, prepare keys and values, attend."""

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Int
from sam2.modeling.position_encoding import apply_rotary_enc, compute_axial_cis
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor

from framework.networks.attention import Projected, project


@lru_cache(maxsize=16)
def axial_table(dim: int, side: int, theta: float, device: torch.device) -> Complex[Tensor, "N half"]:
    """Rotary factors of a side x side grid with integer coordinates, row-major."""
    # The table outlives the call, so it must also serve a later one that records gradients.
    with torch.inference_mode(False), torch.device("cpu"):
        return compute_axial_cis(dim, side, side, theta).to(device)


def rotate(x: Float[Tensor, "A B N D"], table: Complex[Tensor, "N D/2"]) -> Float[Tensor, "A B N D"]:
    """Each token turned by the angle of its grid position."""
    return apply_rotary_enc(x, x[:, :, :0], table)[0]


class RotaryCrossAttention(RoPEAttention):
    """sam2's RoPEAttention over several memory maps, taken apart so that its steps can be overridden and recombined.

    Keys are M maps of N tokens each on the queries' grid, then P pointer tokens, which are not rotated. sam2 hands P as
    `num_k_exclude_rope` to every RoPEAttention.
    """

    def __init__(self, *args: Any, rope_theta: float = 10000.0, **kwargs: Any) -> None:
        super().__init__(*args, rope_theta=rope_theta, **kwargs)
        self.rope_theta = rope_theta

    def queries(self, q: Float[Tensor, "R N C"]) -> Float[Tensor, "R heads N D"]:
        """Projected and rotated queries."""
        q = self._separate_heads(self.q_proj(q), self.num_heads)
        return rotate(q, self._table(math.isqrt(q.shape[2]), q))

    def keys_and_values(
        self, k: Float[Tensor, "R K Ck"], v: Float[Tensor, "R K Ck"], pointer_tokens: int, query_tokens: int
    ) -> tuple[Float[Tensor, "R heads L D"], Float[Tensor, "R heads L D"], Float[Tensor, " L"] | None]:
        """What the queries attend to: keys, values, and a logit offset per key when the design has one.

        Spatial items come first, all with the same number of tokens, then the pointer tokens; L < K where an item is
        pooled.
        """
        k = self._separate_heads(self.k_proj(k), self.num_heads)
        v = self._separate_heads(self.v_proj(v), self.num_heads)
        split = [k.shape[2] - pointer_tokens, pointer_tokens]
        maps, pointers = k.split(split, dim=2)
        value_maps, value_pointers = v.split(split, dim=2)
        offset = None
        if maps.shape[2]:
            maps, value_maps, offset = self._landmarks(maps, value_maps, query_tokens)
        if offset is not None:
            offset = F.pad(offset, (0, pointer_tokens))
        return torch.cat([maps, pointers], 2), torch.cat([value_maps, value_pointers], 2), offset

    def forward(
        self, q: Float[Tensor, "R N C"], k: Tensor, v: Tensor, num_k_exclude_rope: int = 0
    ) -> Float[Tensor, "R N C"]:
        keys, values, offset = self.keys_and_values(k, v, num_k_exclude_rope, q.shape[1])
        dropout = self.dropout_p if self.training else 0.0
        mask = None if offset is None else offset[None]
        out = F.scaled_dot_product_attention(self.queries(q), keys, values, mask, dropout)
        return self.out_proj(self._recombine_heads(out))

    def _landmarks(
        self, maps: Float[Tensor, "R heads S D"], values: Float[Tensor, "R heads S D"], query_tokens: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Rotated spatial keys, their values and logit offsets. Here: every token, rotated on the queries' grid."""
        return self._rotate_each(maps, query_tokens), values, None

    def _rotate_each(self, maps: Float[Tensor, "R heads S D"], tokens: int) -> Float[Tensor, "R heads S D"]:
        """Consecutive groups of `tokens` keys, each rotated on its own square grid."""
        grids = maps.reshape(-1, maps.shape[2] // tokens, tokens, maps.shape[3])
        return rotate(grids, self._table(math.isqrt(tokens), maps)).reshape(maps.shape)

    def _table(self, side: int, like: Tensor) -> Complex[Tensor, "N half"]:
        return axial_table(self.internal_dim // self.num_heads, side, self.rope_theta, like.device)


@project.register
def _(
    attention: RotaryCrossAttention,
    query: Float[Tensor, "R N C"],
    key: Float[Tensor, "R K D"],
    value: Float[Tensor, "R K D"],
    pointer_tokens: int,
    bias: Float[Tensor, "R K"],
    owner: Int[Tensor, " K"],
) -> Projected:
    """Every item's keys stay together and in order, so a pooled key belongs to the item of the first it stands for."""
    keys, values, offset = attention.keys_and_values(key, value, pointer_tokens, query.shape[1])
    spatial = key.shape[1] - pointer_tokens
    step = spatial // max(keys.shape[2] - pointer_tokens, 1) or 1
    kept = torch.cat([torch.arange(0, spatial, step), torch.arange(spatial, key.shape[1])]).to(owner.device)
    bias = bias[:, kept]
    return Projected(attention.queries(query), keys, values, bias if offset is None else bias + offset, owner[kept])
