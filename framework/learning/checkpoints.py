"""The folder of one training: its configuration, its last state and its best weights."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from framework.errors import InputError
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
    if record.exists() and record.read_text() != configuration:
        raise InputError(f"{folder} holds a training of another configuration: give another folder=, or remove it")
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
