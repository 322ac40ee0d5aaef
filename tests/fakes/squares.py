"""A network and a data set simple enough to know the answers: a bright square on a dark 16 x 16 frame.

The network finds what is bright near what memory holds, so a policy that remembers too little loses the square.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Features, Outcome, Prompt, Query, Read, Reason
from tests.fakes.network import PROMPT_LOGIT, FakeNetwork, prompted_mask

SIDE = 16


@dataclass(frozen=True)
class SquareNetwork(FakeNetwork):
    """A network that needs no weights. `reach`: cells a square may move between what is remembered and now."""

    reach: int = 2
    slots: int = 16

    def encode(self, image, frame, length):
        brightness = torch.from_numpy(image[..., 0].astype(np.float32)) / 255
        return Features(Query(frame, brightness[None], length), brightness.expand(3, -1, -1), brightness, (SIDE, SIDE))

    def condition(self, features, reads):
        side = 2 * self.reach + 1
        near = []
        for read in reads:
            masks = [entry.features for entry, _ in read.spatial] or [torch.ones(SIDE, SIDE)]
            near.append(F.max_pool2d(torch.stack(masks).amax(0)[None], side, stride=1, padding=self.reach))
        return torch.stack(near)

    def decode(self, features, conditioned, presence_threshold):
        found = (features.private > 0.5) & (conditioned[:, 0] > 0.5)
        presence = torch.where(found.flatten(1).any(1), 4.0, -4.0)
        logits = torch.where(found, 6.0, -6.0)[:, None].repeat(1, 3, 1, 1)
        iou = torch.tensor([0.9, 0.5, 0.4]).repeat(len(found), 1)
        return self.tracked(logits, iou, conditioned[:, :, 0, :4].repeat(1, 3, 1), presence, presence_threshold)

    def prompt(self, features, prompts, conditioned=None, previous=None):
        masks = torch.stack([torch.from_numpy(prompted_mask(prompt, (SIDE, SIDE))) for prompt in prompts])
        return self.prompted(torch.where(masks, PROMPT_LOGIT, -PROMPT_LOGIT), torch.zeros(len(masks), 1, 4))

    def memorise(self, features, logits, presence, prompted):
        return [(row > 0).float() for row in logits]


@dataclass(frozen=True)
class Latest(MemoryPolicy[tuple[Entry, ...]]):
    """Reads the last `count` frames, the prompt included only while it is one of them."""

    count: int = 2
    fails_on: int | None = None
    """Frame on which reading raises."""

    def init(self):
        return ()

    def read(self, state, query: Query) -> Read:
        if query.frame == self.fails_on:
            raise RuntimeError("the policy\nbroke")
        return Read(spatial=tuple((entry, slot) for slot, entry in enumerate(reversed(state))))

    def write(self, state, entry: Entry, outcome: Outcome):
        return (*state, entry)[-self.count :]

    def entries(self, state) -> Sequence[Entry]:
        return state

    def explain(self, state, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return [Reason("forget", "frames held", len(state), ">=", self.count, entry.frame)]


@dataclass(frozen=True)
class First(Latest):
    """Never forgets the prompt and remembers nothing else."""

    def write(self, state, entry, outcome):
        return state or (entry,)


@dataclass(frozen=True)
class Peeking(First):
    """Notes that it was shown the truth."""

    @property
    def privileged(self):
        return True

    def write(self, state, entry, outcome):
        assert outcome.truth is not None and outcome.truth.shape == (SIDE, SIDE)
        return (*state, entry)[-self.count :]


@dataclass(frozen=True)
class Square:
    """A 4 x 4 square that wanders right, is away for some frames, and comes back where it left."""

    name: str
    length: int
    start: int
    """Left edge on frame 0."""
    away: tuple[int, int] = (0, 0)
    """First frame away and first frame back."""
    broken_at: int | None = None
    """Frame that cannot be read."""
    size: tuple[int, int] = (SIDE, SIDE)

    def mask(self, index):
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        if not self.away[0] <= index < self.away[1]:
            left = min(self.start + index, SIDE - 4)
            mask[6:10, left : left + 4] = True
        return mask

    def frame(self, index):
        if index == self.broken_at:
            raise OSError(f"frame {index} cannot be read")
        return np.repeat(self.mask(index)[..., None] * np.uint8(255), 3, axis=2)

    def truth(self, index):
        return {1: self.mask(index)}

    def prompts(self):
        return {0: {1: Prompt(mask=self.mask(0))}}

    def attributes(self, index):
        return frozenset()


@dataclass(frozen=True)
class Squares:
    """A few squares."""

    videos: tuple[Square, ...] = (
        Square("alpha", 8, 0),
        Square("beta", 10, 2, (4, 6)),
        Square("gamma", 6, 1),
    )
    name: str = "squares-v1"

    def __len__(self):
        return len(self.videos)

    def sequence(self, index):
        return self.videos[index]
