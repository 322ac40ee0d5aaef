"""Judges hypotheses by where their points were on earlier frames (the non-linear half of HiM2SAM)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from framework.ops.boxes import EMPTY_BOX, box_iou, foreground, mask_box
from framework.types import Normalisation
from motion.components.densities import mask_density, point_density
from motion.components.point_sampling import farthest_points, interior
from motion.components.point_trackers import LucasKanade, PointTracker, PointTracks


@dataclass(frozen=True, slots=True, eq=False)
class PastFrame:
    """An earlier frame and what was segmented on it."""

    image: Float[Tensor, "3 H W"]
    """Network input."""
    logits: Float[Tensor, "h w"]
    normalisation: Normalisation = Normalisation()
    """Of the image."""


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
        self, logits: Float[Tensor, "M h w"], image: Float[Tensor, "3 H W"], past: Sequence[PastFrame]
    ) -> tuple[float, ...]:
        """One score in 0..1 per hypothesis. `past` is newest first and not empty."""
        size = (self.grid, self.grid)
        masks = foreground(logits, size)
        union = np.bitwise_or.reduce(masks)
        patch = int(np.clip(np.trunc(np.sqrt(int(union.sum()) / np.pi) / 3.5 / 1.2), 5, 21))
        queries = self._queries(union, patch)
        if not len(queries):
            return (0.0,) * len(masks)
        past = past[: self.window]
        images = [frame.image for frame in past] if self.quirks else [image, *(frame.image for frame in past)]
        clip = past[0].normalisation.undo(torch.stack(images))
        tracks = self._tracked(clip, queries)
        x, y = np.minimum(queries.astype(int), self.grid - 1).T
        first = len(images) - len(past)
        judged = range(len(past)) if self.average else [len(past) - 1]
        earlier = {ago: mask_density(past[ago].logits, size) for ago in judged}
        bandwidth = int(0.8 * (patch - 2))
        totals = []
        for mask in masks:
            member = mask[y, x].astype(bool)
            total = 0.0
            for ago in judged:
                landed = tracks.positions[first + ago][member & tracks.visible[first + ago]]
                total += self._agreement(point_density(landed, bandwidth, self.grid), earlier[ago])
            totals.append(total / len(judged))
        return tuple(totals)

    def _queries(self, union: UInt8[np.ndarray, "H W"], patch: int) -> Float[np.ndarray, "q 2"]:
        """Points within the union, `patch` pixels wide around each; none where too little is there to be followed."""
        area = int(union.sum())
        inner = interior(union, patch) if area >= 100 else np.empty((0, 2), dtype=np.float32)
        if len(inner) < 10:
            return inner[:0]
        queries = farthest_points(inner[::6] if area > 150_000 else inner, self.samples)
        if self.quirks:
            queries = np.concatenate([queries, np.zeros((self.samples - len(queries), 2), np.float32)])
        return queries

    def _tracked(self, clip: Float[Tensor, "n 3 H W"], queries: Float[np.ndarray, "q 2"]) -> PointTracks:
        """In pixels of the grid, tracked at the size of the network input; `clip` is RGB in 0..1."""
        height, width = clip.shape[-2:]
        scale = np.array([width, height], dtype=np.float32) / self.grid
        tracks = self.points.track(clip, queries * scale)
        return PointTracks(tracks.positions / scale, tracks.visible)

    def _agreement(self, density: Float[np.ndarray, "H W"] | None, mask: Float[np.ndarray, "H W"] | None) -> float:
        if density is None or mask is None:
            return 0.0
        dice = 2 * float((density * mask).sum()) / (float(density.sum()) + float(mask.sum()) + 0.01)
        boxes = [mask_box((values > 0.1).view(np.uint8)) or EMPTY_BOX for values in (density, mask)]
        return self.dice_share * dice + (1 - self.dice_share) * box_iou(boxes[0], boxes[1])
