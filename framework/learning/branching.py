"""What would have come of another decision? State is a value, so a branch is a state and an arm of it runs on alone.

All arms run in one lockstep over frames that are encoded already, and arms that read the same are computed once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

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
    """Quality of each of `states` (arms) over the coming frames: discounted mean IoU, 0..1.

    `truths` holds bool masks [Hv Wv] at video size by object, one mapping per frame; an object that is not in a frame's
    mapping is not judged there, and neither is one that no state tracks yet. The k-th frame (from 0) weighs
    discount^k. An arm that equals the base state goes through exactly what an unbranched run goes through.

    Raises ValueError when there is no arm, or no frame to judge it on.
    """
    if not states:
        raise ValueError("counterfactuals need an arm")
    arms = {str(index): state for index, state in enumerate(states)}
    trackers = dict.fromkeys(arms, tracker)
    total, weights = torch.zeros(len(arms)), 0.0
    for ahead, (seen, truth) in enumerate(zip(features, truths, strict=True)):
        arms, results = advance(trackers, arms, seen, Frame(seen.image, truth=truth))
        overlap = _overlap(list(results.values()), truth)
        if overlap is not None:
            total = total.to(overlap) + discount**ahead * overlap
            weights += discount**ahead
    if weights == 0:
        raise ValueError("counterfactuals need a frame ahead on which a tracked object's mask is known")
    return (total / weights).tolist()


def _overlap(results: Sequence[Result], truth: Mapping[int, Bool[Tensor, "Hv Wv"]]) -> Float[Tensor, " arms"] | None:
    """Mean IoU over the judged objects of one frame; 1 where mask and truth are both empty, None without any."""
    keys = [key for key in truth if all(key in result.tracks for result in results)]
    if not keys:
        return None
    found = [result.masks() for result in results]
    masks = torch.stack([torch.stack([each[key] for key in keys]) for each in found])
    true = torch.stack([truth[key].to(masks.device) for key in keys])
    shared, union = (masks & true).sum(dim=(-2, -1)), (masks | true).sum(dim=(-2, -1))
    return torch.where(union > 0, shared / union.clamp_min(1), 1.0).mean(dim=1)
