"""Backbones by name: SAM 2, 2.1 (Hiera) and 3, EfficientTAM, EdgeTAM, all as sam2's `SAM2Base` behind the facade.

The configurations packaged with sam2 are read as plain files and instantiated, without its Hydra entry point. SAM 2
Hiera-T is the common ground of EfficientTAM and EdgeTAM too, which differ in the trunk, the neck and the
cross-attention, as SAM 2.1 Hiera-L is that of SAM 3.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from sam2.modeling.sam2_base import SAM2Base
from torch.overrides import TorchFunctionMode

from framework.errors import InputError
from framework.networks import checkpoints
from framework.networks.sam2 import COMPUTE, Sam2Network
from framework.networks.sam3 import PATCH, Sam3Size

STRIDE = 16  # pixels per token, of `SAM2Base` where a configuration does not say
HIERA = ("t", "s", "b+", "l")
SAM2 = tuple(f"{family}_hiera_{size}" for family in ("sam2", "sam2.1") for size in HIERA)


@dataclass(frozen=True, slots=True)
class EfficientTamSize:
    """One published EfficientTAM: trunk width and heads, input size in pixels, kind of cross-attention."""

    width: int
    heads: int
    image_size: int = 1024
    pooled: bool = False
    shift_keys: bool = False


EFFICIENTTAM = {
    f"efficienttam_{size}{suffix}": EfficientTamSize(width, heads, **options)
    for size, width, heads in (("s", 384, 6), ("ti", 192, 3))
    for suffix, options in (
        ("", {}),
        ("_1", {"pooled": True}),
        ("_2", {"pooled": True, "shift_keys": True}),
        ("_512x512", {"image_size": 512}),
    )
}
NAMES = (*SAM2, "sam3", *EFFICIENTTAM, "edgetam")


def network(
    name: str,
    checkpoint: str | None = None,
    image_size: int | None = None,
    dtype: str = "float32",
    device: str = "auto",
    compile: bool = False,
    dynamic_multimask: bool = True,
    seed: int = 0,
    rows_at_once: int | None = None,
    prepare_memories: bool = False,
) -> Sam2Network:
    """A backbone with its weights, frozen, behind the facade.

    Args:
        name: one of `NAMES`.
        checkpoint: a file or folder; None for the official file by name; "random" for untrained weights from `seed`.
        image_size: side of the network input in pixels; None for the published one.
        dtype: what the network computes in, float32, bfloat16 or float16 (autocast; the weights stay float32).
        device: as torch names it; "auto" takes CUDA, then MPS, then the CPU.
        compile: torch.compile the trunk of the image encoder; the first frame is slow.
        dynamic_multimask: see `model`.
        rows_at_once: see `Sam2Network`, like `prepare_memories`; None for all.

    Raises:
        InputError: an unknown name, size, dtype or device, rows_at_once < 1, or weights that are missing or do not fit.
    """

    def weighted() -> SAM2Base:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            built = model(name, image_size, dynamic_multimask)
        if checkpoint != "random":
            checkpoints.load(built, name, checkpoint, layout)
        return built

    return facade(weighted, dtype, device, compile, rows_at_once, prepare_memories)


def facade(
    build: Callable[[], SAM2Base],
    dtype: str = "float32",
    device: str = "auto",
    compile: bool = False,
    rows_at_once: int | None = None,
    prepare_memories: bool = False,
) -> Sam2Network:
    """What `build` makes, frozen, behind the facade; the other arguments as in `network`, and checked first."""
    if dtype not in COMPUTE:
        raise InputError(f"backbone.dtype {dtype!r} is not one of {', '.join(COMPUTE)}")
    if rows_at_once is not None and rows_at_once < 1:
        raise InputError(f"backbone.rows_at_once={rows_at_once} must be 1 or more, or null for all")
    target = _device(device)
    built = build().eval().requires_grad_(False).to(target)
    if compile:
        built.image_encoder.trunk.compile()
    return Sam2Network(built, autocast=COMPUTE[dtype], rows_at_once=rows_at_once, prepare_memories=prepare_memories)


def model(name: str, image_size: int | None = None, dynamic_multimask: bool = True) -> SAM2Base:
    """A backbone of `NAMES` with random weights, in evaluation state.

    `image_size` in pixels replaces the published one. `dynamic_multimask` falls back from an unstable single mask to
    the best of three (stability below .98 at +-.05), as sam2's predictor builder does.
    """
    if name in SAM2:
        return sam2_model(name, image_size, dynamic_multimask)
    if name == "sam3":
        return sam3_model(image_size, dynamic_multimask)
    if name in EFFICIENTTAM:
        return efficienttam_model(name, image_size, dynamic_multimask)
    if name == "edgetam":
        return edgetam_model(image_size, dynamic_multimask)
    raise InputError(f"backbone {name!r} is not one of {', '.join(NAMES)}")


def sam2_model(name: str, image_size: int | None = None, dynamic_multimask: bool = True) -> SAM2Base:
    """SAM 2 or 2.1 with a Hiera trunk, named as sam2's configuration files."""
    return _build(_packaged(name), image_size, dynamic_multimask, multiple_of=32)


def sam3_model(image_size: int | None = None, dynamic_multimask: bool = True, size: Sam3Size = Sam3Size()) -> SAM2Base:
    """SAM 3's tracker: plain ViT with 14-pixel patches, everything after the neck as in SAM 2.1."""
    config = _packaged("sam2.1_hiera_l")
    config._target_ = "framework.networks.sam3.Sam3Tracker"
    config.backbone_stride = PATCH
    image_size = 1008 if image_size is None else image_size
    tokens, encoder, downsampler = image_size // PATCH, config.image_encoder, config.memory_encoder.mask_downsampler
    encoder.scalp = 0
    encoder.trunk = {"_target_": "framework.networks.sam3.RotaryViT", "side": tokens, **asdict(size)}
    encoder.neck = {
        "_target_": "framework.networks.sam3.BranchedNeck",
        "position_encoding": encoder.neck.position_encoding,
        "d_model": encoder.neck.d_model,
        "width": size.width,
    }
    downsampler._target_ = "framework.networks.sam3.ResizedMaskDownSampler"
    downsampler.tokens = tokens
    return _build(config, image_size, dynamic_multimask, multiple_of=PATCH)


def efficienttam_model(name: str, image_size: int | None = None, dynamic_multimask: bool = True) -> SAM2Base:
    """EfficientTAM of `EFFICIENTTAM`: plain ViT, one feature level, and pooled cross-attention in `_1` and `_2`."""
    variant = EFFICIENTTAM[name]
    config = _packaged("sam2_hiera_t")
    encoder = config.image_encoder
    encoder.scalp = 0
    encoder.trunk = {
        "_target_": "framework.networks.efficienttam.PlainViT",
        "width": variant.width,
        "heads": variant.heads,
    }
    encoder.neck = {
        "_target_": "framework.networks.efficienttam.ConvNeck",
        "position_encoding": encoder.neck.position_encoding,
        "d_model": encoder.neck.d_model,
        "width": variant.width,
    }
    config.use_high_res_features_in_sam = False
    if variant.pooled:
        attention = config.memory_attention.layer.cross_attention
        attention._target_ = "framework.networks.efficienttam.PooledAttention"
        attention.shift_keys = variant.shift_keys
    return _build(config, image_size or variant.image_size, dynamic_multimask, multiple_of=32)


def edgetam_model(image_size: int | None = None, dynamic_multimask: bool = True) -> SAM2Base:
    """EdgeTAM: RepViT trunk, two layers of memory attention, memories of 512 tokens."""
    config = _packaged("sam2_hiera_t")
    config._target_ = "framework.networks.edgetam.EdgeTAM"
    config.image_encoder.trunk = {"_target_": "framework.networks.repvit.RepViT"}
    config.image_encoder.neck.backbone_channel_list = [384, 192, 96, 48]
    config.memory_attention.num_layers = 2
    config.memory_attention.layer.cross_attention._target_ = "framework.networks.edgetam.TwoGridAttention"
    config.spatial_perceiver = {
        "_target_": "framework.networks.edgetam.Perceiver",
        "position_encoding": config.memory_encoder.position_encoding,
    }
    return _build(config, image_size, dynamic_multimask, multiple_of=256)


@cache
def layout(name: str) -> dict[str, tuple[int, ...]]:
    """Name and shape of every entry of a backbone's state, in order, without allocating it."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in model(name).state_dict().items()}


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"backbone.device {name!r} cannot be used here: {str(error).splitlines()[0]}") from error


def _packaged(name: str) -> DictConfig:
    folder = name.partition("_")[0]
    config = OmegaConf.load(str(files("sam2") / "configs" / folder / f"{name}.yaml")).model
    OmegaConf.set_struct(config, False)
    return config


def _build(config: DictConfig, image_size: int | None, dynamic_multimask: bool, multiple_of: int) -> SAM2Base:
    size = image_size or config.image_size
    if size <= 0 or size % multiple_of:
        raise InputError(f"image_size {size} of this backbone must be a positive multiple of {multiple_of}")
    config.image_size = size
    side = size // config.get("backbone_stride", STRIDE)
    layer = config.memory_attention.layer
    layer.self_attention.feat_sizes = layer.cross_attention.feat_sizes = [side, side]
    config.compile_image_encoder = False  # the facade compiles, when asked
    if dynamic_multimask:
        config.sam_mask_decoder_extra_args = {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        }
    with _TablesOnCpu():
        return instantiate(config).eval()


class _TablesOnCpu(TorchFunctionMode):
    """Constant tables stay real on the meta device: Hiera reads its drop-path schedule back as numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.linspace, torch.arange):
            kwargs = {**(kwargs or {}), "device": "cpu"}
        return func(*args, **(kwargs or {}))
