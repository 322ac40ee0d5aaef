"""Which of many candidates are worth reading: how SAMITE and SAMOSA order them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import tanh

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.types import Entry, Outcome


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A frame that may be read, and what a ranking keeps of it."""

    entry: Entry
    look: Float[Tensor, "2 C"] | None = None


class Ranking(ABC):
    """Orders candidates on the frame on which they are read."""

    def look(self, outcome: Outcome) -> Float[Tensor, "2 C"] | None:
        """What is to be known of a frame later beside its scores."""
        return None

    @abstractmethod
    def values(self, candidates: Sequence[Candidate], newest: Candidate, prompt: Candidate | None) -> tuple[float, ...]:
        """One per candidate, the best the highest. `prompt` is the first one of the object."""


@dataclass(frozen=True)
class ByScores(Ranking):
    """SAMOSA's (arXiv:2605.22538): a weighted sum of predicted IoU, presence probability and agreement of the motion
    model, which counts as 0 where it abstained.
    """

    iou: float = 0.3
    presence: float = 0.3
    motion: float = 0.3

    def values(self, candidates: Sequence[Candidate], newest: Candidate, prompt: Candidate | None) -> tuple[float, ...]:
        scores = [candidate.entry.scores for candidate in candidates]
        return tuple(
            self.iou * each.iou + self.presence * (1 + tanh(each.presence / 2)) / 2 + self.motion * (each.motion or 0.0)
            for each in scores
        )


@dataclass(frozen=True)
class ByPrototypes(Ranking):
    """SAMITE's (arXiv:2507.21732): how much a frame looks like the newest one and like the first prompt, weighted.

    The look of a frame is a foreground and a background prototype, the means of the image embedding under the mask and
    beside it, each token weighted by the share of it that the mask covers. Two looks are as alike as the mean of the
    cosines of their prototypes; a prototype of nothing is alike to none (0).
    """

    newest: float = 0.3
    prompt: float = 0.7

    def look(self, outcome: Outcome) -> Float[Tensor, "2 C"]:
        return prototypes(outcome.embedding, outcome.logits)

    def values(self, candidates: Sequence[Candidate], newest: Candidate, prompt: Candidate | None) -> tuple[float, ...]:
        looks = torch.stack([candidate.look for candidate in candidates if candidate.look is not None])
        total = self.newest * _likeness(looks, newest) + (self.prompt * _likeness(looks, prompt) if prompt else 0.0)
        return tuple(total.tolist())


def prototypes(embedding: Float[Tensor, "C y x"], logits: Float[Tensor, "h w"]) -> Float[Tensor, "2 C"]:
    """Foreground's and background's, of unit length; 0 where the mask covers nothing or all."""
    height, width = embedding.shape[-2:]
    cover = F.adaptive_avg_pool2d((logits > 0).float()[None], (height, width))
    weights = torch.cat([cover, 1 - cover]).flatten(1)
    return F.normalize(weights @ embedding.detach().float().flatten(1).T, dim=1)


def _likeness(looks: Float[Tensor, "n 2 C"], other: Candidate) -> Float[Tensor, " n"]:
    assert other.look is not None
    return (looks * other.look).sum(dim=2).mean(dim=1)
