"""A small network that judges each element of a set in the light of all of them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

UNUSUAL = 6.0
"""Deviations beyond which an input is cut off, so that no network or video is too strange."""


def _perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        layers += [nn.Linear(narrow, wide), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


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
        self.embed = _perceptron(inputs, width, width)
        self.verdict = _perceptron(3 * width, hidden, 3)
        self.worth = _perceptron(3 * width, hidden, 1)

    def judge(self, elements: Float[Tensor, "*b n inputs"], present: Bool[Tensor, "*b n"]) -> Float[Tensor, "*b 3"]:
        """Logits of right, wrong and absent for the last element, in the light of those before it."""
        embedded, pooled = self._embedded(elements, present)
        return self.verdict(torch.cat([embedded[..., -1, :], pooled], dim=-1))

    def rate(self, elements: Float[Tensor, "*b n inputs"], present: Bool[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
        """What each element is worth keeping; only differences mean anything."""
        embedded, pooled = self._embedded(elements, present)
        seen = torch.cat([embedded, pooled[..., None, :].expand(*embedded.shape[:-1], -1)], dim=-1)
        return self.worth(seen)[..., 0]

    def _embedded(
        self, elements: Float[Tensor, "*b n inputs"], present: Bool[Tensor, "*b n"]
    ) -> tuple[Float[Tensor, "*b n width"], Float[Tensor, "*b pooled"]]:
        """Each element by itself, and the mean and maximum of those that are present."""
        usual = ((elements - self.centre) / self.scale * self.used).clamp(-UNUSUAL, UNUSUAL)
        embedded = torch.relu(self.embed(usual))
        there = present[..., None]
        counted = embedded * there  # none is negative, so 0 is also the maximum of nothing
        mean = counted.sum(-2) / there.sum(-2).clamp_min(1)
        return embedded, torch.cat([mean, counted.amax(-2)], dim=-1)


def whole(rows: Sequence[Sequence[float]]) -> tuple[Float[Tensor, "n inputs"], Bool[Tensor, " n"]]:
    """One set without gaps."""
    elements = torch.from_numpy(np.array(rows, dtype=np.float32))
    return elements, torch.ones(len(rows), dtype=torch.bool)
