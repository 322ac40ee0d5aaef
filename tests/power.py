"""Trainings that break off."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import pytorch_lightning as pl


@contextmanager
def power_cut(learner: type[pl.LightningModule], at: int) -> Iterator[None]:
    """Within, a training breaks off in the step after the first `at`."""
    step = learner.training_step

    def failing(module, batch, index):
        if module.global_step == at:
            raise RuntimeError("power cut")
        return step(module, batch, index)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(RuntimeError, match="power cut"):
        patched.setattr(learner, "training_step", failing)
        yield


class StopAfter(pl.Callback):
    """Ends a run early, as if it had been killed between two epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs
