"""A training's folder: what an interruption keeps, and that it says so."""

import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from framework.data.procedural.dataset import Procedural
from framework.learning.checkpoints import LAST, fit
from framework.learning.supervised.rounds import TrackedRounds
from framework.networks.micro import network


@pytest.fixture(autouse=True)
def signals():
    """Lightning ignores further Ctrl-C once it was interrupted."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Module(pl.LightningModule):
    """Is interrupted in the step after the first `at`."""

    def __init__(self, at: int, number: signal.Signals = signal.SIGINT) -> None:
        super().__init__()
        self.weight, self.at, self.number = torch.nn.Parameter(torch.zeros(1)), at, number

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def training_step(self, batch, index):
        if self.global_step == self.at:
            os.kill(os.getpid(), self.number)
        return self.weight.sum()


class Steps(pl.LightningDataModule):
    def train_dataloader(self):
        return DataLoader(range(8), batch_size=None)


class Recorded(TrackedRounds):
    """Its videos are recorded already."""

    train_dataloader = Steps.train_dataloader

    def __init__(self, cache):
        super().__init__(network("random"), Procedural("train"), {}, videos=2, held_out=1, workers=0, cache=cache)

    def val_dataloader(self):
        return []


def trained(folder, module, data=None, last=None, every=3):
    saved = pl.callbacks.ModelCheckpoint(
        dirpath=folder, filename="last", every_n_train_steps=every, enable_version_counter=False
    )
    trainer = pl.Trainer(
        default_root_dir=folder, max_epochs=1, accelerator="cpu", logger=False, callbacks=[saved],
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    fit(trainer, module, data or Steps(), last)
    return trainer.global_step


@pytest.fixture
def interruptible():
    """Also where the tests run in the background, which ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.filterwarnings("ignore")
def test_an_interruption_says_what_is_kept_and_the_same_command_goes_on_from_there(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stop:
        trained(tmp_path, Module(at=5))
    last = tmp_path / LAST
    assert str(stop.value) == f"interrupted at step 5: {last} keeps step 3, the same command goes on from there"
    module = Module(at=-1)
    assert trained(tmp_path, module, last=last) == 8 and module.weight.item() == -8


@pytest.mark.usefixtures("interruptible")
@pytest.mark.filterwarnings("ignore")
def test_before_the_first_state_an_interruption_keeps_recorded_videos_alone(tmp_path):
    data = Recorded(cache=str(tmp_path / "records"))
    with pytest.raises(KeyboardInterrupt) as stop:
        trained(tmp_path, Module(at=1), data)
    begins = f"interrupted at step 1: no state was saved in {tmp_path} yet, the same command begins again"
    assert str(stop.value) == f"{begins}; recorded videos are kept in {tmp_path / 'records'}"


@pytest.mark.filterwarnings("ignore")
def test_a_machine_taken_away_is_no_success(tmp_path, capfd):
    with pytest.raises(SystemExit) as end:
        trained(tmp_path, Module(at=3, number=signal.SIGTERM))
    assert end.value.code == 143
    assert f"{tmp_path / LAST} keeps step 3, the same command goes on from there" in capfd.readouterr().err
