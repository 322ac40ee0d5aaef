"""What is known of a memory without looking inside: plain numbers, taken when it is written, as inputs of a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log, log1p, tanh
from statistics import median

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.types import Entry, FrameNumber, Outcome, Query, Scores

VERSION = 1
"""Of what the features mean."""
FEATURES = (
    *("iou", "presence", "motion", "motion_known", "lead", "lead_known", "stability"),
    *("size", "growth", "growth_known", "to_prompt", "to_newest"),
    *("age", "rank", "gap", "gap_known", "prompt", "older", "held"),
)
"""In order. A value that may be missing is 0 then, and a second feature says whether it is known."""
HISTORY = 10  # areas that a new one is compared with
FAR = 100  # frames from which an age is like any other: nothing tells how long the video has lasted
MANY = 12  # memories, as the unit of counts and ranks


@dataclass(frozen=True, slots=True)
class ReadFeatures:
    """About one memory."""

    frame: FrameNumber
    scores: Scores
    lead: float | None
    """Predicted IoU above that of the best other hypothesis; None under a prompt."""
    stability: float
    """Cells with a logit above 1 over those above -1."""
    size: float
    """Logarithm of its area over the prompt's."""
    growth: float | None
    """The same over the median of the areas before; None for the first frame."""
    to_prompt: float
    """Cosine of the pointers."""
    to_newest: float
    """The same with the newest memory, renewed with every frame."""


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """About the memories held; a value."""

    of: Mapping[FrameNumber, ReadFeatures]
    """By frame."""
    areas: tuple[int, ...] = ()
    """Of the last frames that were added."""

    def add(self, entry: Entry, outcome: Outcome, prompt: Entry, held: Sequence[Entry]) -> "ReadHistory":
        """With what is known of `entry`; that of entries no longer `held` go. One transfer from the device."""
        others = [other for other in held if other.frame != entry.frame]
        stability, to_prompt, *alike = _measured(entry, outcome, [prompt, *others])
        area = entry.scores.area
        added = ReadFeatures(
            frame=entry.frame,
            scores=entry.scores,
            lead=_lead(outcome),
            stability=stability,
            size=0.0 if prompt is entry else _ratio(area, prompt.scores.area),
            growth=_ratio(area, median(self.areas)) if self.areas else None,
            to_prompt=to_prompt,
            to_newest=1.0,
        )
        kept = {o.frame: replace(self.of[o.frame], to_newest=a) for o, a in zip(others, alike, strict=True)}
        return ReadHistory({**kept, entry.frame: added}, (*self.areas, area)[-HISTORY:])

    def features(self, entries: Sequence[Entry], older: Sequence[Entry], query: Query) -> Float[Tensor, "items _"]:
        """`FEATURES` of each entry on the frame of `query`; `older` are those beyond the recent ones."""
        frames, beyond = sorted(entry.frame for entry in entries), {entry.frame for entry in older}
        rows = []
        for entry in entries:
            known, rank = self.of[entry.frame], frames.index(entry.frame)
            gap = entry.frame - frames[rank - 1] if rank else None
            seen = (
                known.scores.iou,
                tanh(known.scores.presence / 5),
                *_known(known.scores.motion),
                *_known(known.lead),
            )
            shape = (known.stability, known.size, *_known(known.growth), known.to_prompt, known.to_newest)
            age = (_elapsed(abs(query.frame - entry.frame)), (len(frames) - 1 - rank) / MANY)
            place = (*_known(None if gap is None else _elapsed(gap)), known.scores.prompted, entry.frame in beyond)
            rows.append((*seen, *shape, *age, *place, len(frames) / MANY))
        return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(FEATURES))


def _measured(entry: Entry, outcome: Outcome, others: Sequence[Entry]) -> list[float]:
    """Stability of the mask, then the cosines of the pointer with others'."""
    logits = outcome.logits.detach()
    stability = (logits > 1).sum() / (logits > -1).sum().clamp_min(1)
    pointers = torch.stack([other.pointer.detach() for other in others])
    alike = F.cosine_similarity(pointers, entry.pointer.detach()[None])
    return torch.cat([stability[None].to(alike), alike]).tolist()


def _lead(outcome: Outcome) -> float | None:
    iou = outcome.candidates.iou[0].tolist()
    others = [value for index, value in enumerate(iou) if index != outcome.choice]
    return iou[outcome.choice] - max(others) if others else None


def _ratio(area: float | int, other: float | int) -> float:
    """Logarithm of a ratio of areas that may be 0, within a factor of 20."""
    return min(max(log((area + 1) / (other + 1)), -3.0), 3.0)


def _elapsed(frames: int) -> float:
    """Logarithm of a distance in frames, 0..1."""
    return log1p(min(frames, FAR)) / log1p(FAR)


def _known(value: float | None) -> tuple[float, float]:
    return (0.0, 0.0) if value is None else (value, 1.0)
