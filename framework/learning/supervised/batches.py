"""Rollouts as training steps of a policy that decides what to trust and what to keep."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import IterableDataset

from framework.counterfactuals import discounted
from framework.learning.supervised.rollouts import Rollout

RIGHT, WRONG, ABSENT = range(3)
"""Verdicts on a mask, in the order of the scorer's logits."""
UNKNOWN = -1
"""Where the truth is not known."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One training step: N frames to judge, D decisions between K candidates."""

    windows: Float[Tensor, "N W inputs"]
    """Evidence of the frame and of those before it, oldest first."""
    present: Bool[Tensor, "N W"]
    """False before the video began."""
    verdicts: Int[Tensor, " N"]
    candidates: Float[Tensor, "D K inputs"]
    quality: Float[Tensor, "D K"]
    """What became of the video when each candidate was given up."""

    def to(self, device: torch.device) -> "Batch":
        parts = (self.windows, self.present, self.verdicts, self.candidates, self.quality)
        return Batch(*(part.to(device) for part in parts))


class Batches(IterableDataset):
    """Batches drawn from rollouts without end; equal for equal seed and step.

    Args:
        inputs: numbers per element; evidence is filled up to them with zeros.
        right: IoU from which a mask of a visible object is right.
        horizon: frames from which it follows what a decision was worth.
        window: frames that a verdict looks back on, its own included.
    """

    def __init__(
        self,
        rollouts: Sequence[Rollout],
        inputs: int,
        right: float = 0.7,
        horizon: int = 32,
        window: int = 10,
        frames: int = 512,
        decisions: int = 64,
        seed: int = 0,
        step: int = 0,
    ) -> None:
        self.window, self.frames, self.decisions, self.seed, self.step = window, frames, decisions, seed, step
        blank = np.zeros((window - 1, inputs), dtype=np.float32)
        rows, verdicts, there = [], [], []
        for rollout in rollouts:
            for evidence, iou in zip(rollout.evidence, rollout.iou, strict=True):
                padded = np.pad(evidence, ((0, 0), (0, inputs - evidence.shape[1])))
                rows += [blank, padded]
                classes = np.where(rollout.visible, np.where(iou >= right, RIGHT, WRONG), ABSENT)
                verdicts += [np.full(window - 1, UNKNOWN), np.where(np.isnan(iou), UNKNOWN, classes)]
                there += [np.zeros(window - 1, dtype=bool), np.ones(len(iou), dtype=bool)]
        self.rows = torch.from_numpy(np.concatenate(rows))
        self.there = torch.from_numpy(np.concatenate(there))
        self.verdicts = torch.from_numpy(np.concatenate(verdicts))
        decided = [r for r in rollouts if len(r.candidates)]
        self.candidates = self.quality = None
        if decided:
            overlaps = np.concatenate([r.followed[..., :horizon] for r in decided])
            self.candidates = torch.from_numpy(np.concatenate([r.candidates for r in decided]))
            self.quality = discounted(torch.from_numpy(overlaps))

    def statistics(self) -> tuple[Float[Tensor, " inputs"], Float[Tensor, " inputs"]]:
        """Mean and deviation of every input, where it is defined."""
        parts = self.rows[self.there], self.rows[:0] if self.candidates is None else self.candidates.flatten(0, 1)
        evidence = int((self.rows != 0).any(0).nonzero().max()) + 1
        frames, held = (part.mean(0) if len(part) else None for part in parts)
        spread, held_spread = (part.std(0) if len(part) else None for part in parts)
        assert frames is not None and spread is not None
        centre, scale = frames.clone(), spread.clone()
        if held is not None and held_spread is not None:
            centre[evidence:], scale[evidence:] = held[evidence:], held_spread[evidence:]
        return centre, torch.where(scale > 1e-6, scale, 1.0)

    def at(self, ends: Int[Tensor, " N"], chosen: Int[Tensor, " D"]) -> Batch:
        """The frames that end at these rows, and these decisions."""
        index = ends[:, None] + torch.arange(1 - self.window, 1)
        inputs = self.rows.shape[1]
        none = torch.zeros(0, 1, inputs), torch.zeros(0, 1)
        decided = none if self.candidates is None or self.quality is None else (self.candidates, self.quality)
        return Batch(self.rows[index], self.there[index], self.verdicts[ends], decided[0][chosen], decided[1][chosen])

    def __iter__(self) -> Iterator[Batch]:
        known = torch.nonzero(self.verdicts != UNKNOWN)[:, 0]
        decisions, step = 0 if self.quality is None else len(self.quality), self.step
        while True:
            generator = torch.Generator().manual_seed(hash((self.seed, step)) % 2**63)
            ends = known[torch.randint(len(known), (self.frames,), generator=generator)]
            count = self.decisions if decisions else 0
            yield self.at(ends, torch.randint(max(decisions, 1), (count,), generator=generator))
            step += 1
