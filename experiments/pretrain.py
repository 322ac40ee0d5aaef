"""Trains the embedded network on the procedural benchmark: `python -m experiments.pretrain minutes=55`."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from framework.cli import build, check, command
from framework.learning.folder import claim
from framework.networks import checkpoints


def pretrain(config: DictConfig) -> None:
    """Goes on from the folder's last checkpoint when there is one."""
    check(config, minutes=float | int, seed=int, threads=int, folder=str, weights=str, initial=str | None)
    torch.set_num_threads(config.threads)
    last = claim(Path(config.folder), OmegaConf.to_yaml(config, resolve=True))
    pl.seed_everything(config.seed)
    module, data, trainer = build(config.module), build(config.data), build(config.trainer)
    if config.initial is not None:
        module.network.load_state_dict(checkpoints.read(Path(config.initial)))
    trainer.fit(module, data, ckpt_path=last and str(last), weights_only=True)


@command("pretrain")
def main(config: DictConfig) -> None:
    pretrain(config)


if __name__ == "__main__":
    main()
