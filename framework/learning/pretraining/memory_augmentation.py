"""What the rows of a training clip remember: right or wrong, long ago or nothing at all.

Trackers go wrong in ways that short clips do not show: they lose their object, follow another one, or keep only what a
policy lets them keep. Such memories are made here, so that the network learns to live with them.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from framework.learning.pretraining.clip_rows import ClipRows
from framework.learning.pretraining.sam2_steps import (
    POINTERS,
    PROMPTED_SLOT,
    SURE,
    Decoded,
    RowMemories,
    memorise,
    point_to,
)
from framework.types import ABSENT_LOGIT, upsample

Slotted = tuple[RowMemories, Int[Tensor, " R"]]
"""A memory and the row of the temporal code that it uses in every row."""


def remember(
    network: SAM2Base,
    clip: ClipRows,
    t: int,
    decoded: Decoded,
    own: bool,
    wrong: Bool[Tensor, " R"] | None = None,
) -> RowMemories:
    """RowMemories of frame `t`: of the network's own answer, or of the truth.

    Args:
        wrong: rows that remember the video's other object instead, as after a drift.
    """
    token, visible = decoded.best(), clip.visible(t)
    if own:
        visible = decoded.presence > 0
        logits = upsample(decoded.logit(token), (clip.masks.shape[-2], clip.masks.shape[-1]))
        logits = torch.where(visible[:, None, None], logits, ABSENT_LOGIT)
    else:
        logits = _sure(clip.masks[:, t])
    if wrong is not None:
        wrong = wrong & clip.others[:, t].flatten(1).any(1)
        logits = torch.where(wrong[:, None, None], _sure(clip.others[:, t]), logits)
        visible = visible | wrong
    features = memorise(network, clip.at(t), logits, visible)
    return RowMemories(features, point_to(network, decoded, token, visible), clip.covered[:, t], clip.times[:, t])


def _sure(mask: Bool[Tensor, "R H W"]) -> Tensor:
    return mask.float() * 2 * SURE - SURE


def nothing(network: SAM2Base, clip: ClipRows, t: int) -> RowMemories:
    """RowMemories of frame `t` if no object was seen in it."""
    unseen = torch.zeros_like(clip.masks[:, t])
    features = memorise(network, clip.at(t), unseen.float() + ABSENT_LOGIT, unseen[:, 0, 0])
    pointer = network.no_obj_ptr.expand(clip.count, -1)
    return RowMemories(features, pointer, torch.zeros_like(clip.covered[:, t]), clip.times[:, t])


def lost(
    network: SAM2Base, clip: ClipRows, seen: list[RowMemories], now: int, rng: np.random.Generator
) -> list[RowMemories]:
    """Memories of the frames before `now`, newest first, as many as there are pointers: for a while, of another length
    in every row, nothing was found. (They repeat the few frames of the clip, `seen` from frame 1 on.)"""
    missed = torch.from_numpy(rng.integers(0, POINTERS + 1, clip.count)).to(clip.video.device)
    empty = [nothing(network, clip, t) for t in range(1, 1 + len(seen))]
    past = []
    for ago in range(POINTERS):
        which = -1 - ago % len(seen)
        memory = empty[which].instead(missed > ago, seen[which])
        past.append(replace(memory, time=clip.times[:, now] - 1 - ago))
    return past


def drifted(clip: ClipRows, recent: list[Slotted], share: float, rng: np.random.Generator) -> list[Slotted]:
    """`recent`, newest first; in a share of the rows the newest of them show the video's other object.

    They are what the video's other row remembers of the same frames. The object itself still lies where it lies.
    """
    chosen = rng.random(clip.count) < share
    wrong = torch.from_numpy(np.where(chosen, rng.integers(1, PROMPTED_SLOT + 1, clip.count), 0)).to(clip.video.device)
    other = torch.arange(clip.count, device=clip.video.device).view(-1, 2).flip(1).flatten()
    answer = []
    for ago, (memory, slot) in enumerate(recent):
        mistaken = replace(memory.pick(other), coverage=memory.coverage)
        answer.append((mistaken.instead(wrong > ago, memory), slot))
    return answer


def recall(prompt: RowMemories, past: list[RowMemories], kept: list[Bool[Tensor, " R"]], reach: int) -> list[Slotted]:
    """The newest `reach` memories that each row keeps, ranked into slots; a row that keeps fewer rereads its prompt."""
    if not past:
        return []
    rows = torch.arange(len(prompt.time), device=prompt.time.device)
    age = torch.arange(len(past), 0, -1, device=rows.device)  # 1 for the newest
    order = torch.stack(kept) * (2 * len(past) - age[:, None])  # kept ones first, the newest of them first
    newest = torch.sort(order, dim=0, descending=True)
    bank = [prompt, *past]
    features, pointers = torch.stack([m.features for m in bank]), torch.stack([m.pointer for m in bank])
    coverage, times = torch.stack([m.coverage for m in bank]), torch.stack([m.time for m in bank])
    items = []
    for slot in range(min(reach, len(past))):
        held = newest.values[slot] > 0
        index = torch.where(held, newest.indices[slot] + 1, 0)
        memory = RowMemories(features[index, rows], pointers[index, rows], coverage[index, rows], times[index, rows])
        items.append((memory, torch.where(held, slot, PROMPTED_SLOT)))
    return items
