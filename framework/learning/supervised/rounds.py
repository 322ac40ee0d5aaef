"""Training on rounds of recorded videos: the first goes by a rule, the later ones by what was learned so far."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytorch_lightning as pl
import torch
from rich.progress import track as progress
from torch.utils.data import DataLoader, Dataset

from framework.errors import InputError
from framework.learning.supervised.cached import CachedRecords

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
        self.kept_back: list[R] = []
        self.folders: list[str] = []
        """Where the records of each round are: a resumed run learns from the same ones."""

    @abstractmethod
    def recorded(self, turn: int, videos: range, folder: str | None) -> CachedRecords[R]:
        """The records of a round, in `folder` if it is known where they are."""

    @abstractmethod
    def lessons(self, records: Sequence[R], first: bool) -> Dataset:
        """Training steps without end; `first` before anything was learned."""

    @abstractmethod
    def examination(self, records: Sequence[R]) -> Any:
        """All of these records as one validation step."""

    def state_dict(self) -> dict[str, Any]:
        return {"folders": [*self.folders]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.folders = state_dict["folders"]

    @property
    def learning(self) -> pl.LightningModule:
        assert self.trainer is not None
        return self.trainer.lightning_module

    def gather(self, epoch: int) -> None:
        """Adds rounds up to that of `epoch`."""
        for turn in range(len(self.rounds), epoch + 1):
            known = self.folders[turn] if turn < len(self.folders) else None
            records = self.recorded(turn, range(turn * self.videos, (turn + 1) * self.videos), known)
            workers = 0 if torch.cuda.is_initialized() else self.workers  # a process that holds a GPU cannot be forked
            loader = DataLoader(records, batch_size=None, num_workers=workers)
            found = list(progress(loader, f"rollouts, round {turn + 1}", total=len(records)))
            learned = len(found) - (0 if turn else self.held_out)
            self.kept_back += found[learned:]
            self.rounds.append(found[:learned])
            self.folders[turn:] = [str(records.folder), *self.folders[turn + 1 :]]

    def train_dataloader(self) -> DataLoader:
        epoch = self.learning.current_epoch
        self.gather(epoch)
        known = [record for tracked in self.rounds for record in tracked]
        return DataLoader(self.lessons(known, first=epoch == 0), batch_size=None)

    def val_dataloader(self) -> list[DataLoader]:
        """What was kept back, and a sign that it is time for the closed loop."""
        self.gather(0)
        return [DataLoader(One(batch), batch_size=None) for batch in (self.examination(self.kept_back), CLOSED_LOOP)]


CLOSED_LOOP = 0
"""Stands for a batch where a learner is to track its validation videos."""


@dataclass(frozen=True)
class One(Dataset):
    """A data set of one batch."""

    batch: Any

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.batch
