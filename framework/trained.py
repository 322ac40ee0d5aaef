"""Weights of learned plug-ins, which carry the names of the inputs they were trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn


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
        if known == list(inputs):
            module.load_state_dict(stored["model"])
    except Exception as error:
        reason = f"does not hold weights of learner={learner}" if path.is_file() else "does not exist"
        raise ValueError(f"{path} {reason}: train them with experiments.train learner={learner}") from error
    if known != list(inputs):
        odd = sorted(set(known) ^ set(inputs)) or ["their order"]
        raise ValueError(f"{path} was trained on other inputs (differs in {', '.join(odd)}): train it again")
