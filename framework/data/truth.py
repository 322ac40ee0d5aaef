"""What is known of one frame of a video, and how a prediction compares with it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from framework.data.sequence import BoxedSequence, VideoSequence
from framework.metrics.tracking import box_iou, mask_iou
from framework.types import Box


@dataclass(frozen=True, slots=True)
class Truth:
    """Masks, or boxes where there are none."""

    masks: Mapping[int, np.ndarray]
    boxes: Mapping[int, Box | None]

    @classmethod
    def of(cls, video: VideoSequence, index: int) -> "Truth":
        return cls(video.truth(index), video.truth_boxes(index) if isinstance(video, BoxedSequence) else {})

    def on(self, device: torch.device) -> dict[int, Tensor]:
        """The masks as tensors."""
        return {key: torch.from_numpy(mask).to(device) for key, mask in self.masks.items()}

    def compare(self, key: int, mask: np.ndarray, box: Box | None) -> tuple[float, bool] | None:
        """IoU of a prediction, and whether the object is visible; None where the truth is not known."""
        if key in self.masks:
            return mask_iou(mask, self.masks[key]), bool(self.masks[key].any())
        if key in self.boxes:
            return box_iou(box, self.boxes[key]), self.boxes[key] is not None
        return None
