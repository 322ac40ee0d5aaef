"""Training of a small part of a tracker on records, judged by how well the tracker does with it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from framework.data.sequence import DataSet, VideoSequence
from framework.errors import InputError
from framework.interfaces import Network
from framework.learning.supervised.cached import TrackerParts
from framework.metrics.tracking import mask_iou
from framework.tracker import Tracker, lockstep
from framework.types import Frame


class ClosedLoopTraining(pl.LightningModule, ABC):
    """Validation has two loaders (`framework.learning.supervised.rounds.Rounds`): records that are not trained on, and
    the closed loop, whose mean IoU `val/J` (0..1) is what a training is chosen by.

    Args:
        parts: what tracks the validation videos, the part that learns included.
        network: frozen.
        validation: videos that are tracked.
        rate: highest learning rate, falling to 0 over the training.
        decay: of the weights.

    Raises:
        InputError: a rate or decay that nothing can be learned with.
    """

    def __init__(self, parts: TrackerParts, network: Network, validation: DataSet, rate: float, decay: float) -> None:
        if not 0 < rate < math.inf or not 0 <= decay < math.inf:
            raise InputError(f"learning needs a rate above 0 and a decay of 0 or more, not {rate} and {decay}")
        super().__init__()
        self._trackers = {"": parts.on(network)}  # in a mapping, or their weights would become part of this module
        self.validation, self.rate, self.decay = validation, rate, decay

    @property
    @abstractmethod
    def trainable(self) -> nn.Module:
        """The module whose parameters are trained."""

    @abstractmethod
    def losses(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and numbers to log."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.trainable.parameters(), lr=self.rate, weight_decay=self.decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):  # so that a resumed run drops the same units
            torch.manual_seed(torch.initial_seed() + self.global_step)
            loss, found = self.losses(batch)
        self.log_dict({f"train/{name}": value for name, value in found.items()}, batch_size=1)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.log("train/gradient", gradient_norm(self.trainable), batch_size=1)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if dataloader_idx == 0:
            _, found = self.losses(batch)
            self.log_dict({f"val/{n}": v for n, v in found.items()}, batch_size=1, add_dataloader_idx=False)
            return
        videos = (self.validation.sequence(index) for index in range(len(self.validation)))
        with torch.inference_mode():
            reached = [track(self._trackers, video)[""] for video in videos]
        self.log("val/J", float(np.mean(reached)), batch_size=1, add_dataloader_idx=False)


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
