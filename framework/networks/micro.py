"""A SAM2 small enough to live in the repository: SAM2's own classes and flags on a 128-pixel frame.

It differs from sam2.1 in size alone: a plain convolutional trunk, tokens at stride 8 (so that 128 pixels still give
16 x 16 of them), width 64 throughout and two memory-attention layers. Masks are decoded at stride 2. Every policy and
the `Sam2Network` facade treat it like the large checkpoints.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from framework.errors import InputError
from framework.networks import checkpoints
from framework.networks.build import facade
from framework.networks.sam2 import Sam2Network

WEIGHTS = Path(__file__).parent / "weights" / "micro.pt"
STRIDE = 8
"""Pixels per token of the trunk without a stem, and of SAM 2's mask downsampling."""


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a skip connection (He et al. 2016), with group normalisation."""

    def __init__(self, width: int, groups: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(groups, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(groups, width),
        )

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        return torch.relu(x + self.body(x))


def _halve(narrow: int, wide: int, groups: int = 8) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False), nn.GroupNorm(groups, wide), nn.ReLU()
    )


class Halving(nn.Module):
    """The image at half its size, beside `width` channels of what that loses."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.detail = nn.Conv2d(3, width, 3, stride=2, padding=1)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        return torch.cat([F.avg_pool2d(image, 2), torch.relu(self.detail(image))], dim=1)


class Context(nn.Module):
    """A transformer block (Vaswani et al. 2017, normalised before each part) in which every token sees all others."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mixing = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.gather = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        tokens = x.flatten(2).transpose(1, 2)
        parts = self.project(self.before_attention(tokens)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        read = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.gather(read)
        tokens = tokens + self.mix(self.before_mixing(tokens))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class ConvTrunk(nn.Module):
    """Feature maps at three strides, each twice the one before, finest first: 2, 4 and 8, or with a stem 4, 8 and 16.

    Args:
        widths: channels of the maps.
        depths: residual blocks of the second and the third.
        stem: channels of detail beside the halved image; 0 for no halving.
        context: transformer blocks over the coarsest map.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int], stem: int = 0, context: int = 0) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.stem = Halving(stem) if stem else None
        self.stages = nn.ModuleList(
            [
                nn.Sequential(_halve(3 + stem, fine), nn.Conv2d(fine, fine, 3, padding=1), nn.ReLU()),
                nn.Sequential(_halve(fine, middle), *(Residual(middle) for _ in range(depths[0]))),
                nn.Sequential(_halve(middle, coarse), *(Residual(coarse) for _ in range(depths[1]))),
            ]
        )
        self.context = nn.Sequential(*(Context(coarse) for _ in range(context)))
        self.channel_list = [coarse, middle, fine]  # coarsest first, as `FpnNeck` wants it

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        if self.stem is not None:
            image = self.stem(image)
        maps = []
        for stage in self.stages:
            image = stage(image)
            maps.append(image)
        return [*maps[:-1], self.context(maps[-1])]


class PooledMaskDownSampler(MaskDownSampler):
    """Halves the mask by its mean before SAM 2's own downsampling."""

    def forward(self, x: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C y x"]:
        return super().forward(F.avg_pool2d(x, 2))


def _attention(width: int, memory_width: int | None, tokens: int) -> RoPEAttention:
    """Single-headed attention with rotary positions, over itself or (with a memory width) over memories.

    Over memories it starts out looking where it stands: equal rotary queries and keys peak at zero displacement.
    """
    attention = RoPEAttention(
        rope_theta=10000.0,
        feat_sizes=(tokens, tokens),
        rope_k_repeat=memory_width is not None,
        embedding_dim=width,
        num_heads=1,
        downsample_rate=1,
        dropout=0.0,
        kv_in_dim=memory_width,
    )
    if memory_width is not None:
        torch.nn.init.constant_(attention.q_proj.bias, 1.0)
        torch.nn.init.constant_(attention.k_proj.bias, 1.0)
    return attention


def _sine(width: int) -> PositionEmbeddingSine:
    return PositionEmbeddingSine(num_pos_feats=width, normalize=True, scale=None, temperature=10000, warmup_cache=False)


@dataclass(frozen=True)
class MicroSize:
    """How large the network is; the embedded weights have the defaults.

    Args:
        width: channels of tokens and object pointers, a multiple of 8 and of memory_width.
        memory_width: channels of spatial memories, an even number.
        layers: memory-attention layers.
        feedforward: hidden width of their perceptrons.
        trunk_widths: channels of the trunk's three maps, multiples of 8.
        trunk_depths: residual blocks of the second and the third.
        stem: channels of detail beside the halved image, which doubles all strides; 0 for no halving.
        context: transformer blocks over the coarsest map.

    Raises:
        InputError: a size that the network cannot have.
    """

    width: int = 64
    memory_width: int = 64
    layers: int = 2
    feedforward: int = 256
    trunk_widths: Sequence[int] = (32, 48, 96)
    trunk_depths: Sequence[int] = (1, 3)
    stem: int = 0
    context: int = 0

    @property
    def stride(self) -> int:
        """Pixels per token."""
        return 2 * STRIDE if self.stem else STRIDE

    def __post_init__(self) -> None:
        if min(self.memory_width, self.layers, self.feedforward) < 1 or self.memory_width % 2:
            raise InputError("the embedded network needs layers >= 1, feedforward >= 1 and an even memory_width")
        if self.width < 8 or self.width % 8 or self.width % self.memory_width:
            raise InputError(
                f"the embedded network's width is a multiple of 8 and of memory_width ({self.memory_width}), "
                f"not {self.width}"
            )
        wide = len(self.trunk_widths) == 3 and all(side >= 8 and side % 8 == 0 for side in self.trunk_widths)
        if not wide or len(self.trunk_depths) != 2 or min(self.trunk_depths) < 0:
            raise InputError(
                "the embedded network needs three trunk_widths that are multiples of 8, and two trunk_depths >= 0"
            )
        if min(self.stem, self.context) < 0:
            raise InputError(f"stem and context are 0 or more, not {self.stem} and {self.context}")


def micro(image_size: int = 128, size: MicroSize = MicroSize()) -> SAM2Base:
    """The network without its weights, flags as in sam2.1 (configs/sam2.1/sam2.1_hiera_t.yaml).

    `image_size` is height and width of its input in pixels. Raises InputError unless it is a multiple of the stride, of
    four tokens at least.
    """
    stride = size.stride
    if image_size < 4 * stride or image_size % stride:
        least = 4 * stride
        raise InputError(
            f"the embedded network's image_size is a multiple of {stride} from {least} on, not {image_size}"
        )
    width, memory_width = size.width, size.memory_width
    tokens = image_size // stride
    trunk = ConvTrunk(size.trunk_widths, size.trunk_depths, size.stem, size.context)
    downsampler = PooledMaskDownSampler if size.stem else MaskDownSampler
    neck = FpnNeck(_sine(width), width, trunk.channel_list, fpn_interp_model="nearest")
    layer = MemoryAttentionLayer(
        activation="relu",
        cross_attention=_attention(width, memory_width, tokens),
        d_model=width,
        dim_feedforward=size.feedforward,
        dropout=0.0,
        pos_enc_at_attn=False,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        self_attention=_attention(width, None, tokens),
    )
    memory_encoder = MemoryEncoder(
        out_dim=memory_width,
        in_dim=width,
        position_encoding=_sine(memory_width),
        mask_downsampler=downsampler(embed_dim=width, kernel_size=3, stride=2, padding=1, total_stride=STRIDE),
        # A layer scale of 1e-6 needs long training to open; this network starts with it half open.
        fuser=Fuser(CXBlock(width, kernel_size=7, padding=3, layer_scale_init_value=0.1, use_dwconv=True), 2),
    )
    return SAM2Base(
        image_encoder=ImageEncoder(trunk, neck, scalp=0),
        memory_attention=MemoryAttention(width, pos_enc_at_input=True, layer=layer, num_layers=size.layers),
        memory_encoder=memory_encoder,
        num_maskmem=7,
        image_size=image_size,
        backbone_stride=stride,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        use_mask_input_as_output_without_sam=True,
        directly_add_no_mem_embed=True,
        no_obj_embed_spatial=True,
        use_high_res_features_in_sam=True,
        multimask_output_in_sam=True,
        iou_prediction_use_sigmoid=True,
        use_obj_ptrs_in_encoder=True,
        add_tpos_enc_to_obj_ptrs=True,
        proj_tpos_enc_in_obj_ptrs=True,
        use_signed_tpos_enc_to_obj_ptrs=True,
        only_obj_ptrs_in_the_past_for_eval=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        fixed_no_obj_ptr=True,
        multimask_output_for_tracking=True,
        use_multimask_token_for_obj_ptr=True,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        use_mlp_for_obj_ptr_proj=True,
    )


def load(model: SAM2Base, path: Path) -> None:
    """Loads weights in place. Raises InputError for a file that is missing, unreadable or of another network."""
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist: train it with engram pretrain, or name a file")
    misfit = f"{path} does not fit the embedded network: give weights that engram pretrain wrote"
    state = checkpoints.read(path)
    if checkpoints.other_kinds(model, state):
        raise InputError(misfit)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(misfit) from error


def network(
    checkpoint: str | None = None,
    dtype: str = "float32",
    device: str = "auto",
    compile: bool = False,
    seed: int = 0,
    image_size: int = 128,
    size: MicroSize = MicroSize(),
    rows_at_once: int | None = None,
) -> Sam2Network:
    """The embedded network with its weights, frozen, behind the facade.

    Args:
        checkpoint: a file; None for the embedded weights; "random" for untrained ones from `seed`.
        dtype: as in `framework.networks.build.network`, like `device`, `compile` and `rows_at_once`.
        image_size: height and width of the network input; the weights were trained at 128.
        size: that of the weights.

    Raises:
        InputError: weights that are missing or do not fit, or a size that the network cannot have.
    """

    def weighted() -> SAM2Base:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            built = micro(image_size, size)
        if checkpoint != "random":
            load(built, WEIGHTS if checkpoint is None else Path(os.path.expanduser(checkpoint)))
        return built

    return facade(weighted, dtype, device, compile, rows_at_once)
