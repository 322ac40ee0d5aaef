"""Weights of learned plug-ins, which carry the names of the inputs they were trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class HostWeights:
    """Weights as arrays on the host, which is where a decision that takes less than a transfer is computed.

    They share their memory with tensors there, so what an optimizer writes is seen at once, and are found only once,
    since that takes longer than computing with them. Weights elsewhere are transferred every time.
    """

    def __init__(self) -> None:
        self._places: tuple[int, ...] = ()
        self._arrays: tuple[np.ndarray, ...] = ()

    def of(self, *weights: Tensor) -> tuple[np.ndarray, ...]:
        """By their values of this moment."""
        places = tuple(one.data_ptr() for one in weights)
        if places != self._places or not weights[0].is_cpu:
            self._arrays, self._places = tuple(one.numpy(force=True) for one in weights), places
        return self._arrays

    def __reduce__(self) -> tuple[type["HostWeights"], tuple[()]]:
        return HostWeights, ()  # a copy's weights lie elsewhere


def checkpoint(module: nn.Module, inputs: Sequence[str]) -> dict[str, Any]:
    """What `load` reads."""
    return {"model": module.state_dict(), "inputs": list(inputs)}


def load(module: nn.Module, path: Path, inputs: Sequence[str], learner: str) -> None:
    """Loads weights in place; `learner` is the one of experiments.train that makes them.

    Raises:
        ValueError: a file that is missing, holds no such weights, or was trained on other inputs.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        known = list(stored["inputs"])
        if not "".join(known).isprintable():
            raise ValueError("no names")
        if known == list(inputs):
            module.load_state_dict(stored["model"])
    except Exception as error:
        reason = f"does not hold weights of learner={learner}" if path.is_file() else "does not exist"
        raise ValueError(f"{path} {reason}: train them with experiments.train learner={learner}") from error
    if known != list(inputs):
        odd = sorted(set(known) ^ set(inputs)) or ["their order"]
        raise ValueError(f"{path} was trained on other inputs (differs in {', '.join(odd)}): train it again")
