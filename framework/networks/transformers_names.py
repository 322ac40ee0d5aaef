"""Weights as the package transformers names and lays them out (Sam2Video, Sam3TrackerVideo, EdgeTamVideo)."""

import re
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor

from framework.errors import InputError

T = TypeVar("T")
MARK = "shared_image_embedding.positional_embedding"
"""An entry that such a state has and no official one."""
_WHOLE_SAM3 = (
    ("tracker_model.", ""),
    ("tracker_neck.", "vision_encoder.neck."),
    ("detector_model.vision_encoder.backbone.", "vision_encoder.backbone."),
)
"""Prefixes in the file of SAM 3's detector and tracker, and what they are in that of the tracker alone."""
_HEADS = r"((?:obj_ptr_proj|output_hypernetworks_mlps\.\d|iou_prediction_head|pred_obj_score_head)\.)"
_RENAMED = tuple(
    (re.compile(theirs), ours)
    for theirs, ours in (
        # image encoder: Hiera; SAM 3's ViT and neck; timm's RepViT
        (r"^vision_encoder\.backbone\.timm_model\.", "image_encoder.trunk.body."),
        (r"^vision_encoder\.backbone\.embeddings\.position_embeddings$", "image_encoder.trunk.pos_embed"),
        (
            r"^vision_encoder\.backbone\.embeddings\.patch_embeddings\.projection\.",
            "image_encoder.trunk.patch_embed.proj.",
        ),
        (r"^vision_encoder\.backbone\.layer_norm\.", "image_encoder.trunk.ln_pre."),
        (r"^vision_encoder\.backbone\.layers\.", "image_encoder.trunk.blocks."),
        (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
        (r"^vision_encoder\.neck\.fpn_layers\.0\.scale_layers\.0\.", "image_encoder.neck.convs.0.dconv_2x2_0."),
        (r"^vision_encoder\.neck\.fpn_layers\.0\.scale_layers\.2\.", "image_encoder.neck.convs.0.dconv_2x2_1."),
        (r"^vision_encoder\.neck\.fpn_layers\.1\.scale_layers\.0\.", "image_encoder.neck.convs.1.dconv_2x2."),
        (r"^vision_encoder\.neck\.fpn_layers\.(\d)\.proj1\.", r"image_encoder.neck.convs.\1.conv_1x1."),
        (r"^vision_encoder\.neck\.fpn_layers\.(\d)\.proj2\.", r"image_encoder.neck.convs.\1.conv_3x3."),
        (r"^vision_encoder\.neck\.convs\.(\d)\.", r"image_encoder.neck.convs.\1.conv."),
        (r"^(image_encoder\.trunk\.)patch_embed\.projection\.", r"\1patch_embed.proj."),
        (r"^(image_encoder\.trunk\.blocks\.\d+\.)layer_norm(\d)\.", r"\1norm\2."),
        (r"^(image_encoder\.trunk\.blocks\.\d+\.)mlp\.proj_in\.", r"\1mlp.layers.0."),
        (r"^(image_encoder\.trunk\.blocks\.\d+\.)mlp\.proj_out\.", r"\1mlp.layers.1."),
        (r"^(image_encoder\.trunk\.blocks\.\d+\.)attention\.o_proj\.", r"\1attn.proj."),
        (r"^(image_encoder\.trunk\.blocks\.\d+\.)attention\.", r"\1attn."),
        # heads of three layers
        (r"^object_pointer_proj\.", "obj_ptr_proj."),
        (_HEADS + r"layers\.0\.", r"\1layers.1."),
        (_HEADS + r"proj_in\.", r"\1layers.0."),
        (_HEADS + r"proj_out\.", r"\1layers.2."),
        # mask decoder
        (r"^mask_decoder\.", "sam_mask_decoder."),
        (r"^(sam_mask_decoder\.transformer\.layers\.\d\.)layer_norm(\d)\.", r"\1norm\2."),
        (r"^(sam_mask_decoder\.transformer\.layers\.\d\.mlp\.)proj_in\.", r"\1layers.0."),
        (r"^(sam_mask_decoder\.transformer\.layers\.\d\.mlp\.)proj_out\.", r"\1layers.1."),
        (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
        (r"^sam_mask_decoder\.upscale_conv1\.", "sam_mask_decoder.output_upscaling.0."),
        (r"^sam_mask_decoder\.upscale_layer_norm\.", "sam_mask_decoder.output_upscaling.1."),
        (r"^sam_mask_decoder\.upscale_conv2\.", "sam_mask_decoder.output_upscaling.3."),
        # prompt encoder
        (
            r"^shared_image_embedding\.positional_embedding$",
            "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        ),
        (r"^prompt_encoder\.", "sam_prompt_encoder."),
        (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
        (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
        (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
        (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
        (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
        # memory attention
        (r"^(memory_attention\.layers\.\d\.)layer_norm(\d)\.", r"\1norm\2."),
        (r"^(memory_attention\.layers\.\d\.)mlp\.up_proj\.", r"\1linear1."),
        (r"^(memory_attention\.layers\.\d\.)mlp\.down_proj\.", r"\1linear2."),
        (r"^memory_attention\.layer_norm\.", "memory_attention.norm."),
        # memory encoder
        *((rf"(\.mask_downsampler\.)layers\.{layer}\.conv\.", rf"\g<1>encoder.{3 * layer}.") for layer in range(4)),
        *(
            (rf"(\.mask_downsampler\.)layers\.{layer}\.layer_norm\.", rf"\g<1>encoder.{3 * layer + 1}.")
            for layer in range(4)
        ),
        (r"^memory_encoder\.mask_downsampler\.final_conv\.", "memory_encoder.mask_downsampler.encoder.12."),
        (r"^memory_encoder\.feature_projection\.", "memory_encoder.pix_feat_proj."),
        (r"^memory_encoder\.projection\.", "memory_encoder.out_proj."),
        (r"^memory_encoder\.memory_fuser\.", "memory_encoder.fuser."),
        (r"(\.fuser\.layers\.\d\.)depthwise_conv\.", r"\1dwconv."),
        (r"(\.fuser\.layers\.\d\.)layer_norm\.", r"\1norm."),
        (r"(\.fuser\.layers\.\d\.)pointwise_conv(\d)\.", r"\1pwconv\2."),
        (r"(\.fuser\.layers\.\d\.)scale$", r"\1gamma"),
        # perceiver
        (r"^spatial_perceiver\.latents_1d$", "spatial_perceiver.latents"),
        (r"^spatial_perceiver\.layer_norm\.", "spatial_perceiver.norm."),
        (r"^(spatial_perceiver\.layers\.\d\.)layer_norm_input\.", r"\1attn.norm_x."),
        (r"^(spatial_perceiver\.layers\.\d\.)layer_norm_latents\.", r"\1attn.norm_latents."),
        (r"^(spatial_perceiver\.layers\.\d\.)layer_norm_self\.", r"\1self_attn.norm."),
        (r"^(spatial_perceiver\.layers\.\d\.)cross_attention\.", r"\1attn."),
        (r"^(spatial_perceiver\.layers\.\d\.)self_attention\.", r"\1self_attn."),
        (r"^(spatial_perceiver\.layers\.\d\.)(mlp|self_mlp)\.layer_norm\.", r"\1\2.0."),
        (r"^(spatial_perceiver\.layers\.\d\.)(mlp|self_mlp)\.up_proj\.", r"\1\2.1."),
        (r"^(spatial_perceiver\.layers\.\d\.)(mlp|self_mlp)\.down_proj\.", r"\1\2.3."),
        (r"^(spatial_perceiver\.layers\.\d\.)mlp\.", r"\1ff."),
        (r"^(spatial_perceiver\.layers\.\d\.)self_mlp\.", r"\1self_ff."),
        (r"^(spatial_perceiver\.layers\.\d\.(?:self_)?attn\.)q_proj\.", r"\1to_q."),
        (r"^(spatial_perceiver\.layers\.\d\.(?:self_)?attn\.)([kv])_proj\.", r"\1to_\2_proj."),
        (r"^(spatial_perceiver\.layers\.\d\.(?:self_)?attn\.)o_proj\.", r"\1to_out."),
        # the rest
        (r"^no_memory_embedding$", "no_mem_embed"),
        (r"^no_memory_positional_encoding$", "no_mem_pos_enc"),
        (r"^memory_temporal_positional_encoding$", "maskmem_tpos_enc"),
        (r"^no_object_pointer$", "no_obj_ptr"),
        (r"^occlusion_spatial_embedding_parameter$", "no_obj_embed_spatial"),
        (r"^temporal_positional_encoding_projection_layer\.", "obj_ptr_tpos_proj."),
        (r"\.o_proj\.", ".out_proj."),
    )
)
"""Theirs, ours; every one that fits, in order."""
_JOINED = re.compile(
    r"(image_encoder\.trunk\.blocks\.\d+\.attn\.|spatial_perceiver\.layers\.\d\.(?:self_)?attn\.to_)([qkv])_proj(\..*)"
)
"""Projections that are one matrix here: queries, keys and values, or keys and values."""
_TWIN = "prompt_encoder.shared_embedding.positional_embedding"
"""The numbers of `MARK` again, where a file has them twice."""


def official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state under official names (for SAM 3 those of sam2's classes), its matrices as these have them.

    Entries that no such network has keep their name, so that a strict load names them. Raises InputError for a file
    whose two copies of the positional matrix differ.
    """
    state = of_tracker(state)
    if _TWIN in state and not torch.equal(state[_TWIN], state[MARK]):
        raise InputError(f"{_TWIN} and {MARK} differ, which are one matrix: fetch the file again")
    found: dict[str, Tensor] = {}
    joined: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        here = official_name(name)
        if name == _TWIN:
            continue
        if part := _JOINED.fullmatch(here):
            before, letter, after = part.groups()
            joined.setdefault(f"{before}|{after}", {})[letter] = value
        elif here == "sam_prompt_encoder.point_embed.weight":
            found |= {f"sam_prompt_encoder.point_embeddings.{kind}.weight": row[None] for kind, row in enumerate(value)}
        elif here == "image_encoder.trunk.pos_embed" and value.dim() == 3:  # SAM 3's has a class token in front
            found[here] = torch.cat([torch.zeros_like(value[:, :1]), value], dim=1)
        else:
            found[here] = value
    for ends, parts in joined.items():
        letters = "".join(letter for letter in "qkv" if letter in parts)
        found[ends.replace("|", letters)] = torch.cat([parts[letter] for letter in letters])
    return found


def of_tracker(state: Mapping[str, T]) -> dict[str, T]:
    """Without the detector, where the state is of both."""
    found = {}
    for name, value in state.items():
        for whole, alone in _WHOLE_SAM3:
            if name.startswith(whole):
                name = alone + name.removeprefix(whole)
                break
        if not name.startswith("detector_model."):
            found[name] = value
    return found


def official_name(name: str) -> str:
    """Of one entry, before parts are joined."""
    for theirs, ours in _RENAMED:
        name = theirs.sub(ours, name)
    return name
