"""What a training logs of itself before its first number, and the end of its log."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import yaml
from pytorch_lightning.loggers import WandbLogger

from framework.storage.identity import run_hash


class TrainingRun(WandbLogger):
    """A training in Weights & Biases, whose run is named by the hash of its configuration: resumed, it goes on."""

    def __init__(self, **options: Any) -> None:
        mode = "offline" if options.get("offline") else "online"  # the environment counts only before wandb is set up
        super().__init__(**{"mode": mode, **options})
        self._wandb_init.pop("anonymous", None)  # wandb warns of it, whatever it is

    def continue_run(self, configuration: Mapping[str, Any]) -> None:
        """Names the run; before anything is logged."""
        self._wandb_init["id"] = self._id = run_hash(configuration)


@contextmanager
def logged(trainer: pl.Trainer, configuration: str) -> Iterator[None]:
    """A training of this configuration (YAML), which is logged first; at the end the log is closed.

    The next job of a sweep would write to it otherwise.
    """
    plain = yaml.safe_load(configuration)
    for logger in trainer.loggers:
        if isinstance(logger, TrainingRun):
            logger.continue_run(plain)
        logger.log_hyperparams(plain)
    try:
        yield
    finally:
        for logger in trainer.loggers:
            if isinstance(logger, TrainingRun):
                logger.experiment.finish()
