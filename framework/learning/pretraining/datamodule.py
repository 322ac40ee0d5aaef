"""Lightning's view of the procedural benchmark: endless training clips, held-out videos."""

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from framework.data.procedural.dataset import Procedural
from framework.learning.pretraining.clips import Clips, ClipStream
from framework.learning.pretraining.module import Pretraining


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
