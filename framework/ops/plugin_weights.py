"""Weights of learned plug-ins, which carry the names of the inputs they were trained on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def checkpoint(module: nn.Module, inputs: Sequence[str], version: int) -> dict[str, Any]:
    """What `load` reads; `version` is of what the inputs mean."""
    return {"model": module.state_dict(), "inputs": list(inputs), "version": version}


def load(
    build: Callable[[Mapping[str, Tensor]], M], path: Path, inputs: Sequence[str], version: int, learner: str
) -> M:
    """The module that is built for these weights, with them; `learner` is the one of experiments.train that makes them.

    A file with the weights of several learners has them by their names. One without a version has the first.

    Raises:
        ValueError: a file that is missing, holds no such weights, or was trained on other inputs.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        stored = stored.get(learner, stored)
        known, meant = list(stored["inputs"]), stored.get("version", 1)
        if not "".join(known).isprintable() or not isinstance(meant, int):
            raise ValueError("no names")
        if (known, meant) == (list(inputs), version):
            module = build(stored["model"])
            module.load_state_dict(stored["model"])
            return module
    except Exception as error:
        reason = f"does not hold weights of learner={learner}" if path.is_file() else "does not exist"
        raise ValueError(f"{path} {reason}: train them with experiments.train learner={learner}") from error
    order = "their order" if meant == version else f"version {meant}, not {version}"
    odd = ", ".join(sorted(set(known) ^ set(inputs))[:3]) or order
    raise ValueError(f"{path} was trained on other inputs (differs in {odd}): train it again")
