"""A small network that judges each element of a set in the light of all of them."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


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
        seen = self._in_context(elements, present)
        return self.verdict(seen[..., -1, :])

    def rate(self, elements: Float[Tensor, "*b n inputs"], present: Bool[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
        """What each element is worth keeping; only differences mean anything."""
        return self.worth(self._in_context(elements, present))[..., 0]

    def _in_context(
        self, elements: Float[Tensor, "*b n inputs"], present: Bool[Tensor, "*b n"]
    ) -> Float[Tensor, "*b n wide"]:
        embedded = torch.relu(self.embed((elements - self.centre) / self.scale * self.used))
        there = present[..., None]
        mean = (embedded * there).sum(-2) / there.sum(-2).clamp_min(1)
        most = torch.where(there, embedded, 0.0).amax(-2)
        pooled = torch.cat([mean, most], dim=-1)[..., None, :].expand(*embedded.shape[:-1], -1)
        return torch.cat([embedded, pooled], dim=-1)


def whole(rows: Sequence[Sequence[float]]) -> tuple[Float[Tensor, "n inputs"], Bool[Tensor, " n"]]:
    """One set without gaps."""
    elements = torch.tensor(rows, dtype=torch.float32)
    return elements, torch.ones(len(rows), dtype=torch.bool)
