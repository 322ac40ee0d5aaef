"""Trains a learnable policy: `python -m experiments.train learner=read_gate`, or `-m seed=1,2,3`."""

from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from framework.config.checks import build, limit_threads, positive
from framework.config.cli import command
from framework.errors import InputError
from framework.learning.checkpoints import claim, fit, write_best
from framework.learning.limits import check_limits, check_trained
from framework.learning.progress import without_advice
from framework.learning.training_log import logged


def train(config: DictConfig) -> None:
    """Goes on from the folder's last state when there is one; writes the weights that were best at any."""
    positive(steps=config.steps)
    if config.seed < 0:
        raise InputError(f"seed={config.seed} must be 0 or more")
    limit_threads(config.threads)
    without_advice()
    pl.seed_everything(config.seed, verbose=False)
    module, data = build(config.learner.module), build(config.learner.data)
    trainer = build(config.trainer, MisconfigurationException)
    check_limits(trainer)
    configuration = OmegaConf.to_yaml(config, resolve=True)
    last = claim(Path(config.folder), configuration)
    with logged(trainer, configuration):
        fit(trainer, module, data, last)
    check_trained(trainer)
    checkpoint = trainer.checkpoint_callback
    write_best(module, checkpoint.best_model_path, Path(config.weights))
    score = "not validated" if checkpoint.best_model_score is None else f"{checkpoint.best_model_score:.4f}"
    print(f"weights {config.weights}  {checkpoint.monitor} {score}")


@command("train", seed=int, title=str, steps=int, threads=int | None, folder=str, weights=str)
def main(config: DictConfig) -> None:
    train(config)


if __name__ == "__main__":
    main()
