"""Another policy's memories, read with more or less weight on the prompts."""

from dataclasses import dataclass
from math import isnan
from typing import Any

import torch

from framework.interfaces import MemoryPolicy, Wrapped
from framework.types import Query, Read
from policies.skip_absent import SkipAbsent


def with_prompt_bias(read: Read, bias: float) -> Read:
    """The same read with `bias` on the attention logits of prompted frames, spatial memories and pointers."""
    if not bias:
        return read
    own = torch.tensor([bias if entry.scores.prompted else 0.0 for entry, _ in (*read.spatial, *read.pointers)])
    return read.biased(own)


@dataclass(frozen=True)
class PromptBias(Wrapped[Any]):
    """Reads what `policy` reads, with `bias` on the prompts.

    Below 0 the network relies more on how the object looks now, above 0 more on how it was shown; 0 is `policy` itself.
    """

    policy: MemoryPolicy = SkipAbsent()
    bias: float = -0.5

    def __post_init__(self) -> None:
        if isnan(self.bias):
            raise ValueError("prompt_bias needs a number as bias, or -inf to leave prompts unread")

    def read(self, state: Any, query: Query) -> Read:
        return with_prompt_bias(super().read(state, query), self.bias)
