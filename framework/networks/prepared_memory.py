"""Memory attention with less work for the same answer: what does not depend on the frame is computed once.

The keys of a memory are projected and rotated when it is first read, and kept for as long as the memory lives. A
temporal code reaches the keys through a linear map and a rotation, so it is added to them when their slot is known.

One head reads narrow memories (64 wide, values 256), and the weights of a query sum to one. So values are averaged as
they are stored, and value and output projections are one matrix:
`softmax(S) (M Wv + bv) Wo + bo = (softmax(S) M) Wv Wo + bv Wo + bo`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float
from sam2.modeling.memory_attention import MemoryAttention
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from framework.networks.attention import rotary_codes
from framework.networks.rope import rotate
from framework.ops.memo import memoised
from framework.types import Opaque

SCORES = 4_000_000
"""Of a block of queries; 15 MiB, beyond which nothing was faster."""


@dataclass(frozen=True, eq=False)
class PreparedMemory:
    """One memory, whatever slot it is read in."""

    keys: tuple[Float[Tensor, "N D"], ...]
    """Of each layer, projected and rotated, without temporal code."""
    tokens: Float[Tensor, "N d"]
    """The memory as it is stored."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRead:
    """All that one row attends to."""

    memories: Sequence[tuple[Opaque, int]]
    """With temporal slots; -1 is the anchors'."""
    pointers: Float[Tensor, "P d"]
    pointer_keys: Float[Tensor, "P d"]
    """The pointers with their temporal code, before projection."""


def can_be_prepared(model: SAM2Base) -> bool:
    """Whether the weights are frozen, and of the kind for which it was measured to be faster: float32 on a CPU, with
    values wider than memories, in plain rotary cross-attention of one head."""
    layers = model.memory_attention.layers
    return all(
        type(layer.cross_attn_image) is RoPEAttention
        and layer.pos_enc_at_cross_attn_keys
        and layer.cross_attn_image.num_heads == 1
        and layer.cross_attn_image.kv_in_dim < layer.cross_attn_image.internal_dim
        for layer in layers
    ) and all(
        parameter.dtype == torch.float32 and parameter.device.type == "cpu" and not parameter.requires_grad
        for parameter in (*model.memory_attention.parameters(), model.maskmem_tpos_enc)
    )


class PreparedAttention:
    """The cross-attentions of a model's memory attention. Its weights may not change."""

    def __init__(self, model: SAM2Base, position: Float[Tensor, "N d"]) -> None:
        """`position`: the spatial code of a memory's tokens."""
        attention: MemoryAttention = model.memory_attention
        self._layers: list[RoPEAttention] = [layer.cross_attn_image for layer in attention.layers]
        self._position, self._slots = position, model.maskmem_tpos_enc.detach()[:, 0, 0]
        self._side = math.isqrt(len(position))
        self.prepared = memoised(self._prepare)

    def _prepare(self, memory: Opaque) -> PreparedMemory:
        tokens = memory.float().flatten(1).mT.contiguous()
        keys = tokens + self._position
        return PreparedMemory(
            tuple(self._rotate(at, layer.k_proj(keys)) for at, layer in enumerate(self._layers)), tokens
        )

    def _rotate(self, at: int, x: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        return rotate(x[None, None], rotary_codes(self._layers[at], self._side))[0, 0]

    @cached_property
    def _temporal(self) -> list[tuple[Float[Tensor, "slots side half"], Float[Tensor, "slots side half"]]]:
        """What each slot adds to the keys of each layer: to their first halves by column, to their second by row.

        One half of a key is rotated by its column alone, the other by its row.
        """
        added = []
        for at, layer in enumerate(self._layers):
            codes = F.linear(self._slots, layer.k_proj.weight)
            grids = torch.stack([self._rotate(at, code.expand(self._side**2, -1)) for code in codes])
            columns, rows = grids.unflatten(1, (self._side, self._side)).chunk(2, dim=-1)
            added.append((columns[:, 0].clone(), rows[:, :, 0].clone()))
        return added

    @cached_property
    def _folded(self) -> list[tuple[Float[Tensor, "C d"], Float[Tensor, " C"]]]:
        """Value and output projection of each layer as one."""
        return [
            (layer.out_proj.weight @ layer.v_proj.weight, layer.out_proj(layer.v_proj.bias)) for layer in self._layers
        ]

    def _keys(self, at: int, read: PreparedRead) -> Float[Tensor, "K D"]:
        layer, side = self._layers[at], self._side
        keys = self._position.new_empty(len(read.memories) * side**2 + len(read.pointers), layer.internal_dim)
        columns, rows = self._temporal[at]
        for place, (memory, slot) in zip(keys.split(side**2), read.memories, strict=False):
            by_column, by_row = place.unflatten(0, (side, side)).chunk(2, dim=-1)
            first, second = self.prepared(memory).keys[at].unflatten(0, (side, side)).chunk(2, dim=-1)
            torch.add(first, columns[slot], out=by_column)
            torch.add(second, rows[slot][:, None], out=by_row)
        if len(read.pointers):
            keys[-len(read.pointers) :] = layer.k_proj(read.pointer_keys)
        return keys

    def attend(self, at: int, query: Float[Tensor, "R N C"], reads: Sequence[PreparedRead]) -> Float[Tensor, "R N C"]:
        """What the cross-attention of layer `at` gives each row."""
        layer = self._layers[at]
        queries = layer.q_proj(query) / math.sqrt(layer.internal_dim)
        read = [self._attend_row(at, self._rotate(at, row), one) for row, one in zip(queries, reads, strict=True)]
        return F.linear(torch.stack(read), *self._folded[at])

    def _attend_row(self, at: int, query: Float[Tensor, "N D"], read: PreparedRead) -> Float[Tensor, "N d"]:
        keys = self._keys(at, read)
        values = torch.cat([*(self.prepared(memory).tokens for memory, _ in read.memories), read.pointers])
        out = query.new_empty(len(query), values.shape[1])
        block = max(SCORES // len(keys), 1)
        scores = query.new_empty(min(block, len(query)), len(keys))
        for some, place in zip(query.split(block), out.split(block), strict=True):
            weights = torch.mm(some, keys.mT, out=scores[: len(some)])
            torch.mm(torch.softmax(weights, dim=-1, out=weights), values, out=place)
        return out
