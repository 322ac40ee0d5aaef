"""Lightning's view of the procedural benchmark: endless training clips, held-out videos."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from framework.data.procedural.dataset import Procedural
from framework.data.procedural.photo import Photo
from framework.errors import InputError
from framework.learning.pretraining.clips import Clips, ClipStream
from framework.learning.pretraining.module import Pretraining


class ProceduralClips(pl.LightningDataModule):
    """Endless training clips and a fixed set of held-out videos, one batch per level.

    Args:
        size: height and width in pixels.
        videos: held-out videos per level.
        frames: frames of each.
        workers: processes that draw training clips (0: the training process itself).
        photographs: photographic videos to train on and to hold out beside the drawn ones.
        photographic: share of the training videos that are theirs, 0..1.
        stills: share of those that are stills under warps, 0..1.

    Raises:
        InputError: shares beyond 0..1, or stills without photographs.
    """

    def __init__(
        self,
        size: int = 128,
        videos: int = 8,
        frames: int = 40,
        workers: int = 1,
        seed: int = 0,
        photographs: Photo | None = None,
        photographic: float = 0.7,
        stills: float = 0.0,
    ) -> None:
        super().__init__()
        if not (0 <= photographic <= 1 and 0 <= stills <= 1):
            raise InputError(f"data.photographic={photographic} and data.stills={stills} are shares: give 0 to 1")
        if stills and photographs is None:
            raise InputError("data.stills needs photographs: give data.photographs, as +pretraining=photo does")
        self.size, self.videos, self.frames, self.workers, self.seed = size, videos, frames, workers, seed
        self.photographs, self.photographic, self.stills = photographs, photographic, stills

    def train_dataloader(self) -> DataLoader:
        trainer = self.trainer
        assert trainer is not None
        module = trainer.lightning_module
        assert isinstance(module, Pretraining)
        seed = self.seed * trainer.world_size + trainer.global_rank
        photographs = (self.photographs, self.photographic, self.stills)
        stream = ClipStream(module.progress, module.curriculum, self.size, seed, trainer.global_step, *photographs)
        ahead = 3 if self.workers else None
        return DataLoader(stream, batch_size=None, num_workers=self.workers, prefetch_factor=ahead)

    def val_dataloader(self) -> DataLoader:
        sets = [(level, Procedural("val", level, length=60, size=self.size)) for level in ClipStream.LEVELS]
        if self.photographs is not None:
            held_out = replace(self.photographs, split="val", length=60, size=self.size)
            sets = [*sets[1:2], *((f"photo_{level}", replace(held_out, level=level)) for level in ClipStream.LEVELS)]
        return DataLoader(_HeldOut(sets, self.videos, self.frames), batch_size=None)


class _HeldOut(torch.utils.data.Dataset):
    def __init__(self, sets: Sequence[tuple[str, Procedural]], videos: int, frames: int) -> None:
        self.sets, self.videos, self.frames = sets, videos, frames

    def __len__(self) -> int:
        return len(self.sets)

    def __getitem__(self, index: int) -> tuple[str, Clips]:
        name, data = self.sets[index]
        images, owners = [], []
        for i in range(self.videos):
            sequence = data.sequence(i)
            images.append(np.stack([sequence.frame(t) for t in range(self.frames)]))
            owners.append(np.stack([sequence.ids(t) for t in range(self.frames)]))
        times = torch.arange(self.frames).expand(self.videos, -1).contiguous()
        pixels = torch.from_numpy(np.stack(images)).permute(0, 1, 4, 2, 3).contiguous()
        objects = torch.ones(self.videos, 1, dtype=torch.long)
        return name, Clips(pixels, torch.from_numpy(np.stack(owners)), objects, times, True)
