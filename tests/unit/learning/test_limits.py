"""A training that learns nothing writes no weights."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from framework.errors import InputError
from framework.learning.limits import check_limits, check_trained


def trainer(**limits):
    return pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **limits)


@pytest.mark.parametrize("name", ["max_epochs", "max_steps", "limit_train_batches"])
def test_a_limit_of_nothing_is_refused(name):
    with pytest.raises(InputError, match=f"trainer.{name}=0 trains nothing: give 1 or more"):
        check_limits(trainer(**{name: 0}))


def test_limits_of_something_and_none_are_not():
    check_limits(trainer(max_epochs=1, max_steps=-1, limit_train_batches=0.5))
    check_limits(trainer(max_epochs=-1))


class Line(pl.LightningModule):
    """y = x, learned by steps that change nothing."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch, index):
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


@pytest.mark.parametrize(("time", "steps"), [({"seconds": 0}, 0), (None, 2)])
def test_a_training_without_a_step_is_refused_afterwards(time, steps):
    one = trainer(max_epochs=1, max_time=time, enable_progress_bar=False, enable_model_summary=False)
    one.fit(Line(), DataLoader(torch.zeros(2, 1)))
    assert one.global_step == steps
    if steps:
        check_trained(one)
    else:
        with pytest.raises(InputError, match="ended before its first step and wrote no weights"):
            check_trained(one)
