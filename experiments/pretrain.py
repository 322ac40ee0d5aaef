"""Trains the embedded network on the procedural benchmark: `python -m experiments.pretrain minutes=55`."""

from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from framework.config.checks import build, limit_threads
from framework.config.cli import command
from framework.learning.checkpoints import claim, fit
from framework.learning.limits import check_limits
from framework.learning.progress import without_advice
from framework.learning.training_log import logged
from framework.networks.micro import load


def pretrain(config: DictConfig) -> None:
    """Goes on from the folder's last checkpoint when there is one."""
    limit_threads(config.threads)
    without_advice()
    pl.seed_everything(config.seed, verbose=False)
    module, data = build(config.module), build(config.data)
    trainer = build(config.trainer, MisconfigurationException)
    check_limits(trainer)
    if config.initial is not None:
        load(module.network, Path(config.initial))
    configuration = OmegaConf.to_yaml(config, resolve=True)
    last = claim(Path(config.folder), configuration)
    with logged(trainer, configuration):
        fit(trainer, module, data, last)


@command(
    "pretrain",
    minutes=float,
    seed=int,
    title=str,
    threads=int | None,
    folder=str,
    weights=str,
    initial=str | None,
)
def main(config: DictConfig) -> None:
    pretrain(config)


if __name__ == "__main__":
    main()
