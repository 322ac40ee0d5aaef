"""Training of a policy that decides what to trust and what to keep: supervised verdicts, counterfactual ranking."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from rich.progress import track as progress
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from framework.data.sequence import DataSet
from framework.interfaces import Network
from framework.learning.read_gate import track
from framework.learning.rollouts import Rollout, RolloutVideos
from framework.tracker import Tracker

RIGHT, WRONG, ABSENT = range(3)
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Lesson:
    """One training step: N frames to judge, D decisions between K candidates."""

    windows: Float[Tensor, "N W inputs"]
    """Evidence of the frame and of those before it, oldest first."""
    present: Bool[Tensor, "N W"]
    """False before the video began."""
    verdicts: Int[Tensor, " N"]
    candidates: Float[Tensor, "D K inputs"]
    quality: Float[Tensor, "D K"]
    """What became of the video when each candidate was given up."""

    def to(self, device: torch.device) -> "Lesson":
        parts = (self.windows, self.present, self.verdicts, self.candidates, self.quality)
        return Lesson(*(part.to(device) for part in parts))


class Lessons(IterableDataset):
    """Batches drawn from rollouts without end; equal for equal seed and step.

    Args:
        inputs: numbers per element; evidence is filled up to them with zeros.
        right: IoU from which a mask of a visible object is right.
        window: frames that a verdict looks back on, its own included.
    """

    def __init__(
        self,
        rollouts: Sequence[Rollout],
        inputs: int,
        right: float = 0.7,
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
        decided = [r for r in rollouts if len(r.quality)]
        self.candidates = torch.from_numpy(np.concatenate([r.candidates for r in decided])) if decided else None
        self.quality = torch.from_numpy(np.concatenate([r.quality for r in decided])) if decided else None

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

    def at(self, ends: Int[Tensor, " N"], chosen: Int[Tensor, " D"]) -> Lesson:
        """The frames that end at these rows, and these decisions."""
        index = ends[:, None] + torch.arange(1 - self.window, 1)
        inputs = self.rows.shape[1]
        none = torch.zeros(0, 1, inputs), torch.zeros(0, 1)
        decided = none if self.candidates is None or self.quality is None else (self.candidates, self.quality)
        return Lesson(self.rows[index], self.there[index], self.verdicts[ends], decided[0][chosen], decided[1][chosen])

    def __iter__(self) -> Iterator[Lesson]:
        known = torch.nonzero(self.verdicts != UNKNOWN)[:, 0]
        decisions, step = 0 if self.quality is None else len(self.quality), self.step
        while True:
            generator = torch.Generator().manual_seed(hash((self.seed, step)) % 2**63)
            ends = known[torch.randint(len(known), (self.frames,), generator=generator)]
            count = self.decisions if decisions else 0
            yield self.at(ends, torch.randint(max(decisions, 1), (count,), generator=generator))
            step += 1


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
    """Both heads of a `policies.learned.Learned` from rollouts; chosen by how well it tracks, not by its losses.

    Args:
        policy: its `scorer` is trained.
        network: frozen; for the closed loop.
        validation: videos that are tracked in closed loop.
        rate: highest learning rate, falling to 0 over the training.
        ranking: weight of the second head's loss.
        tie: difference in quality up to which two alternatives are equally good.
        ignored: groups of features to leave out.
    """

    def __init__(
        self,
        policy: Any,
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
            worth = self.learned.scorer.rate(batch.candidates, torch.ones_like(batch.quality, dtype=torch.bool))
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
        trackers = {"": Tracker(self._network[0], self.learned)}
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
        videos: int = 300,
        held_out: int = 30,
        decisions: int = 4,
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
