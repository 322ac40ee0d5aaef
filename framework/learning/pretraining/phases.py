"""The two phases of pretraining: tracking on memories that are given, then on the network's own.

They are teacher forcing and free running (Williams and Zipser, Neural Computation 1989), mixed over the training by
`Curriculum`.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from framework.learning.pretraining.clip_rows import ClipRows
from framework.learning.pretraining.clips import Curriculum
from framework.learning.pretraining.memory_augmentation import (
    after_identity_switch,
    after_occlusion,
    frame_memories,
    in_slot,
    newest_kept,
)
from framework.learning.pretraining.objectives import Objectives
from framework.learning.pretraining.sam2_steps import PROMPTED_SLOT, Decoded, RowMemories
from framework.masks import iou

RIGHT = 0.7
"""IoU above which a mask shows its object."""


def teacher_forced(objectives: Objectives, clip: ClipRows, curriculum: Curriculum) -> None:
    """Two rounds of parallel queries: on the prompt alone, then on the prompt and what the first round saw."""
    rng, network, difficulty = objectives.rng, objectives.network, curriculum.difficulty(objectives.progress)
    anchor = in_slot(objectives.prompt(clip), PROMPTED_SLOT)
    middle = (clip.frames - 1) // 2
    first, second = list(range(1, 1 + middle)), list(range(1 + middle, clip.frames))
    decoded = objectives.track(clip, first, [anchor])
    own = rng.random() < 0.6 * difficulty
    seen = []
    for i, t in enumerate(first):
        part = decoded.pick(slice(i * clip.count, (i + 1) * clip.count))
        seen.append(frame_memories(network, clip, t, part, own=own))
    kept = [memory for memory in seen if rng.random() < 0.8]
    slots = list(range(len(kept)))  # the newest first; policies may also leave frames out
    if rng.random() < 0.5:
        slots = sorted(rng.choice(PROMPTED_SLOT, len(kept), replace=False).tolist())
    recent = [in_slot(memory, slot) for memory, slot in zip(kept[::-1], slots, strict=True)]
    pointers = None
    if rng.random() < curriculum.occlusion * difficulty:
        pointers = after_occlusion(network, clip, seen, second[0], rng)
        recent = [in_slot(memory, slot) for slot, memory in enumerate(pointers[:PROMPTED_SLOT])]
        pointers = pointers[: int(rng.integers(PROMPTED_SLOT, len(pointers) + 1))]
    else:
        recent = after_identity_switch(clip, recent, curriculum.identity_switch, rng)
    objectives.track(clip, second, [anchor, *recent], pointers)


def free_running(objectives: Objectives, clip: ClipRows, curriculum: Curriculum) -> None:
    """Frame by frame on own masks: a burn-in only to drift, the last frames to learn."""
    rng, network, begin = objectives.rng, objectives.network, clip.frames - curriculum.learned
    prompt = objectives.prompt(clip)
    astray = torch.from_numpy(rng.random(clip.count) < 0.1).to(clip.video.device)
    shares = curriculum.right, curriculum.sampled, curriculum.spaced
    style = str(rng.choice(["all", "right", "sampled", "spaced"], p=[1 - sum(shares), *shares]))
    spatial, every = int(rng.choice([1, 3, 6, 6, 6])), int(rng.integers(2, 4))
    past: list[RowMemories] = []
    kept: list[Bool[Tensor, " R"]] = []
    for t in range(1, clip.frames):
        bank = [in_slot(prompt, PROMPTED_SLOT), *newest_kept(prompt, past, kept, spatial)]
        pointers = past[::-1][: int(rng.integers(0, 16))] if style == "all" else None
        with torch.set_grad_enabled(t >= begin and torch.is_grad_enabled()):
            decoded = objectives.track(clip, [t], bank, pointers, learn=t >= begin)
            switched = astray & (rng.random() < 0.5) if begin - 3 <= t < begin else None
            past.append(frame_memories(network, clip, t, decoded, own=True, switched=switched))
        kept.append(
            {
                "all": torch.ones_like(astray),
                "right": shows_object(clip, t, decoded, switched),
                "sampled": torch.full_like(astray, rng.random() < 0.6),
                "spaced": torch.full_like(astray, t % every == 0),
            }[style]
        )


def shows_object(
    clip: ClipRows, t: int, decoded: Decoded, switched: Bool[Tensor, " R"] | None = None
) -> Bool[Tensor, " R"]:
    """Rows whose memory of frame `t`, tracked as `decoded`, truly shows the object, as an oracle would keep it."""
    overlap = iou(decoded.logit(decoded.best()) > 0, clip.low[:, t] > 0.5)
    right = (overlap > RIGHT) & clip.visible(t) & (decoded.presence > 0)
    return right if switched is None else right & ~switched
