"""Image features at the grain at which learned plug-ins were trained."""

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn.functional import avg_pool2d

from framework.ops.jit import compiled
from framework.ops.memo import memoised
from framework.ops.vectors import unit

SIDE = 16
"""Tokens along a side, at most."""


def on_host(values: Float[Tensor, "*n"]) -> Float32[np.ndarray, "*n"]:
    """In one transfer and in one piece."""
    return np.ascontiguousarray(values.detach().float().cpu().numpy())


def masked_means(
    tokens: Float32[np.ndarray, "C y x"], covers: Float32[np.ndarray, "M y x"]
) -> Float32[np.ndarray, "M C"]:
    """Mean feature under each cover, of unit length; 0 under none."""
    return unit(covers.reshape(len(covers), -1) @ tokens.reshape(len(tokens), -1).T)


@memoised
def coarse_tokens(embedding: Float[Tensor, "C y x"]) -> Float32[np.ndarray, "C height width"]:
    """On the host, averaged by halves until there are at most `SIDE` along a side, as far as sides are even; less the
    mean of the image, since what all of it shares tells nothing.

    Computed once for all that look at one frame.
    """
    (height, width), factor = embedding.shape[-2:], 1
    while max(height, width) > SIDE * factor and height % (2 * factor) == width % (2 * factor) == 0:
        factor *= 2
    if factor > 1 and not embedding.is_cpu:
        return centred(on_host(avg_pool2d(embedding.detach(), factor)))  # less to transfer
    tokens = on_host(embedding)
    if factor == 4:
        return centred(quartered(tokens))
    return centred(averaged(tokens, height // factor, width // factor) if factor > 1 else tokens.copy())


@compiled
def centred(planes: Float32[np.ndarray, "n y x"]) -> Float32[np.ndarray, "n y x"]:
    """These planes themselves, each less its mean."""
    columns = np.empty(planes.shape[2], np.float32)
    for index in range(len(planes)):
        columns[:] = 0
        for y in range(planes.shape[1]):
            line = planes[index, y]
            for x in range(len(columns)):
                columns[x] += line[x]
        mean = columns.sum() / np.float32(planes.shape[1] * planes.shape[2])
        for y in range(planes.shape[1]):
            line = planes[index, y]
            for x in range(len(columns)):
                line[x] -= mean
    return planes


@compiled
def quartered(planes: Float32[np.ndarray, "n y x"]) -> Float32[np.ndarray, "n y//4 x//4"]:
    """Mean of every four by four values: `averaged` for SAM2's grids, several times as fast."""
    count, height, width = planes.shape
    means, share = np.empty((count, height // 4, width // 4), np.float32), np.float32(1 / 16)
    lines, pairs = np.empty(width, np.float32), np.empty(width // 2, np.float32)
    for index in range(count):
        for y in range(height // 4):
            first, second = planes[index, 4 * y], planes[index, 4 * y + 1]
            third, fourth = planes[index, 4 * y + 2], planes[index, 4 * y + 3]
            mean = means[index, y]
            for x in range(width):
                lines[x] = (first[x] + second[x]) + (third[x] + fourth[x])
            for x in range(width // 2):
                pairs[x] = lines[2 * x] + lines[2 * x + 1]
            for x in range(width // 4):
                mean[x] = (pairs[2 * x] + pairs[2 * x + 1]) * share
    return means


@compiled
def averaged(
    planes: Float32[np.ndarray, "n y x"], height: int, width: int
) -> Float32[np.ndarray, "n {height} {width}"]:
    """Mean of the values in each of [height width] tokens; sides are multiples of these."""
    high, wide = planes.shape[1] // height, planes.shape[2] // width
    means, share = np.zeros((len(planes), height, width), np.float32), np.float32(1 / (high * wide))
    for index in range(len(planes)):
        for y in range(high * height):
            line, mean = planes[index, y], means[index, y // high]
            for column in range(wide):
                part = line[column::wide]
                for x in range(width):
                    mean[x] += part[x] * share
    return means
