"""Clips of any videos with true masks: a burn-in that is tracked only, then frames with a loss."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Bool, UInt8
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from framework.data.sequence import DataSet, VideoSequence
from framework.errors import InputError
from framework.types import Prompt

MIN_PIXELS = 40  # pixels of an object that can be prompted
MAX_DRAWS = 50  # draws without anything to learn from before giving up


@dataclass(frozen=True, slots=True, eq=False)
class VideoClip:
    """Consecutive frames of one video; frame 0 is prompted with the true masks."""

    images: tuple[UInt8[np.ndarray, "Hv Wv 3"], ...]
    prompts: Mapping[int, Prompt]
    """By object."""
    truth: tuple[Mapping[int, Bool[np.ndarray, "Hv Wv"]], ...]
    """True masks of the last frames, those to learn from; {} on frames without annotation."""

    @property
    def burn_in(self) -> int:
        """Frames before those to learn from, the prompted one included."""
        return len(self.images) - len(self.truth)


@dataclass(frozen=True, slots=True)
class ClipSampler:
    """How clips are drawn from videos.

    Args:
        frames: to learn from, at the end of a clip.
        burn_in: most frames tracked between the prompt and those; how many is drawn from 0 on, as the video allows.
        objects: tracked at most.
    """

    frames: int = 8
    burn_in: int = 200
    objects: int = 2

    def __post_init__(self) -> None:
        if self.frames < 1 or self.burn_in < 0 or self.objects < 1:
            raise ValueError("clips need frames >= 1, burn_in >= 0 and objects >= 1")

    def draw(self, rng: np.random.Generator, video: VideoSequence) -> VideoClip | None:
        """Part of a video; None where nothing can be prompted or nothing is annotated."""
        spare = video.length - 1 - self.frames
        if spare < 0:
            return None
        before = 1 + int(rng.integers(0, min(self.burn_in, spare) + 1))
        start = int(rng.integers(0, spare + 2 - before))
        shown = {key: mask for key, mask in video.truth(start).items() if mask.sum() >= MIN_PIXELS}
        numbers = range(start, start + before + self.frames)
        truth = tuple(video.truth(number) for number in numbers[before:])
        if not shown or not any(shown.keys() & masks.keys() for masks in truth):
            return None
        keys = sorted(rng.permutation(sorted(shown))[: self.objects].tolist())
        images = tuple(video.frame(number) for number in numbers)
        kept = tuple({key: masks[key] for key in keys if key in masks} for masks in truth)
        return VideoClip(images, {key: Prompt(mask=np.ascontiguousarray(shown[key])) for key in keys}, kept)


class VideoClipStream(IterableDataset):
    """Clips without end: the i-th one is a function of seed and i, whichever process draws it.

    Args:
        data: where videos come from, each data set equally often.
        start, step: i of the first clip, and from one to the next (several training processes share a stream).
    """

    def __init__(self, data: Sequence[DataSet], sampler: ClipSampler, seed: int, start: int = 0, step: int = 1) -> None:
        self.data, self.sampler, self.seed, self.start, self.step = data, sampler, seed, start, step

    def __iter__(self) -> Iterator[VideoClip]:
        cv2.setNumThreads(1)
        worker = get_worker_info()
        mine, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        index = self.start + mine * self.step
        while True:
            yield self.draw(index)
            index += workers * self.step

    def draw(self, index: int) -> VideoClip:
        """The clip of this number.

        Raises:
            InputError: the data have no masks, or no video that is long enough.
        """
        rng = np.random.default_rng((self.seed, index))
        for _ in range(MAX_DRAWS):
            data = self.data[int(rng.integers(len(self.data)))]
            clip = self.sampler.draw(rng, data.sequence(int(rng.integers(len(data)))))
            if clip is not None:
                return clip
        names = ", ".join(data.name for data in self.data)
        raise InputError(
            f"{MAX_DRAWS} videos of {names} gave no {self.sampler.frames} frames in a row with a mask to learn from"
        )


class HeldOut(Dataset):
    """Whole videos, all those of several data sets."""

    def __init__(self, data: Sequence[DataSet]) -> None:
        self.videos = [(one, index) for one in data for index in range(len(one))]

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> VideoSequence:
        data, number = self.videos[index]
        return data.sequence(number)


class VideoClips(pl.LightningDataModule):
    """Clips to train on and videos to track whole.

    Args:
        train, val: data sets by any name; in `val` every video is tracked, so limit them.
        sampler: how clips are drawn.
        workers: processes that draw clips (0: the training process itself).
    """

    def __init__(
        self,
        train: Mapping[str, DataSet],
        val: Mapping[str, DataSet],
        sampler: ClipSampler,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not train or not val:
            raise ValueError("train and val need a data set each")
        self.train, self.val, self.sampler, self.workers, self.seed = train, val, sampler, workers, seed

    def train_dataloader(self) -> DataLoader:
        trainer = self.trainer
        assert trainer is not None
        done = trainer.global_step * trainer.accumulate_grad_batches
        start, step = done * trainer.world_size + trainer.global_rank, trainer.world_size
        stream = VideoClipStream(list(self.train.values()), self.sampler, self.seed, start, step)
        return DataLoader(stream, batch_size=None, num_workers=self.workers)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(HeldOut(list(self.val.values())), batch_size=None)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # networks take frames from the host
