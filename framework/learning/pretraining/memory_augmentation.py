"""Memories that go wrong in the ways in which trackers do, so that a network learns to live with them.

Short clips do not show these by themselves:

* own masks: a frame is remembered with the mask that the network predicted, not with the true one;
* absence: a frame is remembered in which nothing was seen;
* occlusion: the newest memories, a different number in every row, are absences;
* identity switch: the newest memories, a different number in every row, are those of the video's other object;
* sparse memory: only some frames were kept, as a policy may; rows that have too few reread their prompt.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from framework.learning.pretraining.clip_rows import ClipRows
from framework.learning.pretraining.sam2_steps import (
    KNOWN_LOGIT,
    POINTERS,
    PROMPTED_SLOT,
    Decoded,
    RowMemories,
    memorise,
    object_pointer,
)
from framework.types import ABSENT_LOGIT, upsample

SlottedMemories = tuple[RowMemories, Int[Tensor, " R"]]
"""A memory of every row, and the row of the temporal code that each uses."""


def in_slot(memories: RowMemories, slot: int) -> SlottedMemories:
    """The same slot in all rows."""
    return memories, torch.full_like(memories.time, slot)


def known_logits(mask: Bool[Tensor, "R H W"]) -> Float[Tensor, "R H W"]:
    return mask.float() * 2 * KNOWN_LOGIT - KNOWN_LOGIT


def frame_memories(
    network: SAM2Base,
    clip: ClipRows,
    t: int,
    decoded: Decoded,
    own: bool,
    switched: Bool[Tensor, " R"] | None = None,
) -> RowMemories:
    """Memories of frame `t`, which was tracked as `decoded`.

    Args:
        own: with the predicted mask and presence, not with the true ones.
        switched: rows that remember the video's other object instead, where it is visible.
    """
    token, visible = decoded.best(), clip.visible(t)
    if own:
        visible = decoded.presence > 0
        logits = upsample(decoded.logit(token), (clip.masks.shape[-2], clip.masks.shape[-1]))
        logits = torch.where(visible[:, None, None], logits, ABSENT_LOGIT)
    else:
        logits = known_logits(clip.masks[:, t])
    if switched is not None:
        switched = switched & clip.others[:, t].flatten(1).any(1)
        logits = torch.where(switched[:, None, None], known_logits(clip.others[:, t]), logits)
        visible = visible | switched
    features = memorise(network, clip.at(t), logits, visible)
    return RowMemories(features, object_pointer(network, decoded, token, visible), clip.covered[:, t], clip.times[:, t])


def absence(network: SAM2Base, clip: ClipRows, t: int) -> RowMemories:
    """Memories of frame `t` as if no object had been seen in it."""
    unseen = torch.zeros_like(clip.masks[:, t])
    features = memorise(network, clip.at(t), unseen.float() + ABSENT_LOGIT, unseen[:, 0, 0])
    pointer = network.no_obj_ptr.expand(clip.count, -1)
    return RowMemories(features, pointer, torch.zeros_like(clip.covered[:, t]), clip.times[:, t])


def after_occlusion(
    network: SAM2Base, clip: ClipRows, seen: Sequence[RowMemories], now: int, rng: np.random.Generator
) -> list[RowMemories]:
    """Memories of the `POINTERS` frames before frame `now`, newest first, as if the object had been occluded.

    In every row the newest of them, 0 to `POINTERS`, are absences. The others repeat the few frames of the clip.

    Args:
        seen: memories of frames 1, 2, ... of the clip.
    """
    missed = torch.from_numpy(rng.integers(0, POINTERS + 1, clip.count)).to(clip.video.device)
    absences = [absence(network, clip, t) for t in range(1, 1 + len(seen))]
    past = []
    for ago in range(POINTERS):
        which = -1 - ago % len(seen)
        memory = absences[which].instead(missed > ago, seen[which])
        past.append(replace(memory, time=clip.times[:, now] - 1 - ago))
    return past


def after_identity_switch(
    clip: ClipRows, recent: Sequence[SlottedMemories], share: float, rng: np.random.Generator
) -> list[SlottedMemories]:
    """`recent`, newest first; in a share of the rows the newest of them are of the video's other object.

    They are what the video's other row remembers of the same frames. The object itself still lies where it lies.
    """
    chosen = rng.random(clip.count) < share
    number = np.where(chosen, rng.integers(1, PROMPTED_SLOT + 1, clip.count), 0)
    wrong = torch.from_numpy(number).to(clip.video.device)
    other = torch.arange(clip.count, device=clip.video.device).view(-1, 2).flip(1).flatten()
    answer = []
    for ago, (memory, slot) in enumerate(recent):
        mistaken = replace(memory.pick(other), coverage=memory.coverage)
        answer.append((mistaken.instead(wrong > ago, memory), slot))
    return answer


def newest_kept(
    prompt: RowMemories, past: Sequence[RowMemories], kept: Sequence[Bool[Tensor, " R"]], count: int
) -> list[SlottedMemories]:
    """The newest `count` memories that each row keeps, the newest in slot 0.

    Args:
        past: oldest first.
        kept: for each of `past`, the rows that keep it. A row that keeps fewer than `count` rereads its prompt.
    """
    if not past:
        return []
    rows = torch.arange(len(prompt.time), device=prompt.time.device)
    age = torch.arange(len(past), 0, -1, device=rows.device)  # 1 for the newest
    order = torch.stack(list(kept)) * (2 * len(past) - age[:, None])  # kept ones first, the newest of them first
    newest = torch.sort(order, dim=0, descending=True)
    bank = [prompt, *past]
    features, pointers = torch.stack([m.features for m in bank]), torch.stack([m.pointer for m in bank])
    coverage, times = torch.stack([m.coverage for m in bank]), torch.stack([m.time for m in bank])
    items = []
    for slot in range(min(count, len(past))):
        held = newest.values[slot] > 0
        index = torch.where(held, newest.indices[slot] + 1, 0)
        memory = RowMemories(features[index, rows], pointers[index, rows], coverage[index, rows], times[index, rows])
        items.append((memory, torch.where(held, slot, PROMPTED_SLOT)))
    return items
