"""What speaks for and against a mask, as plain numbers: the features that learned memory policies decide by.

Every number is relative (to the prompt, to the last frames of the same video, to the object's size), so that it means
the same in any video; the frame number is not among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, log, sqrt, tanh
from statistics import median

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.types import Entry, Outcome

GROUPS: dict[str, tuple[str, ...]] = {
    "confidence": ("iou", "presence", "margin", "stability", "sharpness"),
    "shape": ("area_typical", "area_prompt", "border"),
    "rivals": ("rival", "rival_box", "rival_look"),
    "motion": ("agreement", "has_agreement", "jump", "surprise"),
    "identity": ("pointer_prompt", "pointer_newest", "pointer_mean"),
    "appearance": ("look_prompt", "look_newest", "look_mean", "found_inside", "found_outside"),
    "absence": ("seen", "away", "seen_share"),
    "rank": ("iou_rank", "presence_rank", "look_rank"),
}
"""Features of one frame, by what they are about."""
FEATURES = tuple(name for names in GROUPS.values() for name in names)
WINDOW = 10
"""Frames that a decision looks back on."""
HISTORY = 30
"""Frames among which a value is ranked."""

Row = tuple[float, ...]
"""One value per feature, in the order of `FEATURES`."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """Unit vectors; zero where nothing was seen."""

    look: Float[Tensor, " C"]
    """Mean image feature under the mask."""
    pointer: Float[Tensor, " D"]


@dataclass(frozen=True, slots=True)
class Trail:
    """What is known of one object so far: how it looked at the last prompt, on the last frame and in the mean."""

    prompt: Appearance | None = None
    newest: Appearance | None = None
    mean: Appearance | None = None
    prompted_area: int = 0
    areas: tuple[int, ...] = ()
    """Of the last non-empty masks, in cells."""
    centres: tuple[tuple[float, float], ...] = ()
    """Of the last two non-empty masks, in cells."""
    away: int = 0
    """Frames since the object was seen."""
    rows: tuple[Row, ...] = ()
    """Of the last frames, oldest first."""
    ranked: tuple[tuple[float, float, float], ...] = ()
    """IoU, presence and look of the last frames."""

    @property
    def evidence(self) -> Row | None:
        """Of the last frame; None if it was prompted."""
        return self.rows[-1] if self.rows else None

    def observe(self, entry: Entry, outcome: Outcome) -> "Trail":
        """With one more frame, tracked or prompted."""
        numbers, now = _measure(self, entry, outcome)
        area, centre = entry.scores.area, (numbers.x, numbers.y)
        seen = area > 0
        areas = (*self.areas, area)[-WINDOW:] if seen else self.areas
        if entry.scores.prompted or self.prompt is None:
            return Trail(now, now, now, area, areas, (centre,) if seen else ())
        judged = (entry.scores.iou, tanh(entry.scores.presence / 5), numbers.look_prompt)
        row = self._row(entry, numbers, areas, judged)
        return replace(
            self,
            newest=now if seen else self.newest,
            mean=_blend(self.mean, now) if seen else self.mean,
            areas=areas,
            centres=(*self.centres, centre)[-2:] if seen else self.centres,
            away=0 if seen else self.away + 1,
            rows=(*self.rows, row)[-WINDOW:],
            ranked=(*self.ranked, judged)[-HISTORY:],
        )

    def _row(self, entry: Entry, found: "_Numbers", areas: Sequence[int], judged: tuple[float, float, float]) -> Row:
        scores, seen = entry.scores, entry.scores.area > 0
        side = sqrt(max(scores.area, 1))
        typical = log(scores.area / median(areas)) if seen else 0.0
        prompted = log(scores.area / self.prompted_area) if seen and self.prompted_area else 0.0
        past = [row[_SEEN] for row in self.rows]
        values = {
            "iou": judged[0],
            "presence": judged[1],
            "margin": found.margin,
            "stability": found.stability,
            "sharpness": found.sharpness,
            "area_typical": max(-2.0, min(2.0, typical)),
            "area_prompt": max(-3.0, min(3.0, prompted)),
            "border": found.border,
            "rival": found.rival,
            "rival_box": found.rival_box,
            "rival_look": found.rival_look,
            "agreement": scores.motion or 0.0,
            "has_agreement": float(scores.motion is not None),
            "jump": self._distance(found, side, steps=0) if seen else 0.0,
            "surprise": self._distance(found, side, steps=1) if seen else 0.0,
            "pointer_prompt": found.pointer_prompt,
            "pointer_newest": found.pointer_newest,
            "pointer_mean": found.pointer_mean,
            "look_prompt": found.look_prompt,
            "look_newest": found.look_newest,
            "look_mean": found.look_mean,
            "found_inside": found.inside,
            "found_outside": found.outside,
            "seen": float(seen),
            "away": log(1 + self.away),
            "seen_share": (sum(past) + seen) / (len(past) + 1),
            "iou_rank": _rank(judged[0], [known[0] for known in self.ranked]),
            "presence_rank": _rank(judged[1], [known[1] for known in self.ranked]),
            "look_rank": _rank(judged[2], [known[2] for known in self.ranked]),
        }
        return tuple(values[name] for name in FEATURES)

    def _distance(self, found: "_Numbers", side: float, steps: int) -> float:
        """From where the object was (`steps` 0) or would be at constant velocity (1), in its own sizes; at most 4."""
        if not self.centres:
            return 0.0
        (x0, y0), (x1, y1) = self.centres[0], self.centres[-1]
        x, y = x1 + steps * (x1 - x0), y1 + steps * (y1 - y0)
        return min(hypot(found.x - x, found.y - y) / side, 4.0)


_SEEN = FEATURES.index("seen")


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What is read off tensors: all of it comes over in one transfer."""

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
    """Centre of the mask, in cells."""
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


def _measure(trail: Trail, entry: Entry, outcome: Outcome) -> tuple[_Numbers, Appearance]:
    logits, choice = outcome.candidates.logits[0].detach().float(), outcome.choice
    probability = torch.sigmoid(logits)
    masks = (logits > 0).float()
    scene = _Scene.of(probability, outcome.embedding)
    now = Appearance(scene.looks[choice], F.normalize(entry.pointer.detach().float(), dim=0))
    known = [reference or now for reference in (trail.prompt, trail.newest, trail.mean)]
    alike = scene.looks @ torch.stack([reference.look for reference in known]).T
    pointed = torch.stack([reference.pointer for reference in known]) @ now.pointer
    everywhere, within = scene.likeness(known[0].look), scene.cover[choice] > 0.5
    areas, chosen = masks.sum((-2, -1)), masks[choice]
    one = areas[choice].clamp_min(1)
    others = [index for index in range(len(masks)) if index != choice]
    iou = outcome.candidates.iou[0].to(logits.device).float()
    beside = (areas - (masks * chosen).sum((-2, -1))) / one
    ys, xs = (torch.arange(n, device=logits.device).float() for n in chosen.shape)
    nothing = logits.new_zeros(())
    rival = (iou * beside.clamp_max(2))[others].max() if others else nothing
    rival_look = torch.where(areas[others] > 0, alike[others, 0] - alike[choice, 0], -1.0).max() if others else nothing
    stacked = torch.stack(
        [
            (torch.topk(iou, 2).values.flip(0).diff().neg()[0] if others else nothing),
            (logits[choice] > 1).float().sum() / (logits[choice] > -1).float().sum().clamp_min(1),
            (probability[choice] * chosen).sum() / one,
            torch.stack([chosen[0].max(), chosen[-1].max(), chosen[:, 0].max(), chosen[:, -1].max()]).max(),
            rival,
            _box_share(masks > 0, choice, others),
            rival_look,
            (chosen.sum(0) * xs).sum() / one,
            (chosen.sum(1) * ys).sum() / one,
            *pointed,
            *alike[choice],
            torch.where(within, everywhere, -1.0).max(),
            torch.where(within, -1.0, everywhere).max(),
        ]
    )
    return _Numbers(*stacked.tolist()), now


@dataclass(frozen=True, slots=True)
class _Scene:
    """Image features less their mean, since what all of the image shares tells nothing. The mean is taken off where it
    is needed rather than from the whole map."""

    features: Float[Tensor, "C n"]
    mean: Float[Tensor, " C"]
    cover: Float[Tensor, "M n"]
    """How much of each token a mask covers."""
    looks: Float[Tensor, "M C"]
    """Mean feature under each mask, normalised."""

    @classmethod
    def of(cls, probability: Float[Tensor, "M h w"], embedding: Float[Tensor, "C y x"] | None) -> "_Scene":
        """All zeros without an embedding."""
        if embedding is None:
            embedding = probability.new_zeros(1, 1, 1)
        height, width = embedding.shape[-2:]
        cover = F.adaptive_avg_pool2d(probability[None], (height, width))[0].flatten(1)
        features = embedding.detach().float().flatten(1)
        mean = features.mean(dim=1)
        looks = cover @ features.T - cover.sum(dim=1, keepdim=True) * mean
        return cls(features, mean, cover, F.normalize(looks, dim=1))

    def likeness(self, look: Float[Tensor, " C"]) -> Float[Tensor, " n"]:
        """Cosine of each token's feature with a look."""
        shared, along = torch.stack([self.mean, look]) @ self.features
        square = (self.features * self.features).sum(0) - 2 * shared + self.mean @ self.mean
        return (along - look @ self.mean) / square.clamp_min(1e-12).sqrt()


def _box_share(masks: Tensor, choice: int, others: Sequence[int]) -> Float[Tensor, ""]:
    """Least area of the chosen mask's box over that of the one joined with another mask; 1 without either."""
    spans = []
    for axis in (-1, -2):
        lines = masks.any(axis)
        size = lines.shape[-1]
        first = torch.where(lines.any(-1), lines.int().argmax(-1), size)
        last = torch.where(lines.any(-1), size - lines.flip(-1).int().argmax(-1), 0)
        spans.append((first, last))
    shares = [torch.ones((), device=masks.device)]
    for other in others:
        own, joint = torch.ones_like(shares[0]), torch.ones_like(shares[0])
        for first, last in spans:
            own = own * (last[choice] - first[choice]).clamp_min(0)
            joint = joint * (torch.maximum(last[choice], last[other]) - torch.minimum(first[choice], first[other]))
        shares.append(torch.where((own > 0) & masks[other].any(), own / joint.clamp_min(1), 1.0))
    return torch.stack(shares).min()


def _blend(mean: Appearance | None, now: Appearance, share: float = 0.2) -> Appearance:
    """An exponential mean over the frames on which the object was seen."""
    if mean is None:
        return now
    look = F.normalize((1 - share) * mean.look + share * now.look, dim=0)
    return Appearance(look, F.normalize((1 - share) * mean.pointer + share * now.pointer, dim=0))


def _rank(value: float, known: Sequence[float]) -> float:
    """Share of the known values that are lower, ties by half; one half when there are none."""
    if not known:
        return 0.5
    return sum(1.0 if old < value else 0.5 if old == value else 0.0 for old in known) / len(known)
