"""Training of an embedded network from nothing: first on given memories, then on its own."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from framework.errors import InputError
from framework.learning.losses import LossTerms
from framework.learning.pretraining.clip_rows import clip_rows
from framework.learning.pretraining.clips import Clips, Curriculum
from framework.learning.pretraining.objectives import Objectives, PretrainingLossWeights
from framework.learning.pretraining.phases import free_running, teacher_forced
from framework.learning.pretraining.validation import closed_loop


class Pretraining(pl.LightningModule):
    """Mask, box and point prompts; tracking on true memories, then on its own imperfect ones.

    Args:
        network: a `SAM2Base` of any size.
        minutes: wall-clock training time; learning rate and curriculum follow it.
        peak: highest learning rate.
        warmup: steps to reach it.
        decay: of the weights.
        curriculum: how clips change over the time.
        weights: weight of each loss.
        half_encoder: run the image encoder in bfloat16 while training; None where the device computes in it
            (`computes_in_bfloat16`).

    Raises:
        InputError: no time to train.
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
        half_encoder: bool | None = None,
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

    # ---------------------------------------------------------------- schedule

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

    # ---------------------------------------------------------------- steps

    def training_step(self, batch: Clips, batch_idx: int) -> Tensor:
        objectives = self._objectives(np.random.default_rng((self.global_step, 17)))
        learned = slice(batch.images.shape[1] - self.curriculum.learned if batch.sequential else 0, None)
        half = computes_in_bfloat16(self.device) if self.half_encoder is None else self.half_encoder
        clip = clip_rows(self.network, batch, learned, half=half)
        phase = free_running if batch.sequential else teacher_forced
        phase(objectives, clip, self.curriculum)
        means = objectives.terms.means()
        loss = self.weights.total(means)
        self.log_dict({f"train/{name}": value.detach() for name, value in means.items()})
        self.log_dict({"train/progress": float(self.progress), "train/loss": loss.detach()})
        return loss

    definitions: ClassVar[Mapping[str, str]] = {
        "J": "mean IoU over the frames on which the object is visible, tracked from its first mask",
        "visible_right": "share of those on which it is said to be visible",
        "absent_right": "share of the frames without it on which it is said to be absent",
        "spearman": "rank correlation of predicted and true IoU",
        "box_loss": "loss of masks that a box prompts",
        "point_loss": "loss of masks that a point prompts",
    }

    def validation_step(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Of the name of held-out videos and the `Clips` of them."""
        name, clips = batch
        objectives = self._objectives(np.random.default_rng(0))
        clip = clip_rows(self.network, clips, slice(0, None), half=False)
        found = closed_loop(objectives, clip).scores()
        losses = {part: value for part, value in objectives.terms.means().items() if part in ("box", "point")}
        self.log_dict({f"val/{name}/{key}": value for key, value in found.items()}, batch_size=1)
        self.log_dict({f"val/{name}/{key}_loss": value for key, value in losses.items()}, batch_size=1)

    def _objectives(self, rng: np.random.Generator) -> Objectives:
        clicks = self.curriculum.clicks
        return Objectives(self.network, self.weights, float(self.progress), clicks, rng, LossTerms())


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device has units for bfloat16, by what it says of itself.

    Where it is emulated an encoder of 15 frames takes two (AVX-512) to ten times (AVX2) as long as in float32, on a CPU
    with units .7 to .9 of it (one thread). Whatever does not say counts as without.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # which torch has not always had
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
