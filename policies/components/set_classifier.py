"""A small network that classifies the last element of a set in the light of all of them."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from framework.ops.plugin_weights import HostWeights
from framework.ops.vectors import standardised
from policies.features.kernels import classified

UNUSUAL = 6.0
"""Deviations beyond which an input is cut off, so that no network or video is too strange."""


class _Perceptron(nn.Sequential):
    """Two layers. They are not called as modules, which would cost more than such small products."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, elements: Float[Tensor, "*b inputs"]) -> Float[Tensor, "*b outputs"]:
        first, _, last = self
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        return F.linear(torch.relu(F.linear(elements, first.weight, first.bias)), last.weight, last.bias)


class SetClassifier(nn.Module):
    """Deep sets (Zaheer et al. 2017): one perceptron per element, a mean and a maximum pool, and a head.

    Inputs are centred, scaled and, where `used` is 0, ignored.

    Args:
        inputs: numbers per element.
        width: of an element's embedding.
        hidden: width inside the head.
    """

    RIGHT, WRONG, ABSENT = range(3)
    """Classes: the mask is right, it is wrong, the object is not in the frame."""

    def __init__(self, inputs: int, width: int = 64, hidden: int = 48) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.used: Tensor
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.register_buffer("used", torch.ones(inputs))
        self.embed = _Perceptron(inputs, width, width)
        self.head = _Perceptron(3 * width, hidden, 3)
        self._layers, self._host = (*self.embed.parameters(), *self.head.parameters()), HostWeights()

    def forward(
        self, elements: Float[Tensor, "*b n inputs"], present: Bool[Tensor, "*b n"] | None = None
    ) -> Float[Tensor, "*b 3"]:
        """Logits of right, wrong and absent for the last element. None are missing unless `present` says so."""
        standard = ((elements - self.centre) / self.scale * self.used).clamp(-UNUSUAL, UNUSUAL)
        embedded = torch.relu(self.embed(standard))
        if present is None:
            mean, most = embedded.mean(-2), embedded.amax(-2)
        else:  # embeddings are not negative, so a missing one may be 0
            counted = embedded * present[..., None]
            mean, most = counted.sum(-2) / present.sum(-1, keepdim=True).clamp_min(1), counted.amax(-2)
        return self.head(torch.cat([embedded[..., -1, :], mean, most], dim=-1))

    def on_host(self, elements: Float[np.ndarray, "n inputs"]) -> Float[np.ndarray, " 3"]:
        """`forward` of one set, by the weights of this moment, without torch."""
        centre, scale, used, *layers = self._host.of(self.centre, self.scale, self.used, *self._layers)
        return classified(standardised(elements, UNUSUAL, centre, scale, used), *layers)
