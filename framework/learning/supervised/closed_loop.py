"""How well trackers do while their parts are trained."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from framework.data.sequence import VideoSequence
from framework.metrics.tracking import mask_iou
from framework.tracker import Tracker, lockstep
from framework.types import Frame

VALIDATION_J = "mean IoU over the tracked frames of the validation videos, tracked with what was learned"


def gradient_norm(module: nn.Module) -> Tensor:
    """Of all its parameters together."""
    return torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm()


def track(trackers: Mapping[str, Tracker], video: VideoSequence) -> dict[str, float]:
    """Mean IoU of each tracker over the tracked frames of a video, 0..1; absent frames count as in `jaccard`."""
    prompts = video.prompts()
    frames = (Frame(video.frame(index), prompts.get(index, {})) for index in range(video.length))
    scores: dict[str, list[float]] = {name: [] for name in trackers}
    for index, results in enumerate(lockstep(trackers, frames, video.length)):
        truth = video.truth(index)
        for name, result in results.items():
            for key, mask in result.masks().items():
                if key in truth and key not in prompts.get(index, {}):
                    scores[name].append(mask_iou(mask.cpu().numpy(), truth[key]))
    return {name: float(np.mean(values)) for name, values in scores.items()}
