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
