"""What would have come of another decision? State is a value, so a branch is a state and an arm of it runs on alone.

All arms run in one lockstep over frames that are encoded already, and arms that read the same are computed once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isnan, nan
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.masks import iou
from framework.state import State
from framework.tracker import Tracker, advance
from framework.types import Features, Frame, Result

DISCOUNT = 0.97
"""Weight of a frame, per frame it lies further ahead."""


def branched(state: State, key: int, memory: Any) -> State:
    """`state` with another memory for the best branch of object `key`; its other branches are dropped."""
    branch = replace(state.objects[key][0], memory=memory)
    return replace(state, objects={**state.objects, key: (branch,)})


def counterfactuals(
    tracker: Tracker,
    states: Sequence[State],
    features: Sequence[Features],
    truths: Sequence[Mapping[int, Tensor]],
    discount: float = DISCOUNT,
) -> list[float]:
    """Quality of each of `states` (arms) over the frames ahead: discounted mean IoU, 0..1 (`followed`, `discounted`).

    Raises ValueError when there is no arm, or no frame to judge it on.
    """
    worth = discounted(followed(tracker, states, features, truths), discount).tolist()
    if any(isnan(one) for one in worth):
        raise ValueError("counterfactuals need a frame ahead on which a tracked object's mask is known")
    return worth


def followed(
    tracker: Tracker, states: Sequence[State], features: Sequence[Features], truths: Sequence[Mapping[int, Tensor]]
) -> Float[Tensor, "arms frames"]:
    """IoU of each of `states` (arms) on each of the upcoming frames, mean over the judged objects; NaN without any.

    `truths` holds bool masks [Hv Wv] at video size by object, one mapping per frame; an object that is not in a frame's
    mapping is not judged there, and neither is one that no state tracks yet. An arm that equals the base state goes
    through exactly what an unbranched run goes through.

    Raises ValueError when there is no arm.
    """
    if not states:
        raise ValueError("counterfactuals need an arm")
    arms = {str(index): state for index, state in enumerate(states)}
    trackers = dict.fromkeys(arms, tracker)
    overlaps = []
    for seen, truth in zip(features, truths, strict=True):
        arms, results = advance(trackers, arms, seen, Frame(seen.image, truth=truth))
        overlap = _overlap(list(results.values()), truth)
        overlaps.append(torch.full((len(arms),), nan) if overlap is None else overlap.cpu())
    return torch.stack(overlaps, dim=-1) if overlaps else torch.empty(len(arms), 0)


def discounted(overlaps: Float[Tensor, "*arms frames"], discount: float = DISCOUNT) -> Float[Tensor, "*arms"]:
    """Mean over the frames, of which the k-th (from 0) weighs discount^k; NaN does not count; NaN without any."""
    known = ~overlaps.isnan()
    weights = known * discount ** torch.arange(overlaps.shape[-1])
    return (overlaps.nan_to_num() * weights).sum(-1) / weights.sum(-1)


def _overlap(results: Sequence[Result], truth: Mapping[int, Bool[Tensor, "Hv Wv"]]) -> Float[Tensor, " arms"] | None:
    """Mean IoU over the judged objects of one frame; 1 where mask and truth are both empty, None without any."""
    keys = [key for key in truth if all(key in result.tracks for result in results)]
    if not keys:
        return None
    found = [result.masks() for result in results]
    masks = torch.stack([torch.stack([each[key] for key in keys]) for each in found])
    true = torch.stack([truth[key].to(masks.device) for key in keys])
    return iou(masks, true.expand_as(masks)).mean(dim=1)
