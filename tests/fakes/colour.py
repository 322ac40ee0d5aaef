"""A network that follows a colour: quick, and right about a plain object on a plain ground.

And clips for it to track: a coloured square that moves over a grey ground.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from framework.types import Candidates, Features, Prompt, Query, Read
from tests.fakes.network import PROMPT_LOGIT, FakeNetwork, prompted_mask

GRID = 32
RED = (220, 40, 30)
BLUE = (30, 60, 220)


def square(
    index: int, size: tuple[int, int] = (48, 64), colour: tuple[int, int, int] = RED, side: int = 16
) -> np.ndarray:
    """Frame of a clip: a square whose left edge is at 2 * index, on grey."""
    picture = np.full((*size, 3), 128, np.uint8)
    left = 2 * index % (size[1] - side)
    picture[16 : 16 + side, left : left + side] = colour
    return picture


def square_mask(index: int, size: tuple[int, int] = (48, 64), side: int = 16) -> np.ndarray:
    """Where the square is."""
    return (square(index, size, RED, side) == RED).all(axis=-1)


def write_folder(path: Path, frames: int = 6, suffix: str = ".png") -> Path:
    """The clip as a folder of images that need natural sorting."""
    path.mkdir(parents=True)
    for index in range(frames):
        Image.fromarray(square(index)).save(path / f"frame{index}{suffix}", quality=95)
    return path


def write_video(
    path: Path, frames: int = 12, rotation: int = 0, codec: str = "mpeg4", gop: int = 4, faststart: bool = True
) -> Path:
    """The clip as a video file."""
    with av.open(str(path), "w", options={"movflags": "faststart"} if faststart else {}) as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate, stream.gop_size = (
            48,
            64,
            "yuv420p",
            4_000_000,
            gop,
        )
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(square(index), format="rgb24")))
        container.mux(stream.encode())
    return path


@dataclass(frozen=True)
class ColourNetwork(FakeNetwork):
    """An object is whatever has the mean colour of its memories."""

    tolerance: float = 0.25

    def encode(self, image: np.ndarray, frame: int, length: int | None) -> Features:
        small = cv2.resize(image, (GRID, GRID), interpolation=cv2.INTER_AREA)
        picture = torch.from_numpy(small).permute(2, 0, 1).float() / 255
        query = Query(frame, picture[:, ::4, ::4], length)
        return Features(query, picture, None, (image.shape[0], image.shape[1]))

    def condition(self, features: Features, reads: Sequence[Read]) -> Tensor:
        rows = []
        for read in reads:
            colours = [entry.features for entry, _ in read.spatial]
            rows.append(torch.stack(colours).mean(dim=0) if colours else torch.full((3,), 9.0))
        return torch.stack(rows)[:, :, None, None].expand(-1, -1, *features.query.embedding.shape[-2:])

    def decode(self, features: Features, conditioned: Tensor, presence_threshold: Tensor) -> Candidates:
        logits = torch.stack([self._near(features, row[:, 0, 0]) for row in conditioned])[:, None].repeat(1, 3, 1, 1)
        presence = torch.where((logits[:, 0] > 0).flatten(1).any(dim=1), 5.0, -5.0)
        iou = torch.tensor([0.9, 0.5, 0.4]).repeat(len(logits), 1)
        pointers = conditioned[:, :, 0, 0][:, None].repeat(1, 3, 1)
        return self.tracked(logits, iou, pointers, presence, presence_threshold)

    def prompt(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        conditioned: Tensor | None = None,
        previous: Tensor | None = None,
    ) -> Candidates:
        height, width = features.video_size
        rows = []
        for prompt in prompts:
            mask = prompted_mask(prompt, features.video_size)
            if mask is not None:
                small = cv2.resize(mask.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
                rows.append((2 * torch.from_numpy(small) - 1) * PROMPT_LOGIT)
            else:
                x, y = prompt.points[0]
                rows.append(self._near(features, features.image[:, int(y / height * GRID), int(x / width * GRID)]))
        return self.prompted(torch.stack(rows), torch.zeros(len(rows), 1, 3))

    def memorise(self, features: Features, logits: Tensor, presence: Tensor, prompted: Tensor) -> list[Tensor]:
        weights = (logits > 0).float()
        total = weights.flatten(1).sum(dim=1).clamp(min=1)
        return list(torch.einsum("rhw,chw->rc", weights, features.image) / total[:, None])

    def _near(self, features: Features, colour: Tensor) -> Tensor:
        distance = (features.image - colour[:, None, None]).norm(dim=0)
        return 40 * (self.tolerance - distance)
