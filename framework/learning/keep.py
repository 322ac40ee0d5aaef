"""Training of a policy that decides what to trust and what to keep: supervised verdicts, counterfactual ranking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float
from rich.progress import track as progress
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from framework.data.sequence import DataSet
from framework.interfaces import MemoryPolicy, Network
from framework.learning.lessons import RIGHT, UNKNOWN, Lesson, Lessons
from framework.learning.read_gate import track
from framework.learning.rollouts import Deciding, Rollout, RolloutVideos
from framework.tracker import Tracker


@runtime_checkable
class Keeping(Deciding, Protocol):
    """The policy that learns, a `MemoryPolicy` and a module."""

    scorer: Any
    """`judge(windows, present)` gives logits of `RIGHT`, `WRONG`, `ABSENT` [N 3], `rate(candidates)` what each is worth
    [D K]; `centre` and `scale` [inputs] standardise what they see."""

    def by_rule(self) -> "Keeping":
        """The hand rule that learning starts from."""

    def ignore(self, groups: Sequence[str]) -> None:
        """Leaves groups of features out."""

    def checkpoint(self) -> Mapping[str, Any]:
        """What the policy reads its weights from."""


def ranking_loss(
    worth: Float[Tensor, "D K"], quality: Float[Tensor, "D K"], tie: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Bradley-Terry over pairs whose qualities differ by more than `tie`, weighted by the difference.

    Giving up the candidate of less worth should be the better decision. Also returns the weighted share of pairs that
    are in the right order (NaN without any).
    """
    gain = quality[:, :, None] - quality[:, None, :]
    telling = torch.where(gain > tie, gain, 0.0)
    ahead = worth[:, None, :] - worth[:, :, None]
    total = telling.sum()
    loss = (telling * F.softplus(-ahead)).sum() / total.clamp_min(1e-6)
    return loss, (telling * (ahead > 0)).sum() / total


class KeepLearning(pl.LightningModule):
    """Both heads of a policy's scorer from rollouts; chosen by how well the policy tracks, not by its losses.

    Args:
        policy: see `Keeping`.
        network: frozen; for the closed loop.
        validation: videos that are tracked in closed loop.
        rate: highest learning rate, falling to 0 over the training.
        ranking: weight of the second head's loss.
        tie: difference in quality up to which two alternatives are equally good.
        ignored: groups of features to leave out.
    """

    def __init__(
        self,
        policy: Keeping,
        network: Network,
        validation: DataSet,
        rate: float = 1e-3,
        decay: float = 1.0,
        ranking: float = 0.1,
        tie: float = 0.02,
        ignored: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.learned, self.validation = policy, validation
        self._network = (network,)  # a tuple, or its weights would become part of this module
        self.rate, self.decay, self.ranking, self.tie = rate, decay, ranking, tie
        policy.ignore(ignored)
        policy.scorer.requires_grad_(True)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.learned.scorer.parameters(), lr=self.rate, weight_decay=self.decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch.to(device) if isinstance(batch, Lesson) else batch

    def training_step(self, batch: Lesson, batch_idx: int) -> Tensor:
        loss, found = self._losses(batch)
        self.log_dict({f"train/{name}": value for name, value in found.items()}, batch_size=1)
        return loss

    def _losses(self, batch: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        verdict = self.learned.scorer.judge(batch.windows, batch.present)
        loss = F.cross_entropy(verdict, batch.verdicts)
        right = batch.verdicts == RIGHT
        found = {
            "verdict": loss.detach(),
            "accuracy": (verdict.argmax(1) == batch.verdicts).float().mean(),
            "trusted_right": right[verdict.softmax(1)[:, RIGHT] > 0.5].float().mean(),
        }
        if len(batch.quality):
            worth = self.learned.scorer.rate(batch.candidates)
            ranked, order = ranking_loss(worth, batch.quality, self.tie)
            found |= {"ranking": ranked.detach(), "order": order}
            loss = loss + self.ranking * ranked
        return loss, found

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        norms = [p.grad.norm() for p in self.learned.scorer.parameters() if p.grad is not None]
        self.log("train/gradient", torch.stack(norms).norm(), batch_size=1)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """The first loader holds lessons of rollouts that are not trained on; the second asks for the closed loop."""
        if isinstance(batch, Lesson):
            _, found = self._losses(batch)
            self.log_dict({f"val/{n}": v for n, v in found.items()}, batch_size=1, add_dataloader_idx=False)
            return
        data = self.validation
        trackers = {"": Tracker(self._network[0], cast(MemoryPolicy, self.learned))}
        with torch.inference_mode():
            reached = [track(trackers, data.sequence(index))[""] for index in range(len(data))]
        self.log("val/J", float(np.mean(reached)), batch_size=1, add_dataloader_idx=False)


class Rollouts(pl.LightningDataModule):
    """Lessons from ever more rollouts: one round of videos per epoch, the later ones tracked by the learner itself.

    Args:
        policies: what evidence is gathered with, beside the learner. In the first round the learner follows its rule.
        data: training videos; round r takes `videos` of them from r * `videos` on.
        held_out: videos from the end of the first round, on which verdicts and ranking are validated instead.
        decisions: most decisions tried otherwise per video.
        horizon: frames that each alternative is followed.
        right: IoU from which a mask is right.
        workers: processes that track videos.
        cache: folder that keeps rollouts between runs.
    """

    def __init__(
        self,
        network: Network,
        policies: Mapping[str, Any],
        data: DataSet,
        videos: int = 130,
        held_out: int = 16,
        decisions: int = 2,
        horizon: int = 32,
        right: float = 0.3,
        workers: int = 2,
        cache: str = "outputs/rollouts",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._network, self.policies, self.data = (network,), policies, data
        self.videos, self.held_out, self.decisions, self.horizon = videos, held_out, decisions, horizon
        self.right, self.workers, self.cache, self.seed = right, workers, Path(cache), seed
        self.rounds: list[list[Rollout]] = []
        self.kept_back: list[Rollout] = []
        self.folders: list[str] = []
        """Where the rollouts of each round are: a resumed run learns from the same ones."""

    def state_dict(self) -> dict[str, Any]:
        return {"folders": self.folders}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.folders = state_dict["folders"]

    @property
    def _learning(self) -> KeepLearning:
        assert self.trainer is not None and isinstance(self.trainer.lightning_module, KeepLearning)
        return self.trainer.lightning_module

    def _gather(self, epoch: int) -> None:
        """Adds rounds up to that of `epoch`."""
        for turn in range(len(self.rounds), epoch + 1):
            learner = self._learning.learned if turn else self._learning.learned.by_rule()
            known = self.folders[turn] if turn < len(self.folders) else None
            chosen, branches = range(turn * self.videos, (turn + 1) * self.videos), (self.decisions, self.horizon)
            videos = RolloutVideos(
                self._network[0], self.policies, learner, self.data, chosen, *branches, self.cache, known
            )
            loader = DataLoader(videos, batch_size=None, num_workers=self.workers)
            found = list(progress(loader, f"rollouts, round {turn + 1}", total=len(videos)))
            learned = len(found) - (0 if turn else self.held_out)
            self.kept_back += found[learned:]
            self.rounds.append(found[:learned])
            self.folders = [*self.folders[:turn], str(videos.folder)]

    def _lessons(self, rollouts: Sequence[Rollout], step: int) -> Lessons:
        inputs = self._learning.learned.scorer.centre.numel()
        return Lessons(rollouts, inputs, self.right, seed=self.seed, step=step)

    def train_dataloader(self) -> DataLoader:
        epoch = self._learning.current_epoch
        self._gather(epoch)
        lessons = self._lessons([rollout for tracked in self.rounds for rollout in tracked], self._learning.global_step)
        if epoch == 0:
            scorer = self._learning.learned.scorer
            centre, scale = lessons.statistics()
            scorer.centre.copy_(centre)
            scorer.scale.copy_(scale)
        return DataLoader(lessons, batch_size=None)

    def val_dataloader(self) -> list[DataLoader]:
        self._gather(0)
        held_out = self._lessons(self.kept_back, 0)
        known = torch.nonzero(held_out.verdicts != UNKNOWN)[:, 0]
        count = 0 if held_out.quality is None else len(held_out.quality)
        lesson = held_out.at(known, torch.arange(count))
        return [DataLoader(_One(lesson), batch_size=None), DataLoader(_One(torch.zeros(1)), batch_size=None)]


@dataclass(frozen=True)
class _One(Dataset):
    """A data set of one batch."""

    batch: Any

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.batch
