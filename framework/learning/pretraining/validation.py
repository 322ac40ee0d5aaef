"""How well a network tracks held-out clips on its own memories, as SAM2 would."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.learning.pretraining.clip_rows import ClipRows
from framework.learning.pretraining.memory_augmentation import frame_memories, in_slot
from framework.learning.pretraining.objectives import Objectives
from framework.learning.pretraining.sam2_steps import POINTERS, PROMPTED_SLOT, RowMemories
from framework.masks import iou
from framework.types import upsample


@dataclass(frozen=True, slots=True)
class TrackedFrames:
    """N frames that were tracked in closed loop."""

    iou: Float[Tensor, " N"]
    """True IoU; an object found absent has no mask."""
    quality: Float[Tensor, " N"]
    """Predicted IoU."""
    presence: Float[Tensor, " N"]
    """Object-score logit."""
    visible: Bool[Tensor, " N"]

    def scores(self) -> dict[str, Float[Tensor, ""]]:
        """`J` of visible frames, shares of visible and absent frames that presence has right, and Spearman's rank
        correlation of predicted and true IoU over visible frames."""
        visible = self.visible
        found = {
            "J": self.iou[visible].mean(),
            "visible_right": (self.presence[visible] > 0).float().mean(),
        }
        if (~visible).any():
            found["absent_right"] = (self.presence[~visible] <= 0).float().mean()
        ranks = torch.stack([value[visible].argsort().argsort().float() for value in (self.iou, self.quality)])
        return {**found, "spearman": torch.corrcoef(ranks)[0, 1]}


def closed_loop(objectives: Objectives, clip: ClipRows) -> TrackedFrames:
    """Tracks every row of a clip from its prompt on with the newest six memories."""
    prompt = objectives.prompt(clip)
    past: list[RowMemories] = []
    rows: list[Tensor] = []
    for t in range(1, clip.frames):
        newest = past[::-1]
        recent = [in_slot(memory, slot) for slot, memory in enumerate(newest[:PROMPTED_SLOT])]
        bank = [in_slot(prompt, PROMPTED_SLOT), *recent]
        decoded = objectives.track(clip, [t], bank, newest[:POINTERS], learn=False)
        past.append(frame_memories(objectives.network, clip, t, decoded, own=True))
        del past[:-POINTERS]
        token = decoded.best()
        shown = upsample(decoded.logit(token), (clip.masks.shape[-2], clip.masks.shape[-1])) > 0
        shown = shown & (decoded.presence > 0)[:, None, None]
        quality = decoded.iou.gather(1, token[:, None])[:, 0]
        rows.append(torch.stack([iou(shown, clip.masks[:, t]), quality, decoded.presence, clip.visible(t).float()]))
    overlap, quality, presence, visible = torch.stack(rows, dim=1).flatten(1)
    return TrackedFrames(overlap, quality, presence, visible > 0)
