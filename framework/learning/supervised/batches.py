"""Rollouts as training steps of a policy that decides which frames to trust."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import IterableDataset

from framework.learning.supervised.rollouts import Rollout

RIGHT, WRONG, ABSENT = range(3)
"""Classes of masks, in the order of the classifier's logits."""
UNKNOWN = -1
"""Where the truth is not known."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One training step: N frames to classify."""

    windows: Float[Tensor, "N W inputs"]
    """Features of the frame and of those before it, oldest first."""
    present: Bool[Tensor, "N W"]
    """False before the video began."""
    labels: Int[Tensor, " N"]

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.windows.to(device), self.present.to(device), self.labels.to(device))


class Batches(IterableDataset):
    """Batches drawn from rollouts without end; equal for equal seed and step.

    Args:
        right: IoU from which a mask of a visible object is right.
        window: frames that a label is predicted from, its own included.
    """

    def __init__(
        self,
        rollouts: Sequence[Rollout],
        right: float = 0.7,
        window: int = 10,
        frames: int = 512,
        seed: int = 0,
        step: int = 0,
    ) -> None:
        self.window, self.frames, self.seed, self.step = window, frames, seed, step
        rows, labels, present = [], [], []
        for rollout in rollouts:
            for features, iou in zip(rollout.features, rollout.iou, strict=True):
                rows += [np.zeros((window - 1, features.shape[1]), dtype=np.float32), features]
                classes = np.where(rollout.visible, np.where(iou >= right, RIGHT, WRONG), ABSENT)
                labels += [np.full(window - 1, UNKNOWN), np.where(np.isnan(iou), UNKNOWN, classes)]
                present += [np.zeros(window - 1, dtype=bool), np.ones(len(iou), dtype=bool)]
        self.rows = torch.from_numpy(np.concatenate(rows))
        self.present = torch.from_numpy(np.concatenate(present))
        self.labels = torch.from_numpy(np.concatenate(labels))

    def statistics(self) -> tuple[Float[Tensor, " inputs"], Float[Tensor, " inputs"]]:
        """Mean and deviation of every input; a deviation of 0 counts as 1."""
        rows = self.rows[self.present]
        scale = rows.std(0)
        return rows.mean(0), torch.where(scale > 1e-6, scale, 1.0)

    @property
    def known(self) -> Int[Tensor, " N"]:
        """Rows whose label is known."""
        return torch.nonzero(self.labels != UNKNOWN)[:, 0]

    def at(self, ends: Int[Tensor, " N"]) -> Batch:
        """The frames that end at these rows."""
        index = ends[:, None] + torch.arange(1 - self.window, 1)
        return Batch(self.rows[index], self.present[index], self.labels[ends])

    def __iter__(self) -> Iterator[Batch]:
        known, step = self.known, self.step
        while True:
            generator = torch.Generator().manual_seed(hash((self.seed, step)) % 2**63)
            yield self.at(known[torch.randint(len(known), (self.frames,), generator=generator)])
            step += 1
