"""Training of the embedded network from nothing: first on given memories, then on its own."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, Int, UInt8
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.utils.data import DataLoader

from framework.data.procedural import Procedural
from framework.errors import InputError
from framework.learning.clips import Clips, ClipStream, Curriculum
from framework.learning.mask_losses import best_of, iou, mask_loss, presence_loss, quality_loss, reading_loss
from framework.learning.unroll import (
    POINTERS,
    PROMPTED_SLOT,
    SURE,
    Decoded,
    Memory,
    Pyramid,
    condition,
    decode,
    encode,
    memorise,
    point_to,
    upsample,
)

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalise(images: UInt8[Tensor, "*n 3 H W"]) -> Float[Tensor, "*n 3 H W"]:
    mean, deviation = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (MEAN, DEVIATION))
    return (images.float() / 255 - mean) / deviation


@dataclass(frozen=True, slots=True)
class Weights:
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


@dataclass(frozen=True, slots=True)
class Scene:
    """A batch of clips as rows: R = videos x objects, frame by frame."""

    pyramid: Pyramid
    video: Int[Tensor, " R"]
    frames: int
    masks: Bool[Tensor, "R T H W"]
    others: Bool[Tensor, "R T H W"]
    """The object tracked by the video's other row."""
    times: Int[Tensor, "R T"]
    low: Float[Tensor, "R T h w"]
    """Coverage of every mask cell."""
    covered: Float[Tensor, "R T tokens"]

    def at(self, t: int) -> Pyramid:
        return self.pyramid.pick(self.video * self.frames + t)

    def visible(self, t: int) -> Bool[Tensor, " R"]:
        return self.masks[:, t].flatten(1).any(1)

    @property
    def rows(self) -> int:
        return len(self.video)


@dataclass(frozen=True, slots=True)
class Terms:
    """Loss terms gathered over a step."""

    values: dict[str, list[Tensor]] = field(default_factory=dict)
    presence: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Object-score logits and true visibility of all tracked rows: balanced over the step as a whole."""

    def add(self, name: str, value: Tensor) -> None:
        self.values.setdefault(name, []).append(value)

    def means(self) -> dict[str, Tensor]:
        means = {name: torch.stack(values).mean() for name, values in self.values.items()}
        if self.presence:
            logits, visible = (torch.cat(parts) for parts in zip(*self.presence, strict=True))
            means["presence"] = presence_loss(logits, visible)
        return means


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
        weights: Weights | None = None,
        half_encoder: bool = True,
    ) -> None:
        if minutes <= 0:
            raise InputError(f"minutes={minutes} must be more than 0")
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.minutes, self.peak, self.warmup, self.decay = minutes, peak, warmup, decay
        self.curriculum, self.weights = curriculum or Curriculum(), weights or Weights()
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

    def transfer_batch_to_device(self, batch: Clips, device: torch.device, dataloader_idx: int) -> Clips:
        return batch.to(device)

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
        fading = 0.02 + 0.49 * (1 + np.cos(np.pi * progress))
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.peak * min((self.global_step + 1) / self.warmup, 1.0) * fading
        if progress >= 1:
            self.trainer.should_stop = True

    def training_step(self, batch: Clips, batch_idx: int) -> Tensor:
        terms = Terms()
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

    def _given(self, batch: Clips, rng: np.random.Generator, terms: Terms) -> None:
        """Two rounds of parallel queries: on the prompt alone, then on the prompt and what round one saw."""
        scene = self._scene(batch, slice(0, None))
        prompt = self._prompt(scene, rng, terms)
        middle = (scene.frames - 1) // 2
        first, second = list(range(1, 1 + middle)), list(range(1 + middle, scene.frames))
        rounds: list[Memory] = []
        anchor = (prompt, torch.full_like(scene.video, PROMPTED_SLOT))
        decoded = self._query(scene, first, [anchor], rng, terms)
        own = rng.random() < 0.6 * self.curriculum.reach(float(self.progress))
        for i, t in enumerate(first):
            row = slice(i * scene.rows, (i + 1) * scene.rows)
            part = Decoded(decoded.logits[row], decoded.iou[row], decoded.tokens[row], decoded.presence[row])
            rounds.append(self._remember(scene, t, part, own=own))
        kept = [memory for memory in rounds if rng.random() < 0.8]
        slots = list(range(len(kept)))  # the newest first; policies may also leave frames out
        if rng.random() < 0.5:
            slots = sorted(rng.choice(PROMPTED_SLOT, len(kept), replace=False).tolist())
        recent = [(m, torch.full_like(scene.video, slot)) for m, slot in zip(kept[::-1], slots, strict=True)]
        pointers = None
        if rng.random() < self.curriculum.lost * self.curriculum.reach(float(self.progress)):
            pointers = self._lost(scene, rounds, second[0], rng)
            recent = [(m, torch.full_like(scene.video, slot)) for slot, m in enumerate(pointers[:PROMPTED_SLOT])]
            pointers = pointers[: int(rng.integers(PROMPTED_SLOT, len(pointers) + 1))]
        self._query(scene, second, [anchor, *recent], rng, terms, pointers)

    def _lost(self, scene: Scene, seen: list[Memory], now: int, rng: np.random.Generator) -> list[Memory]:
        """Memories of the frames before `now`, newest first, as many as there are pointers: for a while nothing was
        found. (They repeat the few frames of the clip.)"""
        missed = torch.from_numpy(rng.integers(0, POINTERS + 1, scene.rows)).to(scene.video.device)
        nothing = [self._nothing(scene, t) for t in range(1, 1 + len(seen))]
        past = []
        for ago in range(POINTERS):
            which = -1 - ago % len(seen)
            memory = nothing[which].instead(missed > ago, seen[which])
            past.append(replace(memory, time=scene.times[:, now] - 1 - ago))
        return past

    def _nothing(self, scene: Scene, t: int) -> Memory:
        """Memory of frame `t` if no object was seen in it."""
        unseen = torch.zeros_like(scene.masks[:, t])
        features = memorise(self.network, scene.at(t), unseen.float() - 1024.0, unseen[:, 0, 0])
        pointer = self.network.no_obj_ptr.expand(scene.rows, -1)
        return Memory(features, pointer, torch.zeros_like(scene.covered[:, t]), scene.times[:, t])

    def _sequence(self, batch: Clips, rng: np.random.Generator, terms: Terms) -> None:
        """Frame by frame on its own masks: the first half only to drift, the second half to learn."""
        begin = batch.images.shape[1] // 2
        scene = self._scene(batch, slice(begin, None))
        prompt = self._prompt(scene, rng, terms)
        drifted = torch.from_numpy(rng.random(scene.rows) < 0.1).to(scene.video.device)
        style = rng.choice(["recent", "right", "random", "spaced"], p=[0.5, 0.25, 0.15, 0.1])
        reach, every = int(rng.choice([1, 3, 6, 6, 6])), int(rng.integers(2, 4))
        past: list[Memory] = []
        kept: list[Bool[Tensor, " R"]] = []
        for t in range(1, scene.frames):
            bank = [(prompt, torch.full_like(scene.video, PROMPTED_SLOT)), *_recall(prompt, past, kept, reach)]
            pointers = past[::-1][: int(rng.integers(0, 16))] if style == "recent" else None
            with torch.set_grad_enabled(t >= begin and torch.is_grad_enabled()):
                decoded = self._query(scene, [t], bank, rng, terms if t >= begin else None, pointers)
                wrong = drifted & (rng.random() < 0.5) if begin - 3 <= t < begin else None
                past.append(self._remember(scene, t, decoded, own=True, wrong=wrong))
            # What policies keep: everything, only what is right (as an oracle would), a sample, every n-th frame.
            everything = torch.ones_like(drifted)
            keeping = {
                "recent": everything,
                "right": self._right(scene, t, decoded, wrong),
                "random": everything & (rng.random() < 0.6),
                "spaced": everything & (t % every == 0),
            }
            kept.append(keeping[str(style)])

    def _right(self, scene: Scene, t: int, decoded: Decoded, wrong: Bool[Tensor, " R"] | None) -> Bool[Tensor, " R"]:
        """Rows whose memory of frame `t` truly shows the object."""
        overlap = iou(decoded.logit(decoded.best()) > 0, scene.low[:, t] > 0.5)
        right = (overlap > 0.7) & scene.visible(t) & (decoded.presence > 0)
        return right if wrong is None else right & ~wrong

    # ---------------------------------------------------------------- their parts

    def _scene(self, batch: Clips, learn: slice) -> Scene:
        """Encode every frame; only frame 0 and those in `learn` keep a graph."""
        videos, frames = batch.images.shape[:2]
        images = normalise(batch.images)
        learned = torch.zeros(frames, dtype=torch.bool)
        learned[0], learned[learn] = True, True
        parts = []
        for grad, pick in ((True, learned), (False, ~learned)):
            if pick.any():
                chosen = images[:, pick].flatten(0, 1).contiguous(memory_format=torch.channels_last)
                with (
                    torch.set_grad_enabled(grad and torch.is_grad_enabled()),
                    torch.autocast(images.device.type, torch.bfloat16, enabled=self.half_encoder and self.training),
                ):
                    parts.append(encode(self.network, chosen))
        order = torch.cat(
            [
                (torch.arange(videos)[:, None] * frames + torch.arange(frames)[pick]).flatten()
                for pick in (learned, ~learned)
            ]
        )
        back = torch.argsort(order).to(images.device)
        pyramid = Pyramid(
            torch.cat([p.embedding for p in parts])[back],
            torch.cat([p.half for p in parts])[back],
            torch.cat([p.quarter for p in parts])[back],
            parts[0].position,
        )
        objects = batch.objects.shape[1]
        video = torch.arange(videos, device=images.device).repeat_interleave(objects)
        owners = batch.owners[video]
        masks = owners == batch.objects.flatten()[:, None, None, None]
        others = owners == batch.objects.flip(1).flatten()[:, None, None, None]
        low = torch.nn.functional.avg_pool2d(masks.float(), self.network.backbone_stride // 4)
        covered = torch.nn.functional.avg_pool2d(masks.float(), self.network.backbone_stride).flatten(2)
        return Scene(pyramid, video, frames, masks, others, batch.times[video], low, covered)

    def _prompt(self, scene: Scene, rng: np.random.Generator, terms: Terms) -> Memory:
        """The memory of the mask prompt on frame 0; box and point prompts are trained on the way."""
        network, pyramid, mask = self.network, scene.at(0), scene.masks[:, 0]
        visible = scene.visible(0)
        logits = mask.float() * 2 * SURE - SURE
        features = memorise(network, pyramid, logits, visible)
        token = torch.zeros(scene.rows, dtype=torch.long, device=mask.device)
        decoded = decode(network, pyramid, pyramid.embedding, mask=mask.float()[:, None])
        terms.add("prompted", presence_loss(decoded.presence, visible))
        for t in (0, int(rng.integers(scene.frames // 2, scene.frames))):
            self._click(scene, t, rng, terms)
        return Memory(features, point_to(network, decoded, token, visible), scene.covered[:, 0], scene.times[:, 0])

    def _click(self, scene: Scene, t: int, rng: np.random.Generator, terms: Terms) -> None:
        """Box and point prompts on the objects visible in frame `t`."""
        shown = torch.nonzero(scene.masks[:, t].flatten(1).sum(1) >= 16)[:, 0]
        if len(shown) == 0:
            return
        pyramid, truth = scene.at(t).pick(shown), scene.low[shown, t]
        bare = pyramid.embedding + self.network.no_mem_embed.view(1, -1, 1, 1)
        boxes, points = [], []
        for mask in scene.masks[shown, t].cpu().numpy():
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
        terms.add("point", best_of(loss, self.weights.hypotheses).mean())
        terms.add("iou", quality_loss(answer.iou[:, many], answer.logits[:, many], truth).mean())

    @property
    def _balance(self) -> float:
        return max(self.weights.even - 1.6 * float(self.progress), 0.15)

    def _query(
        self,
        scene: Scene,
        frames: list[int],
        bank: list[tuple[Memory, Int[Tensor, " R"]]],
        rng: np.random.Generator,
        terms: Terms | None,
        pointers: list[Memory] | None = None,
    ) -> Decoded:
        """Track `frames` (all as one batch, frame-major) from the memories in `bank`; the first one is the prompt's.

        Pointers are those of the bank unless given; the prompt's is always read.
        """
        rows = torch.arange(scene.rows, device=scene.video.device).repeat(len(frames))
        pyramid = scene.pyramid.pick(torch.cat([scene.video * scene.frames + t for t in frames]))
        time_now = torch.cat([scene.times[:, t] for t in frames])
        # Videos are far longer than clips: the prompt may lie any number of frames back.
        far = int(np.exp(rng.uniform(0, np.log(1000)))) if rng.random() < 0.4 else 0
        spatial = [(memory.pick(rows), slot[rows]) for memory, slot in bank]
        tail = [memory for memory, _ in bank[1:]] if pointers is None else pointers
        ago = [(time_now - bank[0][0].time[rows]).float() + far]
        ago += [(time_now - memory.time[rows]).float() for memory in tail]
        heads = [(memory.pick(rows), gap) for memory, gap in zip([bank[0][0], *tail], ago, strict=True)]
        conditioned, readings = condition(self.network, pyramid, spatial, heads)
        decoded = decode(self.network, pyramid, conditioned)
        if terms is not None:
            truth = torch.cat([scene.low[:, t] for t in frames])
            covered = torch.cat([scene.covered[:, t] for t in frames])
            visible = torch.cat([scene.visible(t) for t in frames])
            self._judge(decoded, truth, covered, visible, readings, terms)
        return decoded

    def _judge(
        self,
        decoded: Decoded,
        truth: Float[Tensor, "Q h w"],
        covered: Float[Tensor, "Q tokens"],
        visible: Bool[Tensor, " Q"],
        readings: list[Float[Tensor, "Q tokens"]],
        terms: Terms,
    ) -> None:
        logits, quality = decoded.logits[:, 1:], decoded.iou[:, 1:]
        clear = truth.flatten(1).sum(1) >= 3  # a sliver of a few pixels is neither visible nor absent
        loss = best_of(mask_loss(logits, truth, self._balance), self.weights.hypotheses)
        terms.add("mask", (loss * clear).sum() / clear.sum().clamp_min(1))
        judged = quality_loss(quality, logits, truth).mean(1)
        terms.add("iou", (judged * torch.where(clear, 1.0, 0.3)).mean())
        certain = clear | ~visible
        if certain.any():
            terms.presence.append((decoded.presence[certain], visible[certain]))
        for mass in readings:
            terms.add("reading", reading_loss(mass, covered))
        with torch.no_grad():
            chosen = iou(decoded.logit(decoded.best()) > 0, truth > 0.5)
            if clear.any():
                terms.add("J", chosen[clear].mean())

    def _remember(
        self, scene: Scene, t: int, decoded: Decoded, own: bool, wrong: Bool[Tensor, " R"] | None = None
    ) -> Memory:
        """Memory of frame `t`: of the network's own answer, or of the truth.

        Args:
            wrong: rows that remember the video's other object instead, as after a drift.
        """
        network, pyramid = self.network, scene.at(t)
        token, visible = decoded.best(), scene.visible(t)
        size = scene.masks.shape[-1]
        if own:
            visible = decoded.presence > 0
            logits = upsample(decoded.logit(token), size)
            logits = torch.where(visible[:, None, None], logits, -1024.0)
        else:
            logits = scene.masks[:, t].float() * 2 * SURE - SURE
        if wrong is not None:
            wrong = wrong & scene.others[:, t].flatten(1).any(1)
            logits = torch.where(wrong[:, None, None], scene.others[:, t].float() * 2 * SURE - SURE, logits)
            visible = visible | wrong
        features = memorise(network, pyramid, logits, visible)
        return Memory(features, point_to(network, decoded, token, visible), scene.covered[:, t], scene.times[:, t])

    # ---------------------------------------------------------------- held-out videos, closed loop

    def validation_step(self, batch: Clips, batch_idx: int) -> None:
        scene = self._scene(batch, slice(0, None))
        rng, ignored = np.random.default_rng(0), Terms()
        prompt = self._prompt(scene, rng, ignored)
        past: list[Memory] = []
        rows: list[Tensor] = []
        for t in range(1, scene.frames):
            slots = range(PROMPTED_SLOT)
            recent = [(m, torch.full_like(scene.video, slot)) for slot, m in zip(slots, past[::-1], strict=False)]
            anchor = (prompt, torch.full_like(scene.video, PROMPTED_SLOT))
            decoded = self._query(scene, [t], [anchor, *recent], rng, None, past[::-1][:POINTERS])
            past.append(self._remember(scene, t, decoded, own=True))
            del past[:-POINTERS]
            token = decoded.best()
            shown = upsample(decoded.logit(token), scene.masks.shape[-1]) > 0
            shown = shown & (decoded.presence > 0)[:, None, None]
            picked = decoded.iou[torch.arange(len(token)), token]
            visible = scene.visible(t)
            rows.append(torch.stack([iou(shown, scene.masks[:, t]), picked, decoded.presence, visible.float()]))
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


def _recall(
    prompt: Memory, past: list[Memory], kept: list[Bool[Tensor, " R"]], reach: int
) -> list[tuple[Memory, Int[Tensor, " R"]]]:
    """The newest `reach` memories that each row keeps, ranked into slots; a row that keeps fewer rereads its prompt."""
    if not past:
        return []
    rows = torch.arange(len(prompt.time), device=prompt.time.device)
    age = torch.arange(len(past), 0, -1, device=rows.device)  # 1 for the newest
    order = torch.stack(kept) * (2 * len(past) - age[:, None])  # kept ones first, the newest of them first
    newest = torch.sort(order, dim=0, descending=True)
    bank = [prompt, *past]
    features, pointers = torch.stack([m.features for m in bank]), torch.stack([m.pointer for m in bank])
    coverage, times = torch.stack([m.coverage for m in bank]), torch.stack([m.time for m in bank])
    items = []
    for slot in range(min(reach, int(torch.stack(kept).sum(0).max()))):
        held = newest.values[slot] > 0
        index = torch.where(held, newest.indices[slot] + 1, 0)
        memory = Memory(features[index, rows], pointers[index, rows], coverage[index, rows], times[index, rows])
        items.append((memory, torch.where(held, slot, PROMPTED_SLOT)))
    return items


class ProceduralClips(pl.LightningDataModule):
    """Endless training clips and a fixed set of held-out videos, one batch per level.

    Args:
        size: height and width in pixels.
        videos: held-out videos per level.
        frames: frames of each.
        workers: processes that draw training clips (0: the training process itself).
    """

    def __init__(self, size: int = 128, videos: int = 8, frames: int = 40, workers: int = 1, seed: int = 0) -> None:
        super().__init__()
        self.size, self.videos, self.frames, self.workers, self.seed = size, videos, frames, workers, seed

    def train_dataloader(self) -> DataLoader:
        trainer = self.trainer
        assert trainer is not None
        module = trainer.lightning_module
        assert isinstance(module, Pretraining)
        seed = self.seed * trainer.world_size + trainer.global_rank
        stream = ClipStream(module.progress, module.curriculum, self.size, seed, trainer.global_step)
        ahead = 3 if self.workers else None
        return DataLoader(stream, batch_size=None, num_workers=self.workers, prefetch_factor=ahead)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(_HeldOut(self.size, self.videos, self.frames), batch_size=None)


class _HeldOut(torch.utils.data.Dataset):
    def __init__(self, size: int, videos: int, frames: int) -> None:
        self.size, self.videos, self.frames = size, videos, frames

    def __len__(self) -> int:
        return len(ClipStream.LEVELS)

    def __getitem__(self, index: int) -> Clips:
        data = Procedural("val", ClipStream.LEVELS[index], length=60, size=self.size)
        images, owners = [], []
        for i in range(self.videos):
            sequence = data.sequence(i)
            images.append(np.stack([sequence.frame(t) for t in range(self.frames)]))
            owners.append(np.stack([sequence.ids(t) for t in range(self.frames)]))
        times = torch.arange(self.frames).expand(self.videos, -1).contiguous()
        pixels = torch.from_numpy(np.stack(images)).permute(0, 1, 4, 2, 3).contiguous()
        objects = torch.ones(self.videos, 1, dtype=torch.long)
        return Clips(pixels, torch.from_numpy(np.stack(owners)), objects, times, True)


class Export(pl.Callback):
    """Writes the weights after every validation and at the end, atomically, as {"model": state dict}.

    Listed before `EMAWeightAveraging`, which takes its averaged weights back at the end of a validation.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, pl_module)  # by now the averaged weights are the module's own

    def _write(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero and not trainer.sanity_checking and isinstance(module, Pretraining):
            save_weights(module.network.state_dict(), self.path)


def save_weights(state: Mapping[str, Any], path: Path) -> None:
    """Write {"model": state} so that a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    torch.save({"model": {name: value.detach().cpu().contiguous() for name, value in state.items()}}, draft)
    draft.replace(path)


def halved(network: SAM2Base) -> dict[str, Tensor]:
    """The state with parameters in float16, as the package ships it; buffers (positional codes) stay as they are."""
    parameters = {name for name, _ in network.named_parameters()}
    return {name: value.half() if name in parameters else value for name, value in network.state_dict().items()}
