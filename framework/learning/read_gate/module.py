"""Training of a read gate through the tracking loop itself, by way of the memory attention of a frozen network."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor, nn

from framework.data.sequence import VideoSequence
from framework.defaults import NoMotion
from framework.errors import InputError
from framework.interfaces import MemoryPolicy, MotionModel, Network
from framework.learning.losses import LossTerms, mask_loss, quality_loss
from framework.learning.read_gate.clips import VideoClip
from framework.learning.read_gate.detach import detached
from framework.learning.supervised.closed_loop import gradient_norm, track
from framework.metrics.tracking import mask_iou
from framework.tracker import Tracker
from framework.types import Features, Track

CLEAR = 3.0
"""Mask cells from which an object counts as visible; a sliver is neither visible nor absent."""


class TrainableReadGate(Protocol):
    """The policy that learns, a `MemoryPolicy` and a dataclass."""

    @property
    def gate(self) -> nn.Module:
        """Gives the bias; its gradient arrives through `Read.bias`."""

    @property
    def budget(self) -> int | None:
        """None: all memories are read, biased; a number: so many are read, unbiased."""


@dataclass(frozen=True, slots=True)
class ReadGateLossWeights:
    """Weight of each loss."""

    mask: float = 1.0
    best: float = 0.3
    """Share of the best hypothesis, beside the chosen one."""
    iou: float = 0.1
    presence: float = 0.5
    budget: float = 0.2
    """Of the share of the gate's weight outside its budget, reached linearly over the training."""


class ReadGateTraining(pl.LightningModule):
    """Unrolls the tracker on clips; only what comes after the burn-in has a graph, of `window` frames at a time.

    Validation tracks whole videos in closed loop with all memories (soft) and, if there is a `budget`, with so many of
    them (hard), and with the gate as it was at the start. Its quality `val/J` is the mean of soft and hard.

    Args:
        network: frozen.
        policy: see `TrainableReadGate`; reads everything (its budget is None).
        budget: memories a hard gate may read; None trains a soft one alone.
        rate: learning rate.
        steps: steps of the whole training, over which the budget's weight grows.
        window: frames through which the gradient flows back.
        presence_threshold: object-score logit, as the tracker's.
        motion: chooses among the hypotheses.
        followed: IoU on the first frame after the burn-in below which an object is not learned from. The gradient of
            one that is lost asks for the prompt at any price, and a gate that grants it jumps to look-alikes.
    """

    def __init__(
        self,
        network: Network,
        policy: MemoryPolicy,
        budget: int | None = 7,
        rate: float = 1e-3,
        steps: int = 1000,
        window: int = 8,
        decay: float = 0.01,
        presence_threshold: float = 0.0,
        weights: ReadGateLossWeights | None = None,
        motion: MotionModel | None = None,
        followed: float = 0.3,
    ) -> None:
        super().__init__()
        trainable = cast(TrainableReadGate, policy)
        if getattr(policy, "budget", 0) is not None:
            raise InputError(
                "the read gate is trained in a policy with a gate and budget=null, such as learned_read_gate"
            )
        if (budget is not None and budget < 1) or steps < 1 or window < 1:
            raise InputError("the read gate needs budget, steps and window of 1 or more")
        self.learned = trainable.gate.requires_grad_(True)
        """What the checkpoint is written of."""
        self.budget, self.rate, self.steps, self.window, self.decay = budget, rate, steps, window, decay
        self.followed = followed
        self.weights = weights or ReadGateLossWeights()
        self.tracker = Tracker(network, policy, motion or NoMotion(), presence_threshold=presence_threshold)
        start = copy.deepcopy(trainable.gate).requires_grad_(False)
        changes: dict[str, dict[str, Any]] = {"soft": {}, "soft at start": {"gate": start}}
        if budget is not None:
            changes |= {"hard": {"budget": budget}, "hard at start": {"gate": start, "budget": budget}}
        self.variants = {
            name: replace(self.tracker, policy=replace(policy, **change))  # type: ignore[type-var]
            for name, change in changes.items()
        }
        self.known: dict[int, dict[str, float]] = {}  # video -> quality of the gate as it was at the start

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.learned.parameters(), lr=self.rate, weight_decay=self.decay)

    # ------------------------------------------------------------------ one clip

    def training_step(self, batch: VideoClip, batch_idx: int) -> Tensor:
        tracker, network, terms = self.tracker, self.tracker.network, LossTerms()
        state, lost = tracker.init(), set[int]()
        for index, image in enumerate(batch.images):
            learned = index - batch.burn_in
            if learned >= 0 and learned % self.window == 0:
                state = detached(state)
            with torch.set_grad_enabled(learned >= 0):
                features = network.encode(image, index, None)
                if learned >= 0:
                    self._gate_losses([branches[0].memory for branches in state.objects.values()], features, terms)
                state, result = tracker.step(state, features, batch.prompts if index == 0 else {})
            if learned == 0:
                lost = {key for key, mask in batch.truth[0].items() if self._lost(result.tracks[key], mask)}
            if learned >= 0:
                for key, mask in batch.truth[learned].items():
                    if key not in lost:
                        self._object_losses(result.tracks[key], torch.from_numpy(mask), terms)
        means, weights = terms.means(), self.weights
        grown = min(self.global_step / self.steps, 1.0)
        share = {
            "mask": weights.mask,
            "best": weights.mask * weights.best,
            "iou": weights.iou,
            "presence": weights.presence,
            "left_out": weights.budget * grown,
        }
        no_loss = sum((p.sum() * 0 for p in self.learned.parameters()), torch.zeros(()))
        loss = sum((share[name] * value for name, value in means.items() if name in share), no_loss)
        self.log_dict({f"train/{name}": value.detach() for name, value in means.items()}, batch_size=1)
        self.log("train/loss", loss.detach(), batch_size=1)
        return loss

    def _lost(self, track: Track, truth: Bool[np.ndarray, "Hv Wv"]) -> bool:
        """Whether the tracker does not follow an object that is there."""
        size = truth.shape[0], truth.shape[1]
        return bool(truth.any()) and mask_iou(track.mask(size).cpu().numpy(), truth) < self.followed

    def _gate_losses(self, memories: list[Any], features: Features, terms: LossTerms) -> None:
        """What the gate says on this frame, and how much of it a hard one would leave out."""
        for memory in memories:
            read = self.tracker.policy.read(memory, features.query)
            if read.bias is None:
                continue
            bias = read.bias[: len(read.spatial)]
            if self.budget is not None:
                terms.add("left_out", 1 - bias.softmax(0).topk(min(self.budget, len(bias))).values.sum())
            terms.add("bias/lowest", bias.detach().min())
            terms.add("bias/highest", bias.detach().max())
            terms.add("bias/spread", bias.detach().std(correction=0))

    def _object_losses(self, track: Track, truth: Bool[Tensor, "Hv Wv"], terms: LossTerms) -> None:
        """Losses of one object on one frame. A row that was found absent has no mask left to learn from."""
        found = track.candidates
        assert found is not None
        height, width = found.logits.shape[-2:]
        covered = F.adaptive_avg_pool2d(truth[None].float(), (height, width)).to(found.logits.device)
        clear = bool(covered.sum() >= CLEAR)
        if not clear and truth.any():
            return
        visible = torch.tensor([clear], device=found.presence.device)
        terms.presence.append((found.presence, visible, torch.ones_like(visible)))
        if clear and track.scores.presence > self.tracker.presence_threshold:
            loss = mask_loss(found.logits, covered, balance=0.0)[0]
            terms.add("mask", loss[track.choice])
            terms.add("best", loss.min())
            terms.add("iou", quality_loss(found.iou, found.logits, covered)[0, track.choice])

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.log("train/gradient", gradient_norm(self.learned), batch_size=1)

    # ------------------------------------------------------------------ whole videos, closed loop

    definitions: ClassVar[Mapping[str, str]] = {
        "J": "mean of soft and hard",
        "soft": "mean IoU over the tracked frames of the validation videos, all memories read with their weights",
        "hard": "the same, the budget's highest weighted memories read alone",
        "soft_minus_initial": "soft minus that of the gate before training",
        "hard_minus_initial": "hard minus that of the gate before training",
    }

    def validation_step(self, batch: VideoSequence, batch_idx: int) -> None:
        known = self.known.get(batch_idx, {})
        quality = {**known, **track({name: self.variants[name] for name in self.variants if name not in known}, batch)}
        self.known[batch_idx] = {name: value for name, value in quality.items() if name.endswith("start")}
        ways = [name for name in quality if f"{name} at start" in quality]
        for name in ways:
            self.log(f"val/{name}", quality[name], batch_size=1, sync_dist=True)
            difference = quality[name] - quality[f"{name} at start"]
            self.log(f"val/{name}_minus_initial", difference, batch_size=1, sync_dist=True)
        self.log("val/J", float(np.mean([quality[name] for name in ways])), batch_size=1, sync_dist=True)
