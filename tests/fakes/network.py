"""What the scripted networks do alike."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from framework.types import ABSENT_LOGIT, Candidates, Features, Prompt, Read, Size

PROMPT_LOGIT = 10.0


def prompted_mask(prompt: Prompt, size: Size) -> np.ndarray | None:
    """A mask prompt, or the inside of a box, at the video's size; None for clicks."""
    if prompt.mask is not None:
        return prompt.mask
    if prompt.box is None:
        return None
    x0, y0, x1, y1 = map(round, prompt.box)
    mask = np.zeros(size, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


class FakeNetwork:
    """A `Network` whose attention is uniform and whose prompts are taken at their word; the rest is the script's."""

    slots = 6
    fill_hole_area = 0

    def condition(self, features: Features, reads: Sequence[Read]) -> Tensor:
        raise NotImplementedError

    def shares(self, reads: Sequence[Read]) -> Tensor:
        """Attention of each row to its items."""
        items = len(reads[0].spatial) + len(reads[0].pointers)
        return torch.full((len(reads), items), 1.0 / max(items, 1))

    def measure(self, features: Features, reads: Sequence[Read]) -> tuple[Tensor, Tensor]:
        conditioned = self.condition(features, reads)
        return conditioned, self.shares(reads)[..., None, None].expand(-1, -1, *conditioned.shape[-2:])

    def similarity(self, memory: object, others: Sequence[object]) -> Tensor:
        """1 with itself, else 0."""
        return torch.tensor([float(memory is other) for other in others])

    @staticmethod
    def tracked(logits: Tensor, iou: Tensor, pointers: Tensor, presence: Tensor, threshold: Tensor) -> Candidates:
        """Rows [R M h w] of which those at or below the threshold are absent."""
        visible = (presence > threshold)[:, None, None, None]
        return Candidates(torch.where(visible, logits, ABSENT_LOGIT), iou, pointers, presence)

    @staticmethod
    def prompted(logits: Tensor, pointers: Tensor) -> Candidates:
        """Rows [R h w] that nobody doubts."""
        rows = len(logits)
        return Candidates(logits[:, None], torch.ones(rows, 1), pointers, torch.full((rows,), PROMPT_LOGIT))
