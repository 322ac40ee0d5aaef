"""What is read off the masks, the pointer and the image features of one frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d

from framework.types import Entry, Outcome
from policies.masks import hypotheses

SIDE = 16
"""Tokens along a side of the embedded network's grid."""


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
    claims = [_Claim.of(mask) for mask in logits > 0]
    own, others = claims[choice], [index for index in range(len(claims)) if index != choice]
    iou = outcome.candidates.iou[0].tolist()
    *_, second, first = 0.0, *sorted(iou)
    x, y = own.centre

    scene = _Scene.of(logits, outcome.embedding)
    now = Appearance(scene.looks[choice], unit(entry.pointer.detach().float().cpu().numpy()))
    prompt, newest, mean = (reference or now for reference in known)
    alike = (scene.looks @ prompt.look).tolist()
    found, within = scene.likeness(prompt.look), scene.cover[choice] > 0.5
    numbers = Numbers(
        margin=second - first if others else 0.0,
        stability=_count(logits[choice] > 1) / max(_count(logits[choice] > -1), 1),
        sharpness=own.sharpness(logits[choice]),
        border=float(own.touches_border),
        rival=max((iou[index] * min(claims[index].beside(own), 2.0) for index in others), default=0.0),
        rival_box=min((own.share_of_box(claims[index]) for index in others), default=1.0),
        rival_look=max((alike[index] - alike[choice] if claims[index].area else -1.0 for index in others), default=0.0),
        x=x,
        y=y,
        pointer_prompt=float(prompt.pointer @ now.pointer),
        pointer_newest=float(newest.pointer @ now.pointer),
        pointer_mean=float(mean.pointer @ now.pointer),
        look_prompt=alike[choice],
        look_newest=float(newest.look @ now.look),
        look_mean=float(mean.look @ now.look),
        inside=float(found.max(where=within, initial=-1.0)),
        outside=float(found.max(where=~within, initial=-1.0)),
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
        if not self.area:
            return 0.0, 0.0
        left, top, right, bottom = self.box
        moments = cv2.moments(self.mask[top:bottom, left:right], binaryImage=True)
        return left + moments["m10"] / self.area, top + moments["m01"] / self.area

    def sharpness(self, logits: Float[np.ndarray, "h w"]) -> float:
        """Mean probability in it; 0 if it is empty."""
        left, top, right, bottom = self.box
        within = slice(top, bottom), slice(left, right)
        return cv2.mean(_probability(logits[within]), self.mask[within])[0] if self.area else 0.0

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


def _probability(logits: Float[np.ndarray, "*n h w"]) -> Float[np.ndarray, "*n h w"]:
    return torch.sigmoid(torch.from_numpy(np.ascontiguousarray(logits))).numpy()


def _count(cells: Bool[np.ndarray, "h w"]) -> int:
    return cv2.countNonZero(cells.view(np.uint8))


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """Image features less their mean, since what all of the image shares tells nothing.

    Seen no finer than by the embedded network, on which the shipped weights were trained: tokens are averaged by halves
    until there are at most `SIDE` along a side, and their cover is sampled, 4 x 4 cells a token.
    """

    features: Float[np.ndarray, "C n"]
    cover: Float[np.ndarray, "M n"]
    """How much of each token a mask covers."""
    looks: Float[np.ndarray, "M C"]
    """Mean feature under each mask, of unit length."""

    @classmethod
    def of(cls, logits: Float[np.ndarray, "M h w"], embedding: Float[Tensor, "C y x"] | None) -> "_Scene":
        """All zeros without an embedding."""
        tokens = np.zeros((1, 1, 1), np.float32) if embedding is None else _tokens(embedding)
        channels, height, width = tokens.shape
        step = max(logits.shape[-1] // (4 * width), 1)
        cover = _pooled(_probability(logits[:, ::step, ::step]), height, width).reshape(len(logits), -1)
        features = tokens.reshape(channels, -1)
        features -= cv2.reduce(features, 1, cv2.REDUCE_AVG)
        return cls(features, cover, unit(cover @ features.T))

    def likeness(self, look: Float[np.ndarray, " C"]) -> Float[np.ndarray, " n"]:
        """Cosine of each token's feature with a look."""
        squares = cv2.reduce(self.features, 0, cv2.REDUCE_SUM2)[0]
        return look @ self.features / np.sqrt(squares.clip(1e-12))


def _tokens(embedding: Float[Tensor, "C y x"]) -> Float[np.ndarray, "C height width"]:
    """On the host, in one transfer, averaged to at most `SIDE` along a side as far as sides are even."""
    (height, width), factor = embedding.shape[-2:], 1
    while max(height, width) > SIDE * factor and height % (2 * factor) == width % (2 * factor) == 0:
        factor *= 2
    found = embedding.detach()
    found = found if found.is_cpu else avg_pool2d(found, factor)  # less to transfer; on the CPU OpenCV is quicker
    return _pooled(found.float().cpu().numpy(), height // factor, width // factor)


def _pooled(planes: Float[np.ndarray, "n h w"], height: int, width: int) -> Float[np.ndarray, "n {height} {width}"]:
    """Mean over the cells of each token; sides must be multiples. OpenCV is quickest by halves, all planes at once."""
    count, high, wide = planes.shape
    stacked = planes.reshape(-1, wide)
    while high % (4 * height) == wide % (4 * width) == 0:
        high, wide = high // 2, wide // 2
        stacked = cv2.resize(stacked, (wide, count * high), interpolation=cv2.INTER_AREA)
    return cv2.resize(stacked, (width, count * height), interpolation=cv2.INTER_AREA).reshape(count, height, width)
