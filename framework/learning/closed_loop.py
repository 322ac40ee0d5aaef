"""How well a policy tracks: what learned policies are chosen by."""

from typing import Any

import numpy as np
import torch

from framework.data.sequence import DataSet
from framework.interfaces import Network
from framework.metrics.tracking import mask_iou
from framework.tracker import Tracker, lockstep
from framework.types import Frame


def quality(network: Network, policy: Any, data: DataSet) -> float:
    """Mean over videos of the mean IoU of their first object, 0..1; absent frames count as in `TrackingScores`."""
    return float(np.mean([_video(network, policy, data, index) for index in range(len(data))]))


@torch.inference_mode()
def _video(network: Network, policy: Any, data: DataSet, index: int) -> float:
    video = data.sequence(index)
    (start, given), *_ = sorted(video.prompts().items())
    key = min(given)
    stream = (Frame(video.frame(t), {key: given[key]} if t == start else {}) for t in range(start, video.length))
    found = []
    for t, results in enumerate(lockstep({"": Tracker(network, policy)}, stream, video.length), start=start):
        truth = video.truth(t).get(key)
        if t > start and truth is not None:
            found.append(mask_iou(results[""].masks()[key].cpu().numpy(), truth))
    return float(np.mean(found))
