"""The folder of one training: its configuration, its last state and its best weights."""

import io
from pathlib import Path

import pytorch_lightning as pl
import torch

from framework.errors import InputError
from framework.results import write_atomic

CONFIGURATION, LAST = "training.yaml", "last.ckpt"


def claim(folder: Path, configuration: str) -> Path | None:
    """The state that a training of this configuration has reached in its folder; None when it begins.

    Raises:
        InputError: the folder is another training's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record, last = folder / CONFIGURATION, folder / LAST
    if record.exists() and record.read_text() != configuration:
        raise InputError(f"{folder} holds a training of another configuration: give another folder=, or remove it")
    if not record.exists() and last.exists():
        raise InputError(f"{folder} holds a training without its {CONFIGURATION}: give another folder=, or remove it")
    write_atomic(record, configuration.encode())
    return last if last.exists() else None


def write_best(module: pl.LightningModule, best: str, path: Path) -> None:
    """Writes what `module.learned` describes as its checkpoint, with the weights of a state of the training.

    Args:
        best: file of that state; empty for the weights as they are.
    """
    if best:
        module.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
    learned, content = module.learned, io.BytesIO()
    torch.save(learned.checkpoint(), content)  # type: ignore[operator, union-attr]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
