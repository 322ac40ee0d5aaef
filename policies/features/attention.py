"""What memory attention says of a mask: whose memories the image tokens under it read."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log

import torch
from torch.nn.functional import adaptive_avg_pool2d

from framework.ops.tokens import on_host
from framework.types import Outcome

ATTENTION = ("read_prompt", "read_newest", "read_contrast", "read_focus")
"""Features of one frame, in the order of `Heed.row`."""


@dataclass(frozen=True, slots=True)
class AttentionStats:
    """Shares of attention, all 0 where nothing was read or seen."""

    of: Mapping[int, float] = field(default_factory=dict)
    """What the tokens under the mask paid each remembered frame, spatial memory and pointer together."""
    prompt: float = 0.0
    """What they paid the prompts."""
    newest: float = 0.0
    """What they paid the newest tracked frame."""
    contrast: float = 0.0
    """How much more they paid the prompts than tokens beside the mask did."""
    focus: float = 0.0
    """1 if they read one frame only, 0 if all alike: 1 - entropy / log(frames)."""

    @property
    def row(self) -> tuple[float, ...]:
        return self.prompt, self.newest, self.contrast, self.focus


def attention_stats(outcome: Outcome) -> AttentionStats:
    """Of the chosen mask; what a token counts is how much of it the mask covers. One transfer from the device."""
    entries = [entry for entry, _ in (*outcome.read.spatial, *outcome.read.pointers)]
    if outcome.attention is None or not entries or not outcome.scores.area:
        return AttentionStats()
    attention = outcome.attention.detach().float()
    _, height, width = attention.shape
    cover = adaptive_avg_pool2d(outcome.logits.detach().float().sigmoid()[None], (height, width))
    covers = torch.cat([cover, 1 - cover]).flatten(1)
    inside, outside = on_host(covers @ attention.flatten(1).T / covers.sum(1, keepdim=True).clamp_min(1e-6)).tolist()
    of: dict[int, float] = defaultdict(float)
    for entry, share in zip(entries, inside, strict=True):
        of[entry.frame] += share
    prompted = [entry.scores.prompted for entry in entries]
    prompt, beside = (sum(share for share, asked in zip(s, prompted, strict=True) if asked) for s in (inside, outside))
    newest = max((entry.frame for entry in entries if not entry.scores.prompted), default=None)
    entropy = -sum(share * log(share) for share in of.values() if share > 0)
    focus = 1 - entropy / log(len(of)) if len(of) > 1 else 1.0
    return AttentionStats(dict(of), prompt, 0.0 if newest is None else of[newest], prompt - beside, focus)
