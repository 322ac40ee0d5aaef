"""What an estimator of IoU learns from examples, by what it is used for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from framework.learning.supervised.examples import HypothesisExamples


class Objective(Protocol):
    """Examples that count, and what an estimator is to make of them."""

    definitions: ClassVar[Mapping[str, str]]
    """Of its numbers, by name."""

    def counted(self, examples: HypothesisExamples) -> Bool[Tensor, " N"]: ...

    def losses(self, estimator: nn.Module, examples: HypothesisExamples) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss on examples that count, and numbers to log."""


@dataclass(frozen=True)
class JudgeObjective(Objective):
    """All hypotheses of frames that show the object: the IoU of each, and which is best.

    Args:
        order: weight of the second.
    """

    order: float = 2.0

    definitions: ClassVar[Mapping[str, str]] = {
        "chosen": "mean IoU of the hypotheses that the judge chooses, on held-out records",
        "best": "mean IoU of the best hypotheses: what there is to reach",
        "quality": "cross-entropy of estimated and true IoU",
        "order": "cross-entropy of the order among the hypotheses of a frame, weighted by how far they are apart",
    }

    def counted(self, examples: HypothesisExamples) -> Bool[Tensor, " N"]:
        return examples.visible

    def losses(self, estimator: nn.Module, examples: HypothesisExamples) -> tuple[Tensor, dict[str, Tensor]]:
        logits, iou = estimator(examples.rows), examples.iou
        parts = judge_loss(logits, iou)
        chosen = iou.gather(1, logits.argmax(1, keepdim=True))
        found = {**{name: part.detach() for name, part in parts.items()}, "chosen": chosen.mean()}
        return parts["quality"] + self.order * parts["order"], {**found, "best": iou.amax(1).mean()}


@dataclass(frozen=True)
class WriteGateObjective(Objective):
    """Masks that were chosen and are not empty, also where the object is absent: the IoU of each."""

    definitions: ClassVar[Mapping[str, str]] = {
        "quality": "cross-entropy of estimated and true IoU of the masks that were chosen, on held-out records",
        "accuracy": "share of them whose estimate lies on the same side of .5",
        "precision": "share of them above .5 among those estimated above .5",
    }

    def counted(self, examples: HypothesisExamples) -> Bool[Tensor, " N"]:
        return examples.shown

    def losses(self, estimator: nn.Module, examples: HypothesisExamples) -> tuple[Tensor, dict[str, Tensor]]:
        at = torch.arange(len(examples), device=examples.choice.device), examples.choice
        logits, iou = estimator(examples.rows[at]), examples.iou[at]
        quality, trusted, right = F.binary_cross_entropy_with_logits(logits, iou), logits > 0, iou > 0.5
        return quality, {
            "quality": quality.detach(),
            "accuracy": (trusted == right).float().mean(),
            "precision": right[trusted].float().mean(),
        }


def judge_loss(
    logits: Float[Tensor, "N M"], iou: Float[Tensor, "N M"], softness: float = 0.05
) -> dict[str, Float[Tensor, ""]]:
    """`quality`: cross-entropy of each estimated IoU against the true one. `order`: cross-entropy of a softmax over the
    hypotheses against that of the true IoUs (divided by `softness`), weighted by how far they are apart."""
    apart = iou.amax(1) - iou.amin(1)
    order = -(F.softmax(iou / softness, dim=1) * F.log_softmax(logits, dim=1)).sum(1)
    return {"quality": F.binary_cross_entropy_with_logits(logits, iou), "order": (apart * order).mean()}
