"""What is read off the masks, the pointer and the image features of one frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framework.ops.hypotheses import ABOVE, ACROSS, AREA, AROUND, BOTTOM, DOWN, LEFT, hypothesis_masks
from framework.ops.tokens import averaged, coarse_tokens, masked_means, on_host
from framework.ops.vectors import unit
from framework.types import Entry, Outcome
from policies.features.kernels import largest_cosines, sharpness


@dataclass(frozen=True, slots=True, eq=False)
class MaskAppearance:
    """Unit vectors on the host; zero where nothing was seen."""

    look: Float[np.ndarray, " C"]
    """Mean image feature under the mask."""
    pointer: Float[np.ndarray, " D"]


@dataclass(frozen=True, slots=True)
class MaskNumbers:
    """Of the chosen mask, in cells of the mask-logit grid."""

    margin: float
    """Second-best predicted IoU minus the best."""
    stability: float
    """Cells above logit 1 over those above -1."""
    sharpness: float
    """Mean probability inside the mask."""
    border: float
    """Whether the mask touches the border."""
    distractor: float
    """Largest predicted IoU of another hypothesis times what it claims beside the mask, in mask areas (at most 2)."""
    distractor_box: float
    """Least share of the mask's box in the one around it and another hypothesis."""
    distractor_look: float
    """How much more another hypothesis looks like the prompt."""
    x: float
    y: float
    """Centre of the mask."""
    pointer_prompt: float
    pointer_newest: float
    pointer_mean: float
    look_prompt: float
    look_newest: float
    look_mean: float
    inside: float
    """Best likeness of a token inside the mask to the prompt's look."""
    outside: float
    """The same outside it."""


def measure(
    entry: Entry, outcome: Outcome, known: Sequence[MaskAppearance | None] = (None, None, None)
) -> tuple[MaskNumbers, MaskAppearance]:
    """`known` is how the object looked at the last prompt, on the last frame and in the mean; None stands for now."""
    shown, choice = hypothesis_masks(outcome.candidates), outcome.choice
    logits, counts = shown.logits, shown.counts.tolist()
    claims = [
        _Claim(one[AREA], common, one[LEFT : BOTTOM + 1])
        for one, common in zip(counts, shown.common[:, choice].tolist(), strict=True)
    ]
    own, others = claims[choice], [index for index in range(len(claims)) if index != choice]
    (iou,) = outcome.candidates.iou.tolist()
    *_, second, first = 0.0, *sorted(iou)

    features, cover = _scene(logits, outcome.embedding)
    each = masked_means(features, cover)
    now = MaskAppearance(each[choice], unit(on_host(entry.pointer[None]))[0])
    prompt, newest, mean = (reference or now for reference in known)
    alike = (each @ prompt.look).tolist()
    inside, outside = largest_cosines(features, prompt.look, cover[choice])
    numbers = MaskNumbers(
        margin=second - first if others else 0.0,
        stability=counts[choice][ABOVE] / max(counts[choice][AROUND], 1),
        sharpness=sharpness(logits[choice], shown.binary[choice], own.area),
        border=float(own.touches_border(*logits.shape[1:])),
        distractor=max((iou[index] * min(claims[index].beside(own), 2.0) for index in others), default=0.0),
        distractor_box=min((own.share_of_box(claims[index]) for index in others), default=1.0),
        distractor_look=max(
            (alike[index] - alike[choice] if claims[index].area else -1.0 for index in others), default=0.0
        ),
        x=shown.step * counts[choice][ACROSS] / max(own.area, 1),
        y=shown.step * counts[choice][DOWN] / max(own.area, 1),
        pointer_prompt=float(prompt.pointer @ now.pointer),
        pointer_newest=float(newest.pointer @ now.pointer),
        pointer_mean=float(mean.pointer @ now.pointer),
        look_prompt=alike[choice],
        look_newest=float(newest.look @ now.look),
        look_mean=float(mean.look @ now.look),
        inside=inside,
        outside=outside,
    )
    return numbers, now


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one hypothesis holds."""

    area: int
    common: int
    """Cells that the chosen one holds, too."""
    box: Sequence[int]
    """First column and row, and those after the last ones; all 0 if it is empty."""

    def touches_border(self, height: int, width: int) -> bool:
        left, top, right, bottom = self.box
        return self.area > 0 and (left == 0 or top == 0 or right == width or bottom == height)

    def beside(self, chosen: "_Claim") -> float:
        """How much it holds beside the chosen one, in areas of that."""
        return (self.area - self.common) / max(chosen.area, 1)

    def share_of_box(self, other: "_Claim") -> float:
        """Area of its box over that of the one around both; 1 if either is empty."""
        if not (self.area and other.area):
            return 1.0
        (left, top, right, bottom), (x0, y0, x1, y1) = self.box, other.box
        joint = (max(right, x1) - min(left, x0)) * (max(bottom, y1) - min(top, y0))
        return (right - left) * (bottom - top) / joint


def _probability(logits: Float[np.ndarray, "*n h w"]) -> Float[np.ndarray, "*n h w"]:
    return torch.sigmoid(torch.from_numpy(np.ascontiguousarray(logits))).numpy()


def _scene(
    logits: Float[np.ndarray, "M h w"], embedding: Float[Tensor, "C y x"]
) -> tuple[Float[np.ndarray, "C height width"], Float[np.ndarray, "M height width"]]:
    """Image features as in training (`framework/ops/tokens.py`), and how much of each token a mask covers.

    Cover is sampled, 4 x 4 cells a token.
    """
    tokens = coarse_tokens(embedding)
    height, width = tokens.shape[1:]
    step = max(logits.shape[-1] // (4 * width), 1)
    return tokens, averaged(_probability(logits[:, ::step, ::step]), height, width)
