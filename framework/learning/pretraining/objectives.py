"""What a network is pretrained towards on a clip: prompts that are answered, objects tracked, memories read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from framework.learning.losses import (
    LossTerms,
    best_hypothesis_loss,
    mask_loss,
    presence_loss,
    quality_loss,
    reading_loss,
)
from framework.learning.pretraining.clip_rows import ClipRows
from framework.learning.pretraining.memory_augmentation import SlottedMemories, known_logits
from framework.learning.pretraining.sam2_steps import Decoded, RowMemories, condition, decode, memorise, object_pointer
from framework.masks import iou

CLEAR = 3
"""Mask cells from which an object counts as visible; a sliver is neither visible nor absent."""
CLICKABLE = 16
"""Pixels from which box and point prompts are drawn on an object."""
LOOSE = 4.0
"""Pixels by which a loose box is off at most."""
FAR = 1000
"""Frames by which a prompt's pointer is aged at most: videos are far longer than clips."""


@dataclass(frozen=True, slots=True)
class PretrainingLossWeights:
    """Weight of each loss."""

    mask: float = 1.0
    hypotheses: float = 0.06
    """Of the mean over a frame's hypotheses, beside the best of them."""
    iou: float = 0.5
    presence: float = 0.5
    reading: float = 1.0
    prompt: float = 0.5
    even: float = 1.0
    """Share of the cross-entropy of masks in which object and background weigh the same, at the start; it falls to .15.
    Less than 1 spares a network that draws masks already."""

    def balance(self, progress: float) -> float:
        """`even` as it stands at this part of the training, 0..1."""
        return max(self.even - 1.6 * progress, 0.15)

    def total(self, means: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the terms that are losses; others are only logged."""
        share = {
            "mask": self.mask,
            "iou": self.iou,
            "presence": self.presence,
            "prompted": 0.2 * self.presence,
            "reading": self.reading,
            "box": self.prompt,
            "point": self.prompt,
        }
        return sum((share[name] * value for name, value in means.items() if name in share), torch.zeros(()))


@dataclass(frozen=True, slots=True)
class Objectives:
    """Those of one step: what the network computes on a clip, its losses gathered in `terms`.

    Args:
        progress: of the training, 0..1.
        clicks: probability that box and point prompts are trained too.
        rng: of the step.
    """

    network: SAM2Base
    weights: PretrainingLossWeights
    progress: float
    clicks: float
    rng: np.random.Generator
    terms: LossTerms

    def prompt(self, clip: ClipRows) -> RowMemories:
        """The memory of the mask prompt on frame 0; box and point prompts are trained on the way."""
        network, pyramid, mask, visible = self.network, clip.at(0), clip.masks[:, 0], clip.visible(0)
        features = memorise(network, pyramid, known_logits(mask), visible)
        token = torch.zeros(clip.count, dtype=torch.long, device=mask.device)
        decoded = decode(network, pyramid, pyramid.embedding, mask=mask.float()[:, None])
        self.terms.add("prompted", presence_loss(decoded.presence, visible))
        if self.rng.random() < self.clicks:
            self.click(clip, int(self.rng.choice([0, clip.frames - 1])))
        pointer = object_pointer(network, decoded, token, visible)
        return RowMemories(features, pointer, clip.covered[:, 0], clip.times[:, 0])

    def click(self, clip: ClipRows, t: int) -> None:
        """Box and point prompts on the objects visible in frame `t`."""
        shown = torch.nonzero(clip.masks[:, t].flatten(1).sum(1) >= CLICKABLE)[:, 0]
        if len(shown) == 0:
            return
        pyramid, truth = clip.at(t).pick(shown), clip.low[shown, t]
        corners, points = self._draw_prompts(clip.masks[shown, t])
        boxed = torch.tensor([[2, 3]], dtype=torch.int32, device=truth.device).expand(len(shown), 2)
        without_memory = pyramid.embedding + self.network.no_mem_embed.view(1, -1, 1, 1)

        answer, one = decode(self.network, pyramid, without_memory, corners, boxed), slice(0, 1)
        self.terms.add("box", mask_loss(answer.logits[:, one], truth, self._balance).mean())
        self.terms.add("iou", quality_loss(answer.iou[:, one], answer.logits[:, one], truth).mean())
        seen = torch.ones(len(shown), dtype=torch.bool, device=truth.device)
        self.terms.add("prompted", presence_loss(answer.presence, seen))

        answer = decode(self.network, pyramid, without_memory, points, torch.ones_like(boxed[:, :1]))
        many = slice(1, None)
        loss = mask_loss(answer.logits[:, many], truth, self._balance)
        self.terms.add("point", best_hypothesis_loss(loss, self.weights.hypotheses).mean())
        self.terms.add("iou", quality_loss(answer.iou[:, many], answer.logits[:, many], truth).mean())

    def _draw_prompts(self, masks: Bool[Tensor, "N H W"]) -> tuple[Float[Tensor, "N 2 2"], Float[Tensor, "N 1 2"]]:
        """Corners of a box, tight or loose, and a point inside, for every mask; (x, y) in pixels."""
        rng, boxes, points = self.rng, [], []
        for mask in masks.cpu().numpy():
            y, x = np.nonzero(mask)
            box = np.array([[x.min(), y.min()], [x.max() + 1, y.max() + 1]], np.float32)
            loose = 0.1 * (box[1] - box[0]) * rng.normal(0, 1, (2, 2)) * (rng.random() < 0.5)
            boxes.append(box + np.clip(loose, -LOOSE, LOOSE))
            pick = int(rng.integers(len(x)))
            points.append([[float(x[pick]), float(y[pick])]])
        corners = torch.tensor(np.array(boxes), dtype=torch.float32, device=masks.device)
        return corners, torch.tensor(points, dtype=torch.float32, device=masks.device)

    def track(
        self,
        clip: ClipRows,
        frames: Sequence[int],
        bank: Sequence[SlottedMemories],
        pointers: Sequence[RowMemories] | None = None,
        learn: bool = True,
    ) -> Decoded:
        """Track `frames` (all as one batch, frame-major) from the memories in `bank`; the first one is the prompt's.

        Args:
            pointers: newest first; those of the bank unless given. The prompt's is always read.
            learn: whether the losses count.
        """
        pyramid = clip.pyramid.pick(torch.cat([clip.video * clip.frames + t for t in frames]))
        several = len(frames)
        now = torch.cat([clip.times[:, t] for t in frames])
        rng = self.rng
        far = int(np.exp(rng.uniform(0, np.log(FAR)))) if rng.random() < 0.4 else 0
        spatial = [(memory.repeat(several), slot.repeat(several)) for memory, slot in bank]
        newer = [memory for memory, _ in bank[1:]] if pointers is None else pointers
        aged = []
        for i, memory in enumerate([bank[0][0], *newer]):
            again = memory.repeat(several)
            aged.append((again, (now - again.time).float() + (0 if i else far)))
        conditioned, readings = condition(self.network, pyramid, spatial, aged)
        decoded = decode(self.network, pyramid, conditioned)
        if learn:
            self._tracked(clip, frames, decoded, readings)
        return decoded

    def _tracked(
        self, clip: ClipRows, frames: Sequence[int], decoded: Decoded, readings: Sequence[Float[Tensor, "Q tokens"]]
    ) -> None:
        """Losses of rows that were tracked, Q = frames x rows."""
        truth = torch.cat([clip.low[:, t] for t in frames])
        covered = torch.cat([clip.covered[:, t] for t in frames])
        visible = torch.cat([clip.visible(t) for t in frames])
        terms, logits, quality = self.terms, decoded.logits[:, 1:], decoded.iou[:, 1:]
        clear = truth.flatten(1).sum(1) >= CLEAR
        loss = best_hypothesis_loss(mask_loss(logits, truth, self._balance), self.weights.hypotheses)
        terms.add("mask", (loss * clear).sum() / clear.sum().clamp_min(1))
        estimated = quality_loss(quality, logits, truth).mean(1)
        terms.add("iou", (estimated * torch.where(clear, 1.0, 0.3)).mean())
        terms.presence.append((decoded.presence, visible, clear | ~visible))
        for mass in readings:
            terms.add("reading", reading_loss(mass, covered))
        with torch.no_grad():
            chosen = iou(decoded.logit(decoded.best()) > 0, truth > 0.5)
            terms.add("J", (chosen * clear).sum() / clear.sum().clamp_min(1))

    @property
    def _balance(self) -> float:
        return self.weights.balance(self.progress)
