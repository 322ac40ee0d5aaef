"""Memory attention of several rows, whose read items may carry a gain on their keys or a bias on their logits.

The layers, weights and rotary codes are the network's own. Its cross-attention is spelled out only where a per-item
weight has to reach the keys or the attention is measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Int
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.position_encoding import apply_rotary_enc
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Projected:
    """Heads of one cross-attention, ready for scaled dot products. K' keys may be fewer than the K given (pooling)."""

    query: Float[Tensor, "R heads N D"]
    key: Float[Tensor, "R heads keys D"]
    value: Float[Tensor, "R heads keys D"]
    bias: Float[Tensor, "R keys"]
    """Added to the logits of each key."""
    owner: Int[Tensor, " keys"]
    """Read item that each key belongs to."""


@singledispatch
def project(
    attention: RoPEAttention,
    query: Float[Tensor, "R N C"],
    key: Float[Tensor, "R K D"],
    value: Float[Tensor, "R K D"],
    pointer_tokens: int,
    bias: Float[Tensor, "R K"],
    owner: Int[Tensor, " K"],
) -> Projected:
    """Projections and rotary codes of a cross-attention; the last `pointer_tokens` keys are not rotated.

    Cross-attentions that pool or rotate otherwise register their own version.
    """
    q, k, v = (
        attention._separate_heads(linear(x), attention.num_heads)
        for linear, x in ((attention.q_proj, query), (attention.k_proj, key), (attention.v_proj, value))
    )
    codes = rotary_codes(attention, int(q.shape[-2] ** 0.5)).to(q.device)
    rotated = k.shape[-2] - pointer_tokens
    q, k_rotated = apply_rotary_enc(q, k[:, :, :rotated], freqs_cis=codes, repeat_freqs_k=attention.rope_k_repeat)
    return Projected(q, torch.cat([k_rotated, k[:, :, rotated:]], dim=2), v, bias, owner)


def rotary_codes(attention: RoPEAttention, side: int) -> Complex[Tensor, "N half"]:
    """Rotary factors of a side x side grid, row-major."""
    codes: Tensor = attention.freqs_cis
    return codes if len(codes) == side * side else attention.compute_cis(end_x=side, end_y=side)


@dataclass(frozen=True, slots=True)
class KeyWeights:
    """What each key weighs, and the read item it belongs to."""

    gain: Float[Tensor, "R K"]
    bias: Float[Tensor, "R K"]
    owner: Int[Tensor, " K"]


@dataclass(frozen=True, slots=True)
class MemoryTokens:
    """The tokens of several rows, equally many in each. Without weights every key is taken as it is."""

    tokens: Float[Tensor, "R K D"]
    positions: Float[Tensor, "R K D"]
    pointer_tokens: int
    weights: KeyWeights | None = None


Attended = tuple[Float[Tensor, "R N C"], Float[Tensor, "R N items"] | None]
"""What memory attention gives each row and, where it is measured, the share of each query's attention that each read
item received."""


def attend_tokens(
    layer: MemoryAttentionLayer, query: Float[Tensor, "R N C"], memory: MemoryTokens, items: int = 0
) -> Attended:
    """One cross-attention. With `items` > 0, for which the memory needs weights, the second value is measured."""
    key = memory.tokens + memory.positions if layer.pos_enc_at_cross_attn_keys else memory.tokens
    attention, weights = layer.cross_attn_image, memory.weights
    if weights is None:
        return attention(q=query, k=key, v=memory.tokens, num_k_exclude_rope=memory.pointer_tokens), None
    p = project(
        attention,
        query,
        key * weights.gain[..., None],
        memory.tokens,
        memory.pointer_tokens,
        weights.bias,
        weights.owner,
    )
    if not items:
        out = F.scaled_dot_product_attention(p.query, p.key, p.value, attn_mask=p.bias[:, None, None].to(p.query.dtype))
        return attention.out_proj(attention._recombine_heads(out)), None
    belongs = F.one_hot(p.owner, items).to(p.query.dtype)
    parts, masses = [], []
    for block in p.query.split(1024, dim=2):  # bounds the attention map, which is N x K numbers
        shares = (block @ p.key.mT / block.shape[-1] ** 0.5 + p.bias[:, None, None]).softmax(dim=-1)
        parts.append(shares @ p.value)
        masses.append((shares @ belongs).mean(dim=1))
    return attention.out_proj(attention._recombine_heads(torch.cat(parts, dim=2))), torch.cat(masses, dim=1)


def attend(
    module: MemoryAttention,
    x: Float[Tensor, "1 N C"],
    position: Float[Tensor, "1 N C"],
    rows: int,
    cross_attend: Callable[[int, Float[Tensor, "R N C"]], Attended],
) -> Attended:
    """`MemoryAttention.forward` in evaluation mode, for several rows that look at one frame.

    `cross_attend` is the cross-attention of the layer whose index it is given. Measured shares are means over heads
    and layers.
    """
    masses = []
    if module.pos_enc_at_input:
        x = x + 0.1 * position
    for index, layer in enumerate(module.layers):
        # Before they read their memories all rows are the same, so the first layer's self-attention sees one of them.
        x = layer._forward_sa(x, position).expand(rows, -1, -1)
        query = layer.norm2(x)
        update, mass = cross_attend(index, query + position if layer.pos_enc_at_cross_attn_queries else query)
        x = x + update
        x = x + layer.linear2(layer.activation(layer.linear1(layer.norm3(x))))
        if mass is not None:
            masses.append(mass)
    return module.norm(x), torch.stack(masses).mean(dim=0) if masses else None
