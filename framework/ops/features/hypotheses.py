"""What every hypothesis of a frame shows: its mask, how it looks, its colours and what the network says of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import tanh

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, UInt8
from torch import Tensor

from framework.ops.boxes import Corners
from framework.ops.features.kernels import (
    ABOVE,
    AREA,
    AROUND,
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    colours,
    count_cells,
    cover,
    intersections,
)
from framework.ops.memo import memoised
from framework.ops.tokens import coarse_tokens, masked_means, on_host
from framework.ops.vectors import moving_average, unit
from framework.types import Candidates, Features

CELLS = 128
"""Cells along a side of the mask-logit grid that are looked at, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Unit vectors on the host; zero where there is nothing."""

    look: Float[np.ndarray, " C"]
    """Mean image feature under the mask, less the mean of the image."""
    pointer: Float[np.ndarray, " D"]
    colours: Float[np.ndarray, " colours"]
    """Square roots of a histogram of chromaticities, so that a product is the Bhattacharyya coefficient."""

    def blend(self, now: "Appearance", share: float) -> "Appearance":
        """Moved by `share` towards `now`."""
        pairs = (self.look, now.look), (self.pointer, now.pointer), (self.colours, now.colours)
        return Appearance(*(moving_average(mean, new, share) for mean, new in pairs))


@dataclass(frozen=True, slots=True, eq=False)
class MaskFeatures:
    """What one mask shows, in cells of the mask-logit grid."""

    mask: UInt8[np.ndarray, "h w"]
    """0 and 1."""
    area: int
    box: Corners | None
    appearance: Appearance


@dataclass(frozen=True, eq=False)
class HypothesisFeatures:
    """What is measured of every hypothesis of one row on one frame, in cells of the mask-logit grid (of a fine one
    every few are looked at); all else is computed from this."""

    masks: UInt8[np.ndarray, "M h w"]
    """0 and 1."""
    counts: Int64[np.ndarray, "M 7"]
    """See `framework.ops.features.kernels.COUNTS`."""
    sums: Float64[np.ndarray, " M"]
    """Of the logits above 0."""
    looks: Float32[np.ndarray, "M C"]
    """See `Appearance`."""
    pointers: Float32[np.ndarray, "M D"]
    colours: Float32[np.ndarray, "M colours"]
    iou: Float32[np.ndarray, " M"]
    """Predicted, 0..1."""
    presence: float
    """Object-score logit."""

    @cached_property
    def areas(self) -> tuple[int, ...]:
        return tuple(self.counts[:, AREA].tolist())

    @cached_property
    def boxes(self) -> tuple[Corners | None, ...]:
        return tuple(
            (float(one[LEFT]), float(one[TOP]), one[RIGHT] - 1.0, one[BOTTOM] - 1.0) if one[AREA] else None
            for one in self.counts.tolist()
        )

    @cached_property
    def stability(self) -> tuple[float, ...]:
        """Cells above logit 1 over those above -1."""
        return tuple(one[ABOVE] / max(one[AROUND], 1) for one in self.counts.tolist())

    @cached_property
    def sharpness(self) -> tuple[float, ...]:
        """Mean logit inside, squashed to 0..1."""
        return tuple(tanh(t / max(area, 1) / 8) for area, t in zip(self.areas, self.sums.tolist(), strict=True))

    @cached_property
    def ious(self) -> list[list[float]]:
        """Of each hypothesis with each."""
        return _ious(intersections(self.masks, self.counts, self.masks), self.areas, self.areas)

    def ious_with(self, others: Sequence[MaskFeatures]) -> list[list[float]]:
        """IoU of each hypothesis with each of the masks of other frames."""
        if not others:
            return [[] for _ in self.areas]
        common = intersections(self.masks, self.counts, np.stack([other.mask for other in others]))
        return _ious(common, self.areas, [one.area for one in others])

    def similarity(self, known: Appearance) -> tuple[list[float], list[float], list[float]]:
        """Cosine of each hypothesis's look, pointer and colours with those that are known."""
        return (
            (self.looks @ known.look).tolist(),
            (self.pointers @ known.pointer).tolist(),
            (self.colours @ known.colours).tolist(),
        )

    def mask(self, index: int) -> MaskFeatures:
        """A hypothesis by itself."""
        appearance = Appearance(self.looks[index], self.pointers[index], self.colours[index])
        return MaskFeatures(self.masks[index], self.areas[index], self.boxes[index], appearance)


@memoised
def describe(candidates: Candidates, features: Features) -> HypothesisFeatures:
    """Every hypothesis of the first row; measured once for all that look at these candidates, which belong to one
    frame."""
    logits, tokens = candidates.logits[0], coarse_tokens(features.query.embedding)
    step = max(1, -(-max(logits.shape[-2:]) // CELLS))
    masks, counts, sums = count_cells(on_host(logits[:, ::step, ::step]))
    mean, deviation = np.array((features.normalisation.mean, features.normalisation.deviation), np.float32)
    return HypothesisFeatures(
        masks=masks,
        counts=counts,
        sums=sums,
        looks=masked_means(tokens, cover(masks, counts, *tokens.shape[1:])),
        pointers=unit(on_host(candidates.pointers[0])),
        colours=colours(_pixels(features.image, masks.shape[1:]), masks, counts, mean, deviation),
        iou=on_host(candidates.iou[0]).copy(),
        presence=float(candidates.presence[0]),
    )


def _ious(common: Int64[np.ndarray, "M N"], areas: Sequence[int], others: Sequence[int]) -> list[list[float]]:
    """Of masks and others with these areas and cells in common."""
    return [
        [both / max(area + other - both, 1) for both, other in zip(row, others, strict=True)]
        for row, area in zip(common.tolist(), areas, strict=True)
    ]


def _pixels(image: Float[Tensor, "3 H W"], grid: tuple[int, int]) -> Float[np.ndarray, "3 h w"]:
    """One pixel for every cell of a grid."""
    (down, across), (height, width) = image.shape[1:], grid
    picked = image.detach()[:, :: max(down // height, 1), :: max(across // width, 1)]
    return picked.float().numpy() if picked.is_cpu else on_host(picked)
