"""The network that estimates how right a mask is from its features."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from framework.ops import plugin_weights
from framework.ops.features.relative import FEATURES, VERSION, used_without

UNUSUAL = 6.0
"""Deviations beyond which an input is cut off, so that no network or video is too strange."""


class IouEstimator(nn.Module):
    """Logit of the IoU that a mask has with the object, from its features; those whose `used` is 0 are ignored.

    Args:
        inputs: numbers per mask.
        width: of the two hidden layers.
        dropout: of their units, in training.
    """

    def __init__(self, inputs: int = len(FEATURES), width: int = 64, dropout: float = 0.3) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.used: Tensor
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.register_buffer("used", torch.ones(inputs))
        first = nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)
        second = nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout)
        self.layers = nn.Sequential(*first, *second, nn.Linear(width, 1))

    def forward(self, rows: Float[Tensor, "*b inputs"]) -> Float[Tensor, "*b"]:
        usual = ((rows - self.centre) / self.scale * self.used).clamp(-UNUSUAL, UNUSUAL)
        return self.layers(usual)[..., 0]

    @torch.no_grad()
    def estimate(self, rows: Float32[np.ndarray, "n inputs"]) -> tuple[float, ...]:
        """IoU of each mask, 0..1, in evaluation."""
        assert not self.training, "a part that decides does not drop units"
        return tuple(self(torch.from_numpy(rows).to(self.centre.device)).sigmoid().tolist())

    def standardise(self, rows: Float[Tensor, "*b inputs"]) -> None:
        """Centres and scales inputs as these rows have them."""
        flat = rows.flatten(0, -2)
        self.centre.copy_(flat.mean(0))
        self.scale.copy_(flat.std(0).clamp_min(1e-3))

    def ignore(self, groups: Collection[str]) -> None:
        """Leaves out the features of these groups (`framework.ops.features.relative.GROUPS`), for an ablation."""
        self.used.copy_(torch.tensor(used_without(groups)))

    def checkpoint(self) -> dict[str, Any]:
        """What `load` reads."""
        return plugin_weights.checkpoint(self, FEATURES, VERSION)

    def load(self, path: Path, learner: str) -> None:
        """Loads the weights that `learner` made (see `framework.ops.plugin_weights.load`)."""
        plugin_weights.load(lambda _: self, path, FEATURES, VERSION, learner)
