"""The network that judges hypotheses by their features."""

from math import tanh

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from framework.ops.plugin_weights import HostWeights
from framework.ops.vectors import standardised
from motion.features.kernels import judged
from motion.features.relative import FEATURES

UNUSUAL = 6.0
"""Deviations beyond which an input is cut off, so that no network or video is too strange."""


class Judge(nn.Module):
    """Logit of the IoU that a mask has with the object, from its features; those whose `used` is 0 are ignored."""

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
        self._weights, self._host = tuple(self.layers.parameters()), HostWeights()

    def forward(self, rows: Float[Tensor, "*b inputs"]) -> Float[Tensor, "*b"]:
        usual = ((rows - self.centre) / self.scale * self.used).clamp(-UNUSUAL, UNUSUAL)
        return self.layers(usual)[..., 0]

    def expect(self, rows: Float32[np.ndarray, "n inputs"]) -> tuple[float, ...]:
        """IoU of each mask, as `forward` gives it in evaluation, by the weights of this moment."""
        centre, scale, used, *weights = self._host.of(self.centre, self.scale, self.used, *self._weights)
        logits = judged(standardised(rows, UNUSUAL, centre, scale, used), *weights)
        return tuple((1 + tanh(logit / 2)) / 2 for logit in logits[:, 0].tolist())
