"""Training of the embedded network from nothing: first on given memories, then on its own."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from framework.errors import InputError
from framework.learning.losses import (
    LossTerms,
    best_hypothesis_loss,
    mask_loss,
    presence_loss,
    quality_loss,
    reading_loss,
)
from framework.learning.pretraining.clip_rows import ClipRows, clip_rows
from framework.learning.pretraining.clips import Clips, ClipStream, Curriculum
from framework.learning.pretraining.memory_augmentation import Slotted, drifted, lost, recall, remember
from framework.learning.pretraining.sam2_steps import (
    POINTERS,
    PROMPTED_SLOT,
    SURE,
    Decoded,
    RowMemories,
    condition,
    decode,
    memorise,
    point_to,
)
from framework.masks import iou
from framework.types import upsample


@dataclass(frozen=True, slots=True)
class PretrainingLossWeights:
    """Weight of each loss."""

    mask: float = 1.0
    hypotheses: float = 0.06
    iou: float = 0.5
    presence: float = 0.5
    reading: float = 1.0
    prompt: float = 0.5
    even: float = 1.0
    """Share of the cross-entropy of masks in which object and background weigh the same, at the start; it falls to .15.
    Less than 1 spares a network that draws masks already."""


class Pretraining(pl.LightningModule):
    """Mask, box and point prompts; tracking on true memories, then on its own imperfect ones.

    Args:
        network: a `SAM2Base` of any size.
        minutes: wall-clock training time; learning rate and curriculum follow it.
        peak: highest learning rate.
        warmup: steps to reach it.
        curriculum: how clips change over the time.
        weights: weight of each loss.
        half_encoder: run the image encoder in bfloat16 while training.
    """

    def __init__(
        self,
        network: SAM2Base,
        minutes: float,
        peak: float = 1e-3,
        warmup: int = 60,
        decay: float = 0.02,
        curriculum: Curriculum | None = None,
        weights: PretrainingLossWeights | None = None,
        half_encoder: bool = True,
    ) -> None:
        if minutes <= 0:
            raise InputError(f"minutes={minutes} must be more than 0")
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.minutes, self.peak, self.warmup, self.decay = minutes, peak, warmup, decay
        self.curriculum, self.weights = curriculum or Curriculum(), weights or PretrainingLossWeights()
        self.half_encoder = half_encoder
        self.spent = 0.0  # seconds of training, kept when resuming
        self.progress = torch.zeros(1).share_memory_()  # read by the worker that draws the clips
        self._tick: float | None = None
        # Attention starts out looking where it stands: equal rotary queries and keys peak at zero displacement.
        for layer in network.memory_attention.layers:
            torch.nn.init.constant_(layer.cross_attn_image.q_proj.bias, 1.0)
            torch.nn.init.constant_(layer.cross_attn_image.k_proj.bias, 1.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        vectors = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": self.decay}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.peak, betas=(0.9, 0.98))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["spent"] = self.spent

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.spent = checkpoint["spent"]

    def on_fit_start(self) -> None:
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32; what is remembered is rounded more coarsely

    def on_train_epoch_start(self) -> None:
        self._tick = time.monotonic()

    def on_train_batch_start(self, batch: Clips, batch_idx: int) -> None:
        now = time.monotonic()
        self.spent += now - (self._tick or now)
        self._tick = now
        # Every process must take the same step, so they agree on the time.
        spent = self.trainer.strategy.reduce(torch.tensor(self.spent, dtype=torch.float32), reduce_op="mean")
        progress = min(float(spent) / (60 * self.minutes), 1.0)
        self.progress.fill_(progress)
        fading = 0.02 + 0.49 * (1 + math.cos(math.pi * progress))
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.peak * min((self.global_step + 1) / self.warmup, 1.0) * fading
        if progress >= 1:
            self.trainer.should_stop = True

    def training_step(self, batch: Clips, batch_idx: int) -> Tensor:
        terms = LossTerms()
        rng = np.random.default_rng((self.global_step, 17))
        if batch.sequential:
            self._sequence(batch, rng, terms)
        else:
            self._given(batch, rng, terms)
        means, weights = terms.means(), self.weights
        share = {
            "mask": weights.mask,
            "iou": weights.iou,
            "presence": weights.presence,
            "prompted": 0.2 * weights.presence,
            "reading": weights.reading,
            "box": weights.prompt,
            "point": weights.prompt,
        }
        loss = sum((share[name] * value for name, value in means.items() if name in share), torch.zeros(()))
        self.log_dict({f"train/{name}": value.detach() for name, value in means.items()})
        self.log_dict({"train/progress": float(self.progress), "train/loss": loss.detach()})
        return loss

    # ---------------------------------------------------------------- the two phases

    def _given(self, batch: Clips, rng: np.random.Generator, terms: LossTerms) -> None:
        """Two rounds of parallel queries: on the prompt alone, then on the prompt and what round one saw."""
        clip = self._clip(batch, slice(0, None))
        prompt = self._prompt(clip, rng, terms)
        middle = (clip.frames - 1) // 2
        first, second = list(range(1, 1 + middle)), list(range(1 + middle, clip.frames))
        rounds: list[RowMemories] = []
        anchor = (prompt, torch.full_like(clip.video, PROMPTED_SLOT))
        decoded = self._query(clip, first, [anchor], rng, terms)
        own = rng.random() < 0.6 * self.curriculum.reach(float(self.progress))
        for i, t in enumerate(first):
            row = slice(i * clip.count, (i + 1) * clip.count)
            part = Decoded(decoded.logits[row], decoded.iou[row], decoded.tokens[row], decoded.presence[row])
            rounds.append(remember(self.network, clip, t, part, own=own))
        kept = [memory for memory in rounds if rng.random() < 0.8]
        slots = list(range(len(kept)))  # the newest first; policies may also leave frames out
        if rng.random() < 0.5:
            slots = sorted(rng.choice(PROMPTED_SLOT, len(kept), replace=False).tolist())
        recent = [(m, torch.full_like(clip.video, slot)) for m, slot in zip(kept[::-1], slots, strict=True)]
        pointers = None
        if rng.random() < self.curriculum.lost * self.curriculum.reach(float(self.progress)):
            pointers = lost(self.network, clip, rounds, second[0], rng)
            recent = [(m, torch.full_like(clip.video, slot)) for slot, m in enumerate(pointers[:PROMPTED_SLOT])]
            pointers = pointers[: int(rng.integers(PROMPTED_SLOT, len(pointers) + 1))]
        else:
            recent = drifted(clip, recent, self.curriculum.drifted, rng)
        self._query(clip, second, [anchor, *recent], rng, terms, pointers)

    def _sequence(self, batch: Clips, rng: np.random.Generator, terms: LossTerms) -> None:
        """Frame by frame on its own masks: a roll-in only to drift, the last frames to learn."""
        begin = batch.images.shape[1] - self.curriculum.learned
        clip = self._clip(batch, slice(begin, None))
        prompt = self._prompt(clip, rng, terms)
        astray = torch.from_numpy(rng.random(clip.count) < 0.1).to(clip.video.device)
        shares = self.curriculum.right, self.curriculum.sampled, self.curriculum.spaced
        style = rng.choice(["all", "right", "sampled", "spaced"], p=[1 - sum(shares), *shares])
        reach, every = int(rng.choice([1, 3, 6, 6, 6])), int(rng.integers(2, 4))
        past: list[RowMemories] = []
        kept: list[Bool[Tensor, " R"]] = []
        for t in range(1, clip.frames):
            bank = [(prompt, torch.full_like(clip.video, PROMPTED_SLOT)), *recall(prompt, past, kept, reach)]
            pointers = past[::-1][: int(rng.integers(0, 16))] if style == "all" else None
            with torch.set_grad_enabled(t >= begin and torch.is_grad_enabled()):
                decoded = self._query(clip, [t], bank, rng, terms if t >= begin else None, pointers)
                wrong = astray & (rng.random() < 0.5) if begin - 3 <= t < begin else None
                past.append(remember(self.network, clip, t, decoded, own=True, wrong=wrong))
            everything = torch.ones_like(astray)
            keeping = {
                "all": everything,
                "right": self._right(clip, t, decoded, wrong),
                "sampled": everything & (rng.random() < 0.6),
                "spaced": everything & (t % every == 0),
            }
            kept.append(keeping[str(style)])

    def _right(self, clip: ClipRows, t: int, decoded: Decoded, wrong: Bool[Tensor, " R"] | None) -> Bool[Tensor, " R"]:
        """Rows whose memory of frame `t` truly shows the object."""
        overlap = iou(decoded.logit(decoded.best()) > 0, clip.low[:, t] > 0.5)
        right = (overlap > 0.7) & clip.visible(t) & (decoded.presence > 0)
        return right if wrong is None else right & ~wrong

    # ---------------------------------------------------------------- their parts

    def _clip(self, batch: Clips, learn: slice) -> ClipRows:
        return clip_rows(self.network, batch, learn, half=self.half_encoder and self.training)

    def _prompt(self, clip: ClipRows, rng: np.random.Generator, terms: LossTerms) -> RowMemories:
        """The memory of the mask prompt on frame 0; box and point prompts are trained on the way."""
        network, pyramid, mask = self.network, clip.at(0), clip.masks[:, 0]
        visible = clip.visible(0)
        logits = mask.float() * 2 * SURE - SURE
        features = memorise(network, pyramid, logits, visible)
        token = torch.zeros(clip.count, dtype=torch.long, device=mask.device)
        decoded = decode(network, pyramid, pyramid.embedding, mask=mask.float()[:, None])
        terms.add("prompted", presence_loss(decoded.presence, visible))
        if rng.random() < self.curriculum.clicks:
            self._click(clip, int(rng.choice([0, clip.frames - 1])), rng, terms)
        return RowMemories(features, point_to(network, decoded, token, visible), clip.covered[:, 0], clip.times[:, 0])

    def _click(self, clip: ClipRows, t: int, rng: np.random.Generator, terms: LossTerms) -> None:
        """Box and point prompts on the objects visible in frame `t`."""
        shown = torch.nonzero(clip.masks[:, t].flatten(1).sum(1) >= 16)[:, 0]
        if len(shown) == 0:
            return
        pyramid, truth = clip.at(t).pick(shown), clip.low[shown, t]
        bare = pyramid.embedding + self.network.no_mem_embed.view(1, -1, 1, 1)
        boxes, points = [], []
        for mask in clip.masks[shown, t].cpu().numpy():
            y, x = np.nonzero(mask)
            box = np.array([[x.min(), y.min()], [x.max() + 1, y.max() + 1]], np.float32)
            loose = 0.1 * (box[1] - box[0]) * rng.normal(0, 1, (2, 2)) * (rng.random() < 0.5)
            boxes.append(box + np.clip(loose, -4, 4))
            pick = int(rng.integers(len(x)))
            points.append([[float(x[pick]), float(y[pick])]])
        device = truth.device
        corners = torch.tensor(np.array(boxes), dtype=torch.float32, device=device)
        labels = torch.tensor([[2, 3]], dtype=torch.int32, device=device).expand(len(shown), 2)
        answer = decode(self.network, pyramid, bare, corners, labels)
        seen = torch.ones(len(shown), dtype=torch.bool, device=device)
        one = slice(0, 1)
        terms.add("box", mask_loss(answer.logits[:, one], truth, self._balance).mean())
        terms.add("iou", quality_loss(answer.iou[:, one], answer.logits[:, one], truth).mean())
        terms.add("prompted", presence_loss(answer.presence, seen))
        clicks = torch.tensor(points, dtype=torch.float32, device=device)
        answer = decode(self.network, pyramid, bare, clicks, torch.ones_like(labels[:, :1]))
        many = slice(1, None)
        loss = mask_loss(answer.logits[:, many], truth, self._balance)
        terms.add("point", best_hypothesis_loss(loss, self.weights.hypotheses).mean())
        terms.add("iou", quality_loss(answer.iou[:, many], answer.logits[:, many], truth).mean())

    @property
    def _balance(self) -> float:
        return max(self.weights.even - 1.6 * float(self.progress), 0.15)

    def _query(
        self,
        clip: ClipRows,
        frames: list[int],
        bank: list[Slotted],
        rng: np.random.Generator,
        terms: LossTerms | None,
        pointers: list[RowMemories] | None = None,
    ) -> Decoded:
        """Track `frames` (all as one batch, frame-major) from the memories in `bank`; the first one is the prompt's.

        Pointers are those of the bank unless given; the prompt's is always read.
        """
        pyramid = clip.pyramid.pick(torch.cat([clip.video * clip.frames + t for t in frames]))
        several = len(frames)
        time_now = torch.cat([clip.times[:, t] for t in frames])
        # Videos are far longer than clips: the prompt may lie any number of frames back.
        far = int(np.exp(rng.uniform(0, np.log(1000)))) if rng.random() < 0.4 else 0
        spatial = [(memory.repeat(several), slot.repeat(several)) for memory, slot in bank]
        tail = [memory for memory, _ in bank[1:]] if pointers is None else pointers
        heads = []
        for i, memory in enumerate([bank[0][0], *tail]):
            again = memory.repeat(several)
            heads.append((again, (time_now - again.time).float() + (0 if i else far)))
        conditioned, readings = condition(self.network, pyramid, spatial, heads)
        decoded = decode(self.network, pyramid, conditioned)
        if terms is not None:
            truth = torch.cat([clip.low[:, t] for t in frames])
            covered = torch.cat([clip.covered[:, t] for t in frames])
            visible = torch.cat([clip.visible(t) for t in frames])
            self._judge(decoded, truth, covered, visible, readings, terms)
        return decoded

    def _judge(
        self,
        decoded: Decoded,
        truth: Float[Tensor, "Q h w"],
        covered: Float[Tensor, "Q tokens"],
        visible: Bool[Tensor, " Q"],
        readings: list[Float[Tensor, "Q tokens"]],
        terms: LossTerms,
    ) -> None:
        logits, quality = decoded.logits[:, 1:], decoded.iou[:, 1:]
        clear = truth.flatten(1).sum(1) >= 3  # a sliver of a few pixels is neither visible nor absent
        loss = best_hypothesis_loss(mask_loss(logits, truth, self._balance), self.weights.hypotheses)
        terms.add("mask", (loss * clear).sum() / clear.sum().clamp_min(1))
        judged = quality_loss(quality, logits, truth).mean(1)
        terms.add("iou", (judged * torch.where(clear, 1.0, 0.3)).mean())
        terms.presence.append((decoded.presence, visible, clear | ~visible))
        for mass in readings:
            terms.add("reading", reading_loss(mass, covered))
        with torch.no_grad():
            chosen = iou(decoded.logit(decoded.best()) > 0, truth > 0.5)
            terms.add("J", (chosen * clear).sum() / clear.sum().clamp_min(1))

    # ---------------------------------------------------------------- held-out videos, closed loop

    def validation_step(self, batch: Clips, batch_idx: int) -> None:
        clip = self._clip(batch, slice(0, None))
        rng, ignored = np.random.default_rng(0), LossTerms()
        prompt = self._prompt(clip, rng, ignored)
        past: list[RowMemories] = []
        rows: list[Tensor] = []
        for t in range(1, clip.frames):
            slots = range(PROMPTED_SLOT)
            recent = [(m, torch.full_like(clip.video, slot)) for slot, m in zip(slots, past[::-1], strict=False)]
            anchor = (prompt, torch.full_like(clip.video, PROMPTED_SLOT))
            decoded = self._query(clip, [t], [anchor, *recent], rng, None, past[::-1][:POINTERS])
            past.append(remember(self.network, clip, t, decoded, own=True))
            del past[:-POINTERS]
            token = decoded.best()
            shown = upsample(decoded.logit(token), (clip.masks.shape[-2], clip.masks.shape[-1])) > 0
            shown = shown & (decoded.presence > 0)[:, None, None]
            picked = decoded.iou.gather(1, token[:, None])[:, 0]
            visible = clip.visible(t)
            rows.append(torch.stack([iou(shown, clip.masks[:, t]), picked, decoded.presence, visible.float()]))
        table = torch.stack(rows, dim=1).flatten(1)
        present = table[3] > 0
        name = ClipStream.LEVELS[batch_idx % len(ClipStream.LEVELS)]
        self.log(f"val/{name}/J", table[0][present].mean(), batch_size=1)
        self.log(f"val/{name}/visible_right", (table[2][present] > 0).float().mean(), batch_size=1)
        if (~present).any():
            self.log(f"val/{name}/absent_right", (table[2][~present] <= 0).float().mean(), batch_size=1)
        ranks = torch.stack([row[present].argsort().argsort().float() for row in table[:2]])
        self.log(f"val/{name}/spearman", torch.corrcoef(ranks)[0, 1], batch_size=1)
        answer = {name: value for name, value in ignored.means().items() if name in ("box", "point")}
        self.log_dict({f"val/{name}/{key}_loss": value for key, value in answer.items()}, batch_size=1)
