"""A batch of training clips as the rows that a network tracks, encoded."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from framework.learning.pretraining.clips import Clips
from framework.learning.pretraining.sam2_steps import RowPyramid, encode
from framework.types import Normalisation


@dataclass(frozen=True, slots=True)
class ClipRows:
    """R = videos x objects rows, two neighbours per video, of T frames each."""

    pyramid: RowPyramid
    """Of every video and frame, video-major."""
    video: Int[Tensor, " R"]
    frames: int
    masks: Bool[Tensor, "R T H W"]
    others: Bool[Tensor, "R T H W"]
    """The object tracked by the video's other row."""
    times: Int[Tensor, "R T"]
    low: Float[Tensor, "R T h w"]
    """Coverage of every mask cell."""
    covered: Float[Tensor, "R T tokens"]

    def at(self, t: int) -> RowPyramid:
        return self.pyramid.pick(self.video * self.frames + t)

    def visible(self, t: int) -> Bool[Tensor, " R"]:
        return self.masks[:, t].flatten(1).any(1)

    @property
    def count(self) -> int:
        return len(self.video)


def clip_rows(network: SAM2Base, clips: Clips, learn: slice, half: bool) -> ClipRows:
    """Encode every frame.

    Args:
        learn: frames that keep a graph, beside frame 0.
        half: run the image encoder in bfloat16.
    """
    videos, frames = clips.images.shape[:2]
    images = Normalisation().apply(clips.images.float() / 255)  # that of the networks that are trained here
    learned = torch.zeros(frames, dtype=torch.bool)
    learned[0], learned[learn] = True, True
    parts = []
    for grad, pick in ((True, learned), (False, ~learned)):
        if pick.any():
            chosen = images[:, pick].flatten(0, 1).contiguous(memory_format=torch.channels_last)
            with (
                torch.set_grad_enabled(grad and torch.is_grad_enabled()),
                torch.autocast(images.device.type, torch.bfloat16, enabled=half),
            ):
                parts.append(encode(network, chosen))
    first = torch.arange(videos)[:, None] * frames
    order = torch.cat([(first + torch.arange(frames)[pick]).flatten() for pick in (learned, ~learned)])
    back = torch.argsort(order).to(images.device)
    pyramid = RowPyramid(
        torch.cat([p.embedding for p in parts])[back],
        torch.cat([p.half for p in parts])[back],
        torch.cat([p.quarter for p in parts])[back],
        parts[0].position,
    )
    video = torch.arange(videos, device=images.device).repeat_interleave(clips.objects.shape[1])
    owners = clips.owners[video]
    masks = owners == clips.objects.flatten()[:, None, None, None]
    others = owners == clips.objects.flip(1).flatten()[:, None, None, None]
    low = F.avg_pool2d(masks.float(), network.backbone_stride // 4)
    covered = F.avg_pool2d(masks.float(), network.backbone_stride).flatten(2)
    return ClipRows(pyramid, video, frames, masks, others, clips.times[video], low, covered)
