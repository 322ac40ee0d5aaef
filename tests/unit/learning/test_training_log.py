"""A training in Weights & Biases offline, read back."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from torch.utils.data import DataLoader

from framework.config.checks import build
from framework.learning.training_log import TrainingRun, logged
from framework.storage.identity import run_hash
from tests.composition import as_from_the_command_line
from tests.wandb_files import read_run


class Module(pl.LightningModule):
    """Logs the number of its step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def training_step(self, batch, index):
        self.log("loss", float(self.global_step))
        return self.weight.sum()

    def train_dataloader(self):
        return DataLoader(range(3), batch_size=None)


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")  # Lightning sets it for the rest of the process
    monkeypatch.setenv("HOME", str(tmp_path))
    return as_from_the_command_line("train", ["learner=judge", "seed=3", f"folder={tmp_path}/run"])


def trained(config):
    trainer = pl.Trainer(
        logger=build(config.train_logger),
        max_epochs=1,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    configuration = yaml.safe_dump({"seed": 3, "policy": {"slots": 6}, "learner": {"rate": 0.5}})
    with logged(trainer, configuration):
        trainer.fit(Module())
    return trainer, yaml.safe_load(configuration)


def test_a_resumed_training_is_the_run_of_its_configuration(config, tmp_path, capfd):
    import wandb

    assert isinstance(build(config.train_logger), TrainingRun)
    _, configuration = trained(config)
    trained(config)
    wandb.teardown()  # as at the end of the process: everything is on disk
    runs = [read_run(folder) for folder in sorted(Path(tmp_path / "run/wandb").glob("offline-run-*"))]
    assert runs and {run.id for run in runs} == {run_hash(configuration)}
    for run in runs:
        assert {key: run.config[key] for key in configuration} == configuration
        assert (run.name, run.group, run.tags) == ("judge-3", "judge", ["training", "judge"])
        assert [line["loss"] for line in run.history if "loss" in line] == [0.0, 1.0, 2.0]
    assert "anonymous" not in capfd.readouterr().err
