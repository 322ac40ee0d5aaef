"""Trains the embedded network on the procedural benchmark: `python -m experiments.pretrain minutes=55`."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from framework.cli import build, check, command
from framework.networks import checkpoints


@command("pretrain")
def main(config: DictConfig) -> None:
    """Goes on from the folder's last checkpoint when there is one."""
    check(config, minutes=float | int, seed=int, threads=int, folder=str, weights=str, initial=str | None)
    torch.set_num_threads(config.threads)
    pl.seed_everything(config.seed)
    module = build(config.module)
    if config.initial is not None:
        module.network.load_state_dict(checkpoints.read(Path(config.initial)))
    trainer = build(config.trainer)
    last = Path(config.folder) / "last.ckpt"
    trainer.fit(module, build(config.data), ckpt_path=str(last) if last.exists() else None, weights_only=False)


if __name__ == "__main__":
    main()
