"""What every hypothesis of a frame shows: its mask, how it looks, its colours and the network's pointer to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import tanh

import numpy as np
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from framework.ops.hypotheses import (
    ABOVE,
    AREA,
    AROUND,
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    HypothesisMasks,
    hypothesis_masks,
    intersections,
)
from framework.ops.tokens import coarse_tokens, masked_means, on_host
from framework.ops.vectors import moving_average, unit
from framework.types import Candidates, Features
from motion.components.boxes import Corners
from motion.features.kernels import colours, cover


@dataclass(frozen=True, slots=True, eq=False)
class HypothesisAppearance:
    """Unit vectors on the host; zero where there is nothing."""

    look: Float[np.ndarray, " C"]
    """Mean image feature under the mask, less the mean of the image."""
    pointer: Float[np.ndarray, " D"]
    colours: Float[np.ndarray, " colours"]
    """Square roots of a histogram of chromaticities, so that a product is the Bhattacharyya coefficient."""

    def blend(self, now: "HypothesisAppearance", share: float) -> "HypothesisAppearance":
        """Moved by `share` towards `now`."""
        pairs = (self.look, now.look), (self.pointer, now.pointer), (self.colours, now.colours)
        return HypothesisAppearance(*(moving_average(mean, new, share) for mean, new in pairs))


@dataclass(frozen=True, slots=True, eq=False)
class MaskFeatures:
    """What one mask shows, in cells of the mask-logit grid."""

    mask: UInt8[np.ndarray, "h w"]
    """0 and 1."""
    area: int
    box: Corners | None
    appearance: HypothesisAppearance


@dataclass(frozen=True, slots=True, eq=False)
class HypothesisFeatures:
    """What every hypothesis of one frame shows, in cells of the mask-logit grid."""

    masks: HypothesisMasks
    areas: tuple[int, ...]
    boxes: tuple[Corners | None, ...]
    stability: tuple[float, ...]
    """Cells above logit 1 over those above -1."""
    sharpness: tuple[float, ...]
    """Mean logit inside, squashed to 0..1."""
    ious: tuple[tuple[float, ...], ...]
    """Of each hypothesis with each other one."""
    looks: Float[np.ndarray, "M C"]
    """See `HypothesisAppearance`."""
    pointers: Float[np.ndarray, "M D"]
    colours: Float[np.ndarray, "M colours"]

    def ious_with(self, others: Sequence[MaskFeatures]) -> list[list[float]]:
        """IoU of each hypothesis with each of the masks of other frames."""
        if not others:
            return [[] for _ in self.areas]
        common = intersections(self.masks.binary, self.masks.counts, np.stack([other.mask for other in others]))
        return _ious(common, self.areas, [one.area for one in others])

    def similarity(self, known: HypothesisAppearance) -> tuple[list[float], list[float], list[float]]:
        """Cosine of each hypothesis's look, pointer and colours with those that are known."""
        return (
            (self.looks @ known.look).tolist(),
            (self.pointers @ known.pointer).tolist(),
            (self.colours @ known.colours).tolist(),
        )

    def mask(self, index: int) -> MaskFeatures:
        """A hypothesis by itself."""
        appearance = HypothesisAppearance(self.looks[index], self.pointers[index], self.colours[index])
        return MaskFeatures(self.masks.binary[index], self.areas[index], self.boxes[index], appearance)


def describe(candidates: Candidates, features: Features) -> HypothesisFeatures:
    """Every hypothesis of the first row."""
    masks, tokens = hypothesis_masks(candidates), coarse_tokens(features.query.embedding)
    binary, counts = masks.binary, masks.counts
    found, sums = counts.tolist(), masks.sums.tolist()
    mean, deviation = np.array((features.normalisation.mean, features.normalisation.deviation), np.float32)
    areas = [one[AREA] for one in found]
    boxes = tuple(
        (float(one[LEFT]), float(one[TOP]), one[RIGHT] - 1.0, one[BOTTOM] - 1.0) if one[AREA] else None for one in found
    )
    return HypothesisFeatures(
        masks=masks,
        areas=tuple(areas),
        boxes=boxes,
        stability=tuple(one[ABOVE] / max(one[AROUND], 1) for one in found),
        sharpness=tuple(tanh(total / max(one[AREA], 1) / 8) for one, total in zip(found, sums, strict=True)),
        ious=tuple(map(tuple, _ious(masks.common, areas, areas))),
        looks=masked_means(tokens, cover(binary, counts, *tokens.shape[1:])),
        pointers=unit(on_host(candidates.pointers[0])),
        colours=colours(_pixels(features.image, binary.shape[1:]), binary, counts, mean, deviation),
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
