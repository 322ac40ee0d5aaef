"""Weights and inputs that are the same everywhere, to compare a network's numbers with those of its authors' code.

Everything is derived from a 64-bit integer hash (splitmix64 finaliser) of a name and a flat index, so any platform
reproduces the values bit for bit. Tables, norms and biases are kept in ranges where no signal dies or explodes; see
`value`.
"""

import zlib
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64, UInt8
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_GOLD = np.uint64(0x9E3779B97F4A7C15)
SQRT3 = 1.7320508075688772
OBJ_SCORE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"


def uniform(name: str, n: int) -> Float64[np.ndarray, " n"]:
    """n float64 values in [-1, 1), multiples of 2**-23, from crc32(name) and index."""
    seed = np.uint64(zlib.crc32(name.encode("ascii")))
    x = (seed << np.uint64(32)) + np.arange(n, dtype=np.uint64)
    with np.errstate(over="ignore"):
        x = x * _GOLD + _GOLD
        x = (x ^ (x >> np.uint64(30))) * _M1
        x = (x ^ (x >> np.uint64(27))) * _M2
    x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


def unit(name: str, shape: tuple[int, ...]) -> Float64[np.ndarray, "..."]:
    """Uniform values with zero mean and unit variance, C order."""
    return (SQRT3 * uniform(name, int(np.prod(shape)))).reshape(shape)


_FREE = (  # free-standing tables and tokens (not multiplied with an input)
    "pos_embed",
    "pos_embed_window",
    "maskmem_tpos_enc",
    "no_mem_embed",
    "no_mem_pos_enc",
    "no_obj_ptr",
    "no_obj_embed_spatial",
    "latents",
    "latents_2d",
)
_FREE_WEIGHT = (
    "_token.weight",
    "_tokens.weight",
    "_embed.weight",
    "point_embeddings.0.weight",
    "point_embeddings.1.weight",
    "point_embeddings.2.weight",
    "point_embeddings.3.weight",
)
_SHARP = ("q_proj.weight", "k_proj.weight", "attn.qkv.weight", "to_q.weight", "to_kv.weight")
_DAMPED_BN = ("token_mixer", "channel_mixer.conv2", "ffn.conv2")


def value(name: str, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
    """float32 array for one floating-point state_dict entry."""
    u = uniform(name, int(np.prod(shape))).reshape(shape)
    z = SQRT3 * u
    last = name.rsplit(".", 1)[-1]
    if last == "running_mean":
        w = 0.1 * z
    elif last == "running_var":
        w = 1.0 + 0.25 * u
    elif last == "gamma":
        w = 0.3 + 0.1 * z
    elif last == "positional_encoding_gaussian_matrix":
        w = 1.0 * z
    elif last in _FREE or name.endswith(_FREE_WEIGHT):
        w = 0.5 * z
    elif name == OBJ_SCORE_BIAS:
        w = 4.0 + 0.1 * z
    elif last.endswith("bias"):
        w = 0.1 * z
    elif len(shape) == 1:
        w = 1.0 + 0.1 * z
        if ".bn." in name and any(k in name for k in _DAMPED_BN):
            w = 0.3 * w
    else:
        transposed = ".output_upscaling." in name  # (in, out, 2, 2)
        fan_in = shape[0] if transposed else int(np.prod(shape[1:]))
        gain = 1.8 if name.endswith(_SHARP) else 1.0
        w = (gain / np.sqrt(float(fan_in))) * z
    return np.asarray(w, dtype=np.float32)


def fill(module: M, overrides: Mapping[str, float] | None = None) -> M:
    """The module itself, its entries filled by their names; those of integers stay, `overrides` are constants."""
    constants = overrides or {}
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name in constants:
                tensor.fill_(constants[name])
            elif tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(value(name, tuple(tensor.shape))))
    return module


def array(name: str, shape: tuple[int, ...], scale: float = 1.0) -> Float32[np.ndarray, "..."]:
    """An input."""
    return np.asarray(scale * unit(name, shape), dtype=np.float32)


def _tri(v: Any, p: int) -> Any:
    return np.abs(v % p - p // 2) * 510 // p


def _inside(
    t: int, size: int
) -> tuple[Bool[np.ndarray, "{size} {size}"], Int64[np.ndarray, "1 {size}"], Int64[np.ndarray, "{size} 1"]]:
    g = (np.arange(size, dtype=np.int64) * 1024 + 512) // size
    x, y = g[None, :], g[:, None]
    cx, cy = 380 + 26 * t, 500 - 14 * t
    return (110 * (x - cx)) ** 2 + (170 * (y - cy)) ** 2 <= (110 * 170) ** 2, x, y


def frame(t: int, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Image of frame t, a moving ellipse; integer arithmetic only."""
    inside, x, y = _inside(t, size)
    out = np.empty((size, size, 3), dtype=np.uint8)
    for c in range(3):
        bg = (_tri(3 * x + (2 + c) * y + 9 * t, 300 + 70 * c) + _tri(x * y // 128 + 40 * c, 181)) // 3
        fg = 255 - (_tri(2 * (x - 26 * t) - (1 + c) * (y + 14 * t), 90 + 20 * c) * (1 + c)) // 4
        out[..., c] = np.clip(np.where(inside, fg, bg), 0, 255).astype(np.uint8)
    return out


def frames_tensor(num: int, size: int) -> Float[Tensor, "{num} 3 {size} {size}"]:
    """Frames as SAM 2 loads videos, normalised."""
    imgs = np.stack([frame(t, size) for t in range(num)])
    x = torch.from_numpy(imgs.astype(np.float64) / 255.0).permute(0, 3, 1, 2).float().contiguous()
    x -= torch.tensor((0.485, 0.456, 0.406), dtype=torch.float32)[:, None, None]
    x /= torch.tensor((0.229, 0.224, 0.225), dtype=torch.float32)[:, None, None]
    return x


def prompt_mask(size: int) -> Bool[np.ndarray, "{size} {size}"]:
    """The ellipse on frame 0."""
    return _inside(0, size)[0]


def prompt_box(size: int) -> Float32[np.ndarray, " 4"]:
    """x0, y0, x1, y1 around it, in pixels."""
    return np.array([210, 390, 550, 610], dtype=np.float32) * (size / 1024.0)
