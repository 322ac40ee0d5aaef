"""The folder of one training: its configuration, its last state and its best weights."""

import io
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from framework.errors import InputError
from framework.learning.supervised.rounds import TrackedRounds
from framework.storage.differences import differences
from framework.storage.files import write_atomic

CONFIGURATION, LAST = "training.yaml", "last.ckpt"


@runtime_checkable
class LearnedPart(Protocol):
    """The part of a policy that is trained, a module."""

    def checkpoint(self) -> Mapping[str, Any]:
        """What the policy reads its weights from: plain values and tensors."""


@runtime_checkable
class Learner(Protocol):
    """A LightningModule that trains a policy and logs how good it is in closed loop as `val/J`, higher is better."""

    @property
    def learned(self) -> LearnedPart: ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> Any: ...


def claim(folder: Path, configuration: str) -> Path | None:
    """The state that a training of this configuration has reached in its folder; None when it begins.

    Raises:
        InputError: the folder is another training's, or its state is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record, last = folder / CONFIGURATION, folder / LAST
    if record.exists() and (there := record.read_text()) != configuration:
        what = "; ".join(differences(yaml.safe_load(there), yaml.safe_load(configuration))[:3])
        raise InputError(
            f"{folder} holds a training of another configuration ({what}): give another folder=, or remove it"
        )
    if not record.exists() and last.exists():
        raise InputError(f"{folder} holds a training without its {CONFIGURATION}: give another folder=, or remove it")
    write_atomic(record, configuration.encode())
    if not last.exists():
        return None
    try:
        torch.load(last, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{last} is damaged: remove it to begin again") from error
    return last


class LastState(Checkpoint):
    """Keeps the state that a training goes on from: after every validation, and between them after optimiser steps.

    Args:
        dirpath: folder of the training.
        seconds: between two states at least; an interruption loses no more than what came since, and its own step.
    """

    def __init__(self, dirpath: str, seconds: float = 30.0) -> None:
        self.path, self.seconds = Path(dirpath) / LAST, seconds
        self._kept = time.monotonic()
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._kept, self._step = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        whole, self._step = trainer.global_step > self._step, trainer.global_step
        if whole and time.monotonic() - self._kept >= self.seconds:
            self._keep(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._keep(trainer)

    def _keep(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._kept = time.monotonic()


def fit(trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule, last: Path | None) -> None:
    """Trains, from the state `last` on if there is one.

    Raises:
        KeyboardInterrupt: by Ctrl-C; its text says what is kept and where the same command goes on.
        SystemExit: 143 by SIGTERM, as a cluster sends before it takes a machine away; says the same on stderr.
    """
    try:
        trainer.fit(module, data, ckpt_path=last and str(last), weights_only=True)
    except SIGTERMException:
        print(_interruption(trainer, data), file=sys.stderr)
        raise SystemExit(143) from None
    except SystemExit as end:
        if not isinstance(end.__context__, KeyboardInterrupt):  # how Lightning ends
            raise
        raise KeyboardInterrupt(_interruption(trainer, data)) from None


def _interruption(trainer: pl.Trainer, data: pl.LightningDataModule) -> str:
    """What is kept of a training that was interrupted, and where it goes on."""
    folder = Path(trainer.default_root_dir)
    at = f"interrupted at step {trainer.global_step}: "
    recorded = f"; recorded videos are kept in {data.cache}" if isinstance(data, TrackedRounds) else ""
    if not (folder / LAST).exists():
        return f"{at}no state was saved in {folder} yet, the same command begins again{recorded}"
    kept = torch.load(folder / LAST, map_location="cpu", weights_only=True)["global_step"]
    return f"{at}{folder / LAST} keeps step {kept}, the same command goes on from there{recorded}"


def write_best(module: Learner, best: str, path: Path) -> None:
    """Writes the checkpoint of the policy that `module` trained, with the weights of a state of the training.

    Args:
        best: file of that state; empty for the weights as they are.
    """
    if best:
        module.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
    content = io.BytesIO()
    torch.save(dict(module.learned.checkpoint()), content)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
