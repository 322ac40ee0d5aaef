"""A small network that judges each element of a set in the light of all of them."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from framework.ops.plugin_weights import HostWeights
from framework.ops.vectors import standardised
from policies.features.kernels import judged

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


class SetScorer(nn.Module):
    """Deep sets (Zaheer et al. 2017) with one perceptron per element, a mean and maximum pool, and two heads.

    Inputs are centred, scaled and, where `used` is 0, ignored.

    Args:
        inputs: numbers per element.
        width: of an element's embedding.
        hidden: width inside the heads.
    """

    RIGHT, WRONG, ABSENT = range(3)
    """Classes of the first head: the mask is right, it is wrong, the object is not in the frame."""

    def __init__(self, inputs: int, width: int = 64, hidden: int = 48) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.used: Tensor
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.register_buffer("used", torch.ones(inputs))
        self.embed = _Perceptron(inputs, width, width)
        self.verdict = _Perceptron(3 * width, hidden, 3)
        self.worth = _Perceptron(3 * width, hidden, 1)
        self._weights, self._host = (*self.embed.parameters(), *self.verdict.parameters()), HostWeights()

    def judge(
        self, elements: Float[Tensor, "*b n inputs"], present: Bool[Tensor, "*b n"] | None = None
    ) -> Float[Tensor, "*b 3"]:
        """Logits of right, wrong and absent for the last element, in the light of those before it.

        None are missing unless `present` says so.
        """
        embedded = self._embedded(elements)
        return self.verdict(torch.cat([embedded[..., -1, :], *_pooled(embedded, present)], dim=-1))

    def verdict_on(self, elements: Float[np.ndarray, "n inputs"]) -> Float[np.ndarray, " 3"]:
        """What `judge` says of one set, by the weights of this moment, on the host."""
        centre, scale, used, *weights = self._host.of(self.centre, self.scale, self.used, *self._weights)
        return judged(standardised(elements, UNUSUAL, centre, scale, used), *weights)

    def rate(self, elements: Float[Tensor, "*b n inputs"]) -> Float[Tensor, "*b n"]:
        """What each element is worth keeping; only differences mean anything."""
        embedded = self._embedded(elements)
        pooled = (over_all[..., None, :].expand_as(embedded) for over_all in _pooled(embedded))
        return self.worth(torch.cat([embedded, *pooled], dim=-1))[..., 0]

    def _embedded(self, elements: Float[Tensor, "*b n inputs"]) -> Float[Tensor, "*b n width"]:
        """Each element by itself; no number is negative."""
        usual = ((elements - self.centre) / self.scale * self.used).clamp(-UNUSUAL, UNUSUAL)
        return torch.relu(self.embed(usual))


def _pooled(
    embedded: Float[Tensor, "*b n width"], present: Bool[Tensor, "*b n"] | None = None
) -> tuple[Float[Tensor, "*b width"], Float[Tensor, "*b width"]]:
    """Mean and maximum of those that are present, which are not negative; 0 of none."""
    if present is None:
        return embedded.mean(-2), embedded.amax(-2)
    there = present[..., None]
    counted = embedded * there
    return counted.sum(-2) / there.sum(-2).clamp_min(1), counted.amax(-2)
