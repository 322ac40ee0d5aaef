"""Judges hypotheses by where their points were on earlier frames (the non-linear half of HiM2SAM)."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from framework.types import IMAGE_DEVIATION, IMAGE_MEAN, Size
from motion.components.boxes import NOWHERE, corners, foreground, overlap
from motion.components.point_trackers import LucasKanade, PointTracker, PointTracks

_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
"""A density below half of this is 0 in float32; the published clip level depends on where that is."""


@dataclass(frozen=True, slots=True, eq=False)
class Glimpse:
    """An earlier frame and what was segmented on it."""

    image: Float[Tensor, "3 H W"]
    """Network input, normalised."""
    logits: Float[Tensor, "h w"]


@dataclass(frozen=True)
class PointRefinement:
    """Tracks points of the hypotheses backwards in time and compares where they land with the earlier masks.

    Points of a hypothesis that are still visible on an earlier frame are spread to a density (Gaussian kernel); the
    score is ``dice_share`` x soft dice of density and mask + (1 - dice_share) x IoU of their boxes, on the oldest of
    `window` frames, or the mean over all of them if `average`. All lengths and areas are pixels of a `grid` x `grid`
    image, 1024 as published, whatever the network input is. Nothing can be said (scores are 0) about a union of
    hypotheses below 100 pixels.

    Corrected here and published with ``quirks=True``:

    * the clip starts at the previous frame, where points of the current frame are placed; here at the current frame;
    * with fewer than `samples` points the rest are queries at (0, 0); here there are fewer queries.

    Not reproduced: the published score is NaN, and wins, when all visible points lie far outside the image.
    """

    points: PointTracker = LucasKanade()
    window: int = 5
    samples: int = 100
    dice_share: float = 0.7
    average: bool = False
    grid: int = 1024
    quirks: bool = False

    def __post_init__(self) -> None:
        if min(self.window, self.samples) < 1 or self.grid < 32 or not 0 <= self.dice_share <= 1:
            raise ValueError("point refinement needs window, samples >= 1, grid >= 32 and 0 <= dice_share <= 1")

    def scores(
        self, logits: Float[Tensor, "M h w"], image: Float[Tensor, "3 H W"], past: Sequence[Glimpse]
    ) -> tuple[float, ...]:
        """One score in 0..1 per hypothesis. `past` is newest first and not empty."""
        size = (self.grid, self.grid)
        masks = foreground(logits, size)
        union = np.bitwise_or.reduce(masks)
        area = int(union.sum())
        patch = int(np.clip(np.trunc(np.sqrt(area / np.pi) / 3.5 / 1.2), 5, 21))
        inner = _interior(union, patch) if area >= 100 else np.empty((0, 2), dtype=np.float32)
        if len(inner) < 10:
            return (0.0,) * len(masks)
        queries = _spread_out(inner[::6] if area > 150_000 else inner, self.samples)
        if self.quirks:
            queries = np.concatenate([queries, np.zeros((self.samples - len(queries), 2), np.float32)])
        past = past[: self.window]
        images = [glimpse.image for glimpse in past] if self.quirks else [image, *(glimpse.image for glimpse in past)]
        trails = self._tracked(images, queries)
        x, y = np.minimum(queries.astype(int), self.grid - 1).T
        first = len(images) - len(past)
        judged = range(len(past)) if self.average else [len(past) - 1]
        shown = {ago: _soft_mask(past[ago].logits, size) for ago in judged}
        bandwidth = int(0.8 * (patch - 2))
        totals = []
        for mask in masks:
            member = mask[y, x].astype(bool)
            total = 0.0
            for ago in judged:
                landed = trails.positions[first + ago][member & trails.visible[first + ago]]
                total += self._agreement(_density(landed, bandwidth, self.grid), shown[ago])
            totals.append(total / len(judged))
        return tuple(totals)

    def _tracked(self, images: Sequence[Float[Tensor, "3 H W"]], queries: Float[np.ndarray, "q 2"]) -> PointTracks:
        """PointTracks in pixels of the grid, tracked at the size of the network input."""
        height, width = images[0].shape[-2:]
        scale = np.array([width, height], dtype=np.float32) / self.grid
        trails = self.points.track(_clip(images), queries * scale)
        return PointTracks(trails.positions / scale, trails.visible)

    def _agreement(self, density: Float[np.ndarray, "H W"] | None, mask: Float[np.ndarray, "H W"] | None) -> float:
        if density is None or mask is None:
            return 0.0
        dice = 2 * float((density * mask).sum()) / (float(density.sum()) + float(mask.sum()) + 0.01)
        boxes = [corners((values > 0.1).view(np.uint8)) or NOWHERE for values in (density, mask)]
        return self.dice_share * dice + (1 - self.dice_share) * overlap(boxes[0], boxes[1])


def _interior(mask: UInt8[np.ndarray, "H W"], size: int) -> Float[np.ndarray, "n 2"]:
    """Pixels (x, y) whose size x size neighbourhood is foreground, in raster order; outside the image all is.

    An even neighbourhood lies half a pixel off, so there is one more row and column of them.
    """
    even = 1 - size % 2
    padded = cv2.copyMakeBorder(mask, 0, even, 0, even, cv2.BORDER_CONSTANT, value=1)
    eroded = cv2.erode(padded, np.ones((size, size), np.uint8), anchor=(size // 2, size // 2))
    y, x = np.nonzero(eroded)
    return np.stack([x, y], axis=1).astype(np.float32)


def _spread_out(points: Float[np.ndarray, "n 2"], count: int) -> Float[np.ndarray, "q 2"]:
    """Farthest-point sampling from the first point on."""
    x, y = np.ascontiguousarray(points.T)
    chosen = [0]
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    dx, dy = np.empty_like(nearest), np.empty_like(nearest)
    for _ in range(min(count, len(points)) - 1):
        np.subtract(x, x[chosen[-1]], out=dx)
        np.subtract(y, y[chosen[-1]], out=dy)
        np.multiply(dx, dx, out=dx)
        np.multiply(dy, dy, out=dy)
        np.add(dx, dy, out=dx)
        np.minimum(nearest, dx, out=nearest)
        chosen.append(int(nearest.argmax()))
    return points[chosen]


def _clip(images: Sequence[Float[Tensor, "3 H W"]]) -> Float[Tensor, "n 3 H W"]:
    """RGB in 0..1."""
    clip = torch.stack(list(images))
    mean, deviation = (clip.new_tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_DEVIATION))
    return torch.addcmul(mean, clip, deviation, out=clip)


def _density(points: Float[np.ndarray, "n 2"], bandwidth: int, grid: int) -> Float[np.ndarray, "H W"] | None:
    """Kernel density on the grid, clipped, scaled to 0..1 and cut at 0.4; None for fewer than 10 points.

    The kernel is a product of one in x and one in y, so the sum over points is one matrix product.
    """
    if len(points) < 10:
        return None
    at = np.linspace(0, grid, grid)
    x, y = (np.exp(-((at[:, None] - points[:, axis].astype(float)) ** 2) / (2 * bandwidth**2)) for axis in (0, 1))
    density = y @ x.T / (len(points) * 2 * np.pi * bandwidth**2)
    positive = density[density > _SMALLEST / 2]
    if len(positive) < 2:
        return None
    density = np.minimum(density, positive.mean() + 2 * positive.std(ddof=1))
    density /= density.max()
    density[density < 0.4] = 0
    return density


def _soft_mask(logits: Float[Tensor, "h w"], size: Size) -> Float[np.ndarray, "H W"] | None:
    """Logits of the foreground scaled to 0..1; None for an empty mask."""
    values = cv2.resize(logits.detach().float().cpu().numpy(), size[::-1], interpolation=cv2.INTER_LINEAR)
    values = np.where(values < 0.15, 0, values).astype(float)
    return None if values.sum() < 0.1 else values / (values.max() + 1e-5)
