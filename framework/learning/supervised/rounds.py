"""Rounds of recorded videos to learn from: the first is tracked by a rule, later ones by what was learned so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from framework.data.sequence import DataSet
from framework.errors import InputError
from framework.interfaces import Network
from framework.learning.supervised.examples import ExampleBatches, HypothesisExamples, VideoExamples
from framework.learning.supervised.records import TrackedVideos, TrackerParts
from framework.learning.supervised.training import EstimatorTraining
from framework.report.progress import WorkProgress


class TrackedRounds(pl.LightningDataModule):
    """One round of videos per epoch, on top of those before.

    Args:
        network: frozen.
        data: training videos.
        watched: trackers that are learned from beside the learner's own, by name.
        videos: per round; round r takes those from r * `videos` on.
        held_out: videos from the end of the first round that are validated on instead.
        frames: per training step.
        workers: processes that track videos; where a GPU tracks them, it is this one.
        cache: folder that keeps records, those of unfinished rounds too.

    Raises:
        InputError: nothing to learn from, or nothing held out.
    """

    def __init__(
        self,
        network: Network,
        data: DataSet,
        watched: Mapping[str, TrackerParts],
        videos: int = 600,
        held_out: int = 60,
        frames: int = 512,
        workers: int = 2,
        cache: str = "outputs/rollouts",
        seed: int = 0,
    ) -> None:
        if not 1 <= held_out < videos or workers < 0:
            raise InputError(
                f"learning needs 1 <= held_out < videos and workers >= 0, not {held_out}, {videos} and {workers}"
            )
        super().__init__()
        self._network, self.data, self.watched = (network,), data, watched
        self.videos, self.held_out, self.frames, self.workers = videos, held_out, frames, workers
        self.cache, self.seed = Path(cache), seed
        self.rounds: list[list[HypothesisExamples]] = []
        self.held_out_examples: list[HypothesisExamples] = []
        self.folders: list[str] = []
        """Where the records of each round are: a resumed training learns from the same ones."""

    def state_dict(self) -> dict[str, Any]:
        return {"folders": [*self.folders]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.folders = state_dict["folders"]

    @property
    def training_module(self) -> EstimatorTraining:
        assert self.trainer is not None
        module = self.trainer.lightning_module
        assert isinstance(module, EstimatorTraining)
        return module

    def records(self, round: int) -> TrackedVideos:
        """Those of a round, made where they are not yet there."""
        known = self.folders[round] if round < len(self.folders) else None
        trackers = {**self.watched, "learner": self.training_module.rollout(first=round == 0)}
        videos = range(round * self.videos, (round + 1) * self.videos)
        return TrackedVideos(self._network[0], trackers, self.data, videos, self.cache, known)

    def gather(self, epoch: int) -> None:
        """Adds rounds up to that of `epoch`."""
        for round in range(len(self.rounds), epoch + 1):
            records = self.records(round)
            workers = 0 if torch.cuda.is_initialized() else self.workers  # a process that holds a GPU cannot be forked
            loader = DataLoader(VideoExamples(records), batch_size=None, num_workers=workers)
            found: list[HypothesisExamples] = []
            kept = {path.stem for path in records.folder.glob("*.npz")}
            with WorkProgress("videos", len(records), description=f"rollouts, round {round + 1}") as progress:
                progress.print(
                    f"rollouts, round {round + 1}: {len(records)} videos, tracked and recorded with their truth: "
                    f"what there is to learn from; kept in {records.folder}"
                )
                for number, examples in zip(records.videos, loader, strict=True):
                    found.append(examples.clone())  # what a worker sends keeps files open
                    progress.advance(made=records.data.sequence(number).name not in kept)
            learned = len(found) - (0 if round else self.held_out)
            self.held_out_examples += found[learned:]
            self.rounds.append(found[:learned])
            self.folders[round:] = [str(records.folder), *self.folders[round + 1 :]]

    def train_dataloader(self) -> DataLoader:
        epoch = self.training_module.current_epoch
        self.gather(epoch)
        examples = self.joined([one for tracked in self.rounds for one in tracked])
        if epoch == 0:
            self.training_module.standardise(examples)
        batches = ExampleBatches(examples, self.frames, self.seed, self.training_module.global_step)
        return DataLoader(batches, batch_size=None)

    def val_dataloader(self) -> list[DataLoader]:
        """The examples held out, and a sign that it is time for the closed loop."""
        self.gather(0)
        return [
            DataLoader(SingleBatch(batch), batch_size=None)
            for batch in (self.joined(self.held_out_examples), CLOSED_LOOP)
        ]

    def joined(self, examples: list[HypothesisExamples]) -> HypothesisExamples:
        """What can be learned from all of these videos.

        Raises:
            InputError: nothing.
        """
        found = self.training_module.counted(HypothesisExamples.join(examples))
        if not len(found):
            raise InputError(f"there was nothing to choose on {len(examples)} videos: give more videos, or longer ones")
        return found


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
