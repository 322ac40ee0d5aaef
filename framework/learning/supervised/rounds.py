"""Training on rounds of recorded videos: the first is tracked by a rule, later ones by what was learned so far."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from framework.errors import InputError
from framework.learning.supervised.cached import CachedRecords
from framework.report.progress import WorkProgress

R = TypeVar("R")


class Rounds(pl.LightningDataModule, ABC, Generic[R]):
    """One round of videos per epoch, on top of those before.

    Args:
        videos: per round; round r takes those from r * `videos` on.
        held_out: videos from the end of the first round that are validated on instead.
        workers: processes that track videos; where a GPU tracks them, it is this one.

    Raises:
        InputError: nothing to learn from, or nothing held out.
    """

    def __init__(self, videos: int, held_out: int, workers: int) -> None:
        if not 1 <= held_out < videos or workers < 0:
            raise InputError(
                f"learning needs 1 <= held_out < videos and workers >= 0, not {held_out}, {videos} and {workers}"
            )
        super().__init__()
        self.videos, self.held_out, self.workers = videos, held_out, workers
        self.rounds: list[list[R]] = []
        self.held_out_records: list[R] = []
        self.folders: list[str] = []
        """Where the records of each round are: a resumed run learns from the same ones."""

    cache: Path
    """Folder that keeps records, those of unfinished rounds too."""

    @abstractmethod
    def records(self, round: int, videos: range, folder: str | None) -> CachedRecords[R]:
        """The records of a round, in `folder` if it is known where they are."""

    @abstractmethod
    def batches(self, records: Sequence[R], first: bool) -> Dataset:
        """Batches without end; `first` before anything was learned."""

    @abstractmethod
    def validation_batch(self, records: Sequence[R]) -> Any:
        """All of these records as one validation step."""

    def state_dict(self) -> dict[str, Any]:
        return {"folders": [*self.folders]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.folders = state_dict["folders"]

    @property
    def training_module(self) -> pl.LightningModule:
        assert self.trainer is not None
        return self.trainer.lightning_module

    def gather(self, epoch: int) -> None:
        """Adds rounds up to that of `epoch`."""
        for round in range(len(self.rounds), epoch + 1):
            known = self.folders[round] if round < len(self.folders) else None
            records = self.records(round, range(round * self.videos, (round + 1) * self.videos), known)
            workers = 0 if torch.cuda.is_initialized() else self.workers  # a process that holds a GPU cannot be forked
            loader = DataLoader(records, batch_size=None, num_workers=workers)
            found: list[R] = []
            kept = {path.stem for path in records.folder.glob("*.npz")}
            with WorkProgress("videos", len(records), description=f"rollouts, round {round + 1}") as progress:
                progress.print(
                    f"rollouts, round {round + 1}: {len(records)} videos, tracked and recorded with their truth: "
                    f"what there is to learn from; kept in {records.folder}"
                )
                for number, record in zip(records.videos, loader, strict=True):
                    found.append(record)
                    progress.advance(made=records.data.sequence(number).name not in kept)
            learned = len(found) - (0 if round else self.held_out)
            self.held_out_records += found[learned:]
            self.rounds.append(found[:learned])
            self.folders[round:] = [str(records.folder), *self.folders[round + 1 :]]

    def train_dataloader(self) -> DataLoader:
        epoch = self.training_module.current_epoch
        self.gather(epoch)
        known = [record for tracked in self.rounds for record in tracked]
        return DataLoader(self.batches(known, first=epoch == 0), batch_size=None)

    def val_dataloader(self) -> list[DataLoader]:
        """The records held out, and a sign that it is time for the closed loop."""
        self.gather(0)
        return [
            DataLoader(SingleBatch(batch), batch_size=None)
            for batch in (self.validation_batch(self.held_out_records), CLOSED_LOOP)
        ]


CLOSED_LOOP = 0
"""Stands for a batch where a learner is to track its validation videos."""


@dataclass(frozen=True)
class SingleBatch(Dataset):
    """A data set of one batch."""

    batch: Any

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.batch
