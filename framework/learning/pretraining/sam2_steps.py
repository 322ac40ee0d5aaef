"""SAM2's steps as differentiable functions of batches of rows, with the memory attention's reading laid open.

The same weights run in the same order as in `SAM2Base`, but masks stay raw (an absent object does not overwrite them,
so that losses keep their gradient) and the attention mass that each token puts on the remembered object is returned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from sam2.modeling.position_encoding import apply_rotary_enc
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import get_1d_sine_pe
from torch import Tensor

PROMPTED_SLOT = 6  # row of the temporal code that prompted memories use; rows 0..5 are the newest frame and its elders
POINTER_SPAN = 15.0  # frames by which pointer distances are divided (SAM2: min(16, video length) - 1)
POINTERS = 15  # newest frames of which pointers are read, beside the prompt's
KNOWN_LOGIT = 10.0  # logit of a mask that is known


@dataclass(frozen=True, slots=True)
class RowPyramid:
    """Image features, one per row or frame."""

    embedding: Float[Tensor, "R C y x"]
    half: Float[Tensor, "R C8 h w"]
    quarter: Float[Tensor, "R C4 h2 w2"]
    position: Float[Tensor, "1 C y x"]

    def pick(self, index: Int[Tensor, " Q"]) -> "RowPyramid":
        return RowPyramid(self.embedding[index], self.half[index], self.quarter[index], self.position)


@dataclass(frozen=True, slots=True)
class RowMemories:
    """One remembered frame of every row."""

    features: Float[Tensor, "R C y x"]
    pointer: Float[Tensor, "R C"]
    coverage: Float[Tensor, "R tokens"]
    """Share of each token that the object truly covers: what reading it should find."""
    time: Int[Tensor, " R"]

    def pick(self, index: Int[Tensor, " Q"]) -> "RowMemories":
        return RowMemories(self.features[index], self.pointer[index], self.coverage[index], self.time[index])

    def repeat(self, times: int) -> "RowMemories":
        """All rows, several times over."""
        if times == 1:
            return self
        once = (self.features, self.pointer, self.coverage, self.time)
        return RowMemories(*(part.repeat(times, *[1] * (part.ndim - 1)) for part in once))

    def instead(self, rows: Bool[Tensor, " R"], other: "RowMemories") -> "RowMemories":
        """This one in `rows`, the other one elsewhere."""
        wide = rows[:, None]
        return RowMemories(
            torch.where(wide[..., None, None], self.features, other.features),
            torch.where(wide, self.pointer, other.pointer),
            torch.where(wide, self.coverage, other.coverage),
            torch.where(rows, self.time, other.time),
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """Raw output of the mask decoder; token 0 answers prompts, tokens 1-3 track."""

    logits: Float[Tensor, "R 4 h w"]
    iou: Float[Tensor, "R 4"]
    tokens: Float[Tensor, "R 4 C"]
    presence: Float[Tensor, " R"]

    def best(self) -> Int[Tensor, " R"]:
        """The tracking token with the highest predicted IoU (1-3)."""
        return self.iou[:, 1:].argmax(dim=1) + 1

    def logit(self, token: Int[Tensor, " R"]) -> Float[Tensor, "R h w"]:
        """Of one token per row."""
        return self.logits[_rows(token), token]

    def pick(self, rows: slice) -> "Decoded":
        return Decoded(self.logits[rows], self.iou[rows], self.tokens[rows], self.presence[rows])


def _rows(token: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
    return torch.arange(len(token), device=token.device)


def encode(network: SAM2Base, images: Float[Tensor, "N 3 H W"]) -> RowPyramid:
    out = network.forward_image(images)
    half, quarter, embedding = (level.float() for level in out["backbone_fpn"])
    return RowPyramid(embedding, half, quarter, out["vision_pos_enc"][-1][:1].float())


def memorise(
    network: SAM2Base,
    pyramid: RowPyramid,
    logits: Float[Tensor, "R H W"],
    visible: Bool[Tensor, " R"],
) -> Float[Tensor, "R C y x"]:
    """Spatial memory of a mask given as logits at network-input size."""
    scaled = torch.sigmoid(logits) * network.sigmoid_scale_for_mem_enc + network.sigmoid_bias_for_mem_enc
    features = network.memory_encoder(pyramid.embedding, scaled[:, None], skip_mask_sigmoid=True)["vision_features"]
    absent = (~visible).float()[:, None, None, None]
    # Memories are kept in bfloat16 when tracking, so the network sees that rounding while it learns.
    return (features + absent * network.no_obj_embed_spatial[..., None, None]).bfloat16().float()


def object_pointer(
    network: SAM2Base, decoded: Decoded, token: Int[Tensor, " R"], visible: Bool[Tensor, " R"]
) -> Float[Tensor, "R C"]:
    """Object pointer of one token, or the learned no-object pointer."""
    pointer = network.obj_ptr_proj(decoded.tokens[_rows(token), token])
    return torch.where(visible[:, None], pointer, network.no_obj_ptr.expand_as(pointer))


def decode(
    network: SAM2Base,
    pyramid: RowPyramid,
    conditioned: Float[Tensor, "R C y x"],
    points: Float[Tensor, "R N 2"] | None = None,
    labels: Int[Tensor, "R N"] | None = None,
    mask: Float[Tensor, "R 1 H W"] | None = None,
) -> Decoded:
    """Masks, predicted IoUs, tokens and presence; with neither points nor mask, of what the memories say."""
    rows, device = len(conditioned), conditioned.device
    if points is None or labels is None:
        points = torch.zeros(rows, 1, 2, device=device)
        labels = -torch.ones(rows, 1, dtype=torch.int32, device=device)
    if mask is not None:
        mask = network.mask_downsample(mask)
        size = network.sam_prompt_encoder.mask_input_size
        mask = F.interpolate(mask, size=size, mode="bilinear", align_corners=False, antialias=True)
    sparse, dense = network.sam_prompt_encoder(points=(points, labels), boxes=None, masks=mask)
    logits, iou, tokens, presence = network.sam_mask_decoder.predict_masks(
        image_embeddings=conditioned,
        image_pe=network.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=[pyramid.half, pyramid.quarter],
    )
    return Decoded(logits, iou, tokens, presence[:, 0])


def condition(
    network: SAM2Base,
    pyramid: RowPyramid,
    spatial: Sequence[tuple[RowMemories, Int[Tensor, " R"]]],
    pointers: Sequence[tuple[RowMemories, Float[Tensor, " R"]]],
) -> tuple[Float[Tensor, "R C y x"], list[Float[Tensor, "R tokens"]]]:
    """Memory attention of every row.

    Args:
        spatial: memories and the row of the temporal code each one uses.
        pointers: memories read through their pointer alone, and how many frames ago they were.

    Returns:
        The conditioned image features, and for every layer the share of each token's spatial reading that falls on
        remembered object.
    """
    rows, width, height, across = pyramid.embedding.shape
    code = network.maskmem_tpos_enc[:, 0, 0]
    where = pyramid.position.flatten(2).transpose(1, 2)
    tokens = [memory.features.flatten(2).transpose(1, 2) for memory, _ in spatial]
    places = [where + code[slot][:, None] for _, slot in spatial]
    if pointers:
        ago = torch.stack([distance for _, distance in pointers], dim=1)
        tokens.append(torch.stack([memory.pointer for memory, _ in pointers], dim=1))
        sine = get_1d_sine_pe((ago / POINTER_SPAN).flatten(), dim=width)
        places.append(network.obj_ptr_tpos_proj(sine).view(rows, len(pointers), -1))
    memory, place = torch.cat(tokens, dim=1), torch.cat(places, dim=1)
    coverage = torch.cat([item.coverage for item, _ in spatial], dim=1)
    current = pyramid.embedding.flatten(2).transpose(1, 2)
    current = current + 0.1 * where
    readings = []
    for layer in network.memory_attention.layers:
        current = layer._forward_sa(current, None)
        read, mass = _cross_attention(layer.cross_attn_image, layer.norm2(current), memory + place, memory, coverage)
        readings.append(mass)
        current = current + read
        current = current + layer.linear2(layer.activation(layer.linear1(layer.norm3(current))))
    current = network.memory_attention.norm(current)
    return current.transpose(1, 2).reshape(rows, width, height, across), readings


def _cross_attention(
    attention: RoPEAttention,
    queries: Float[Tensor, "R q C"],
    keys: Float[Tensor, "R k C"],
    values: Float[Tensor, "R k C"],
    coverage: Float[Tensor, "R s"],
) -> tuple[Float[Tensor, "R q C"], Float[Tensor, "R q"]]:
    """SAM2's rotary cross-attention, written out to see where its weight goes."""
    q, k, v = attention.q_proj(queries)[:, None], attention.k_proj(keys)[:, None], attention.v_proj(values)
    turning = coverage.shape[1]
    q, turned = apply_rotary_enc(q, k[:, :, :turning], freqs_cis=attention.freqs_cis, repeat_freqs_k=True)
    k = torch.cat([turned, k[:, :, turning:]], dim=2)
    weight = torch.softmax(q[:, 0] @ k[:, 0].transpose(1, 2) * q.shape[-1] ** -0.5, dim=-1)
    space = weight[..., :turning]
    mass = (space @ coverage[..., None])[..., 0] / space.sum(dim=-1).clamp_min(1e-6)
    return attention.out_proj(weight @ v), mass
