"""What a network or a read gate is trained towards: masks, their quality, presence, and where memory is read."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from framework.masks import iou


def mask_loss(logits: Float[Tensor, "R M h w"], truth: Float[Tensor, "R h w"], balance: float) -> Float[Tensor, "R M"]:
    """Dice plus cross-entropy per mask.

    The cross-entropy blends from one that gives object and background equal weight (`balance` 1; without it nothing
    happens in the first minutes) to the focal loss of SAM (`balance` 0; alpha .25, gamma 2, weight 20).
    """
    target = truth[:, None].expand_as(logits)
    probability = torch.sigmoid(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    inside, outside = target.sum((-2, -1)).clamp_min(1), (1 - target).sum((-2, -1)).clamp_min(1)
    equal = 0.5 * (entropy * target).sum((-2, -1)) / inside + 0.5 * (entropy * (1 - target)).sum((-2, -1)) / outside
    wrong = target + probability - 2 * target * probability
    focal = (entropy * wrong.square() * (0.75 - 0.5 * target)).mean((-2, -1))
    overlap = (probability * target).sum((-2, -1))
    dice = 1 - (2 * overlap + 1) / (probability.sum((-2, -1)) + target.sum((-2, -1)) + 1)
    return balance * equal + (1 - balance) * 20 * focal + dice


def quality_loss(
    predicted: Float[Tensor, "R M"], logits: Float[Tensor, "R M h w"], truth: Float[Tensor, "R h w"]
) -> Float[Tensor, "R M"]:
    """Cross-entropy of the predicted IoU against the mask's own: its gradient does not vanish while masks are bad."""
    actual = iou(logits.detach() > 0, (truth > 0.5)[:, None].expand_as(logits))
    return F.binary_cross_entropy(predicted, actual, reduction="none")


def presence_loss(logit: Float[Tensor, " R"], visible: Bool[Tensor, " R"]) -> Float[Tensor, ""]:
    """Cross-entropy in which absent frames weigh two thirds of the visible ones (each at most four times as much).

    With equal weight a network that has lost its object calls it absent wherever it cannot tell; with a third it calls
    it visible.
    """
    seen, missing = visible.sum(), (~visible).sum()
    weight = torch.where(visible, 1.0, (seen / missing.clamp_min(1) * 2 / 3).clamp(0.5, 4.0))
    loss = F.binary_cross_entropy_with_logits(logit, visible.float(), reduction="none")
    return (loss * weight).sum() / weight.sum()


def reading_loss(mass: Float[Tensor, "R tokens"], covered: Float[Tensor, "R tokens"]) -> Float[Tensor, ""]:
    """Cross-entropy of where each token reads against what it is; object and background tokens weigh the same.

    It trains trunk and memory attention to tell an object from its look-alike without waiting for the decoder.
    """
    entropy = F.binary_cross_entropy(mass.clamp(1e-4, 1 - 1e-4), covered, reduction="none")
    inside, outside = covered.sum(1).clamp_min(1), (1 - covered).sum(1).clamp_min(1)
    return (0.5 * (entropy * covered).sum(1) / inside + 0.5 * (entropy * (1 - covered)).sum(1) / outside).mean()


def best_hypothesis_loss(loss: Float[Tensor, "R M"], share: float) -> Float[Tensor, " R"]:
    """Loss of the best of M hypotheses, plus a small share of them all so that none dies (more makes them collapse)."""
    return loss.min(dim=1).values + share * loss.mean(dim=1)


@dataclass(frozen=True, slots=True)
class LossTerms:
    """Loss terms gathered over a step."""

    values: dict[str, list[Tensor]] = field(default_factory=dict)
    presence: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    """Object-score logits, true visibility and whether it counts, of all tracked rows: balanced over the step."""

    def add(self, name: str, value: Tensor) -> None:
        self.values.setdefault(name, []).append(value)

    def means(self) -> dict[str, Tensor]:
        means = {name: torch.stack(values).mean() for name, values in self.values.items()}
        if self.presence:
            logits, visible, certain = (torch.cat(parts) for parts in zip(*self.presence, strict=True))
            if certain.any():
                means["presence"] = presence_loss(logits[certain], visible[certain])
        return means
