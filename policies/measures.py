"""What is read off the masks, the pointer and the image features of one frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from framework.types import Entry, Outcome
from policies.regions import hypotheses


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Unit vectors on the host; zero where nothing was seen."""

    look: Float[np.ndarray, " C"]
    """Mean image feature under the mask."""
    pointer: Float[np.ndarray, " D"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Of the chosen mask, in cells of the mask-logit grid."""

    margin: float
    """Second-best predicted IoU minus the best."""
    stability: float
    """Cells above logit 1 over those above -1."""
    sharpness: float
    """Mean probability inside the mask."""
    border: float
    """Whether the mask touches the border."""
    rival: float
    """Largest predicted IoU of another hypothesis times what it claims beside the mask, in mask areas (at most 2)."""
    rival_box: float
    """Least share of the mask's box in the one around it and another hypothesis."""
    rival_look: float
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
    entry: Entry, outcome: Outcome, known: Sequence[Appearance | None] = (None, None, None)
) -> tuple[Numbers, Appearance]:
    """`known` is how the object looked at the last prompt, on the last frame and in the mean; None stands for now."""
    logits, choice = hypotheses(outcome), outcome.choice
    probability = torch.sigmoid(torch.from_numpy(logits)).numpy()
    scene = _Scene.of(probability, outcome.embedding)
    now = Appearance(scene.looks[choice], unit(entry.pointer.detach().float().cpu().numpy()))
    prompt, newest, mean = (reference or now for reference in known)
    alike = scene.looks @ prompt.look
    everywhere, within = scene.likeness(prompt.look), scene.cover[choice] > 0.5

    masks = logits > 0
    claims = [_Claim.of(mask) for mask in masks]
    own, others = claims[choice], [index for index in range(len(masks)) if index != choice]
    iou = outcome.candidates.iou[0].tolist()
    *_, second, first = 0.0, *sorted(iou)
    x, y = own.centre
    numbers = Numbers(
        margin=second - first if others else 0.0,
        stability=_count(logits[choice] > 1) / max(_count(logits[choice] > -1), 1),
        sharpness=own.mean(probability[choice]),
        border=float(own.touches_border),
        rival=max((iou[index] * min(claims[index].beside(own), 2.0) for index in others), default=0.0),
        rival_box=min((own.share_of_box(claims[index]) for index in others), default=1.0),
        rival_look=max(
            (float(alike[index] - alike[choice]) if claims[index].area else -1.0 for index in others), default=0.0
        ),
        x=x,
        y=y,
        pointer_prompt=float(prompt.pointer @ now.pointer),
        pointer_newest=float(newest.pointer @ now.pointer),
        pointer_mean=float(mean.pointer @ now.pointer),
        look_prompt=float(alike[choice]),
        look_newest=float(newest.look @ now.look),
        look_mean=float(mean.look @ now.look),
        inside=float(np.where(within, everywhere, -1).max()),
        outside=float(np.where(within, -1, everywhere).max()),
    )
    return numbers, now


def unit(vectors: Float[np.ndarray, "*n C"]) -> Float[np.ndarray, "*n C"]:
    """Of length 1, or 0."""
    return vectors / np.sqrt((vectors * vectors).sum(-1, keepdims=True)).clip(1e-12)


@dataclass(frozen=True, slots=True, eq=False)
class _Claim:
    """What one hypothesis holds."""

    mask: UInt8[np.ndarray, "h w"]
    """0 and 1."""
    area: int
    box: tuple[int, int, int, int]
    """First column and row, and those after the last ones; all 0 if it is empty."""

    @classmethod
    def of(cls, mask: Bool[np.ndarray, "h w"]) -> "_Claim":
        cells = mask.view(np.uint8)
        left, top, width, height = cv2.boundingRect(cells)
        return cls(cells, cv2.countNonZero(cells), (left, top, left + width, top + height))

    @property
    def centre(self) -> tuple[float, float]:
        """x and y; 0 if it is empty."""
        sums = (cv2.reduce(self.mask, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() for axis in (0, 1))
        x, y = (int(cells @ np.arange(len(cells))) / max(self.area, 1) for cells in sums)
        return x, y

    def mean(self, values: Float[np.ndarray, "h w"]) -> float:
        """Of the values in it; 0 if it is empty."""
        left, top, right, bottom = self.box
        within = slice(top, bottom), slice(left, right)
        return cv2.mean(values[within], self.mask[within])[0] if self.area else 0.0

    @property
    def touches_border(self) -> bool:
        left, top, right, bottom = self.box
        height, width = self.mask.shape
        return self.area > 0 and (left == 0 or top == 0 or right == width or bottom == height)

    def beside(self, other: "_Claim") -> float:
        """How much it holds beside another one, in areas of that."""
        return (self.area - cv2.countNonZero(self.mask & other.mask)) / max(other.area, 1)

    def share_of_box(self, other: "_Claim") -> float:
        """Area of its box over that of the one around both; 1 if either is empty."""
        if not (self.area and other.area):
            return 1.0
        (left, top, right, bottom), (x0, y0, x1, y1) = self.box, other.box
        joint = (max(right, x1) - min(left, x0)) * (max(bottom, y1) - min(top, y0))
        return (right - left) * (bottom - top) / joint


def _pooled(mask: Float[np.ndarray, "h w"], height: int, width: int) -> Float[np.ndarray, "{height} {width}"]:
    """Mean over the cells of each token. OpenCV's way is quickest by halves."""
    while mask.shape[0] % (4 * height) == 0 and mask.shape[1] % (4 * width) == 0:
        mask = cv2.resize(mask, (mask.shape[1] // 2, mask.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)


def _count(cells: Bool[np.ndarray, "h w"]) -> int:
    return cv2.countNonZero(cells.view(np.uint8))


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """Image features less their mean, since what all of the image shares tells nothing.

    The mean is taken off where it is needed rather than from the whole map. Only products with the map are computed on
    its device, each in one pass.
    """

    features: Float[Tensor, "C n"]
    mean: Float[Tensor, " C"]
    cover: Float[np.ndarray, "M n"]
    """How much of each token a mask covers."""
    looks: Float[np.ndarray, "M C"]
    """Mean feature under each mask, of unit length."""

    @classmethod
    def of(cls, probability: Float[np.ndarray, "M h w"], embedding: Float[Tensor, "C y x"] | None) -> "_Scene":
        """All zeros without an embedding."""
        if embedding is None:
            embedding = torch.zeros(1, 1, 1)
        height, width = embedding.shape[-2:]
        cover = np.stack([_pooled(mask, height, width) for mask in probability]).reshape(len(probability), -1)
        features = embedding.detach().float().flatten(1)
        mean = features.mean(dim=1)
        sums = (torch.from_numpy(cover).to(features.device) @ features.T).cpu().numpy()
        looks = sums - cover.sum(axis=1, keepdims=True) * mean.cpu().numpy()
        return cls(features, mean, cover, unit(looks))

    def likeness(self, look: Float[np.ndarray, " C"]) -> Float[np.ndarray, " n"]:
        """Cosine of each token's feature with a look."""
        both = torch.stack([self.mean, torch.from_numpy(look).to(self.mean.device)])
        shared, along = both @ self.features
        square = _squares(self.features) - 2 * shared + self.mean @ self.mean
        alike = (along - both[1] @ self.mean) / square.clamp_min(1e-12).sqrt()
        return alike.cpu().numpy()


def _squares(features: Float[Tensor, "C n"]) -> Float[Tensor, " n"]:
    """Summed over channels."""
    if features.is_cpu:  # OpenCV keeps no product of the size of the map
        return torch.from_numpy(cv2.reduce(features.numpy(), 0, cv2.REDUCE_SUM2)[0])
    return (features * features).sum(dim=0)
