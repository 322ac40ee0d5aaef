"""A network that answers from a script and records what it was asked to attend to.

Memory features and pointers carry codes instead of content, so a test sees which memories were really read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.interfaces import MemoryPolicy
from framework.types import Candidates, Entry, Features, Outcome, Prompt, Query, Read, upsample
from tests.fakes.network import PROMPT_LOGIT, FakeNetwork, prompted_mask

POINTER_WIDTH = 4
PROMPT_HYPOTHESIS = 9
"""Code of a prompt's pointer; hypotheses are 0..2, the absent pointer is -1."""


@dataclass(frozen=True, eq=False)
class ScriptedMemory:
    """What a memory encoder call was given."""

    frame: int
    binarised: bool
    """Whether every value of the mask given to the encoder is -10 or 10."""
    pixels: int
    """Foreground pixels of the mask at network input size."""
    mean: float
    """Of the mask given to the encoder, -10..10."""
    no_object: bool
    order: int
    """Number of the encoder call."""


@dataclass(frozen=True)
class Asked:
    """One row as the network saw it."""

    spatial: tuple[tuple[int, int], ...]
    """(frame, slot)"""
    memories: tuple[ScriptedMemory, ...]
    pointers: tuple[tuple[int, int], ...]
    """(frame, distance)"""
    hypotheses: tuple[int, ...]
    """Hypothesis behind each pointer; 9 a prompt, -1 the absent pointer."""
    span: int
    gain: tuple[float, ...] | None = None
    forward: int = 0
    """Which forward pass of the frame this was."""
    forwards: tuple[int, ...] = ()
    """Forward pass that made each pointer."""
    presence: tuple[float, ...] = ()
    """Object score of each spatial memory, then of each pointer."""


@dataclass(frozen=True)
class InPasses(MemoryPolicy[Any]):
    """Numbers the rows of a frame, so that each is answered by a pass of its own, even where two read the same.

    The number travels as an attention bias. Rows of one object in one tracker only.
    """

    inner: MemoryPolicy[Any]
    count: Counter[int] = field(default_factory=Counter)

    def init(self) -> Any:
        return self.inner.init()

    def read(self, state: Any, query: Query) -> Read:
        read = self.inner.read(state, query)
        forward = self.count[query.frame]
        self.count[query.frame] += 1
        return replace(read, bias=torch.full((len(read.spatial) + len(read.pointers),), float(forward)))

    def write(self, state: Any, entry: Entry, outcome: Outcome) -> Any:
        return self.inner.write(state, entry, outcome)

    def entries(self, state: Any) -> Sequence[Entry]:
        return self.inner.entries(state)


@dataclass(frozen=True)
class Script:
    """Per frame, and per forward pass of that frame where a method makes several."""

    logits: Float[np.ndarray, "T B M h w"]
    iou: Float[np.ndarray, "T B M"]
    presence: Float[np.ndarray, "T B"]

    @classmethod
    def of_trace(cls, trace: Mapping[str, np.ndarray]) -> "Script":
        """Low-resolution logits, predicted IoUs and object logits of a golden trace."""
        quantised = trace["mask_q"].astype(np.float32)
        logits = (quantised + np.float32(trace["logit_offset"])) * np.float32(trace["logit_scale"])
        up = int(trace["up"])
        logits = logits.repeat(up, axis=-2).repeat(up, axis=-1)
        branched = logits.ndim == 5
        return cls(
            logits if branched else logits[:, None],
            trace["ious"] if branched else trace["ious"][:, None],
            trace["obj"] if branched else trace["obj"][:, None],
        )


@dataclass
class ScriptedNetwork(FakeNetwork):
    """Answers frame `order[i]` of the script on frame i; `asked` and `encoded` grow as it is used."""

    script: Script
    input_size: tuple[int, int]
    video_size: tuple[int, int]
    order: Sequence[int] | None = None
    asked: dict[int, list[Asked]] = field(default_factory=dict)
    encoded: list[ScriptedMemory] = field(default_factory=list)
    reading: Tensor | None = None
    """Returned by `measure` when set; uniform otherwise."""

    def source(self, frame: int) -> int:
        """Frame of the script behind a step."""
        return frame if self.order is None else self.order[frame]

    def encode(self, image: object, frame: int, length: int | None) -> Features:
        image = image if isinstance(image, Tensor) else torch.zeros(3, *self.input_size)
        return Features(Query(frame, torch.zeros(4, 2, 2), length), image, None, self.video_size)

    def condition(self, features: Features, reads: Sequence[Read]) -> Tensor:
        frame = features.query.frame
        rows = self.asked.setdefault(self.source(frame), [])
        forwards = [len(rows) + at if read.bias is None else int(read.bias[0]) for at, read in enumerate(reads)]
        for forward, read in zip(forwards, reads, strict=True):
            rows.append(
                Asked(
                    spatial=tuple((self.source(entry.features.frame), slot) for entry, slot in read.spatial),
                    memories=tuple(entry.features for entry, _ in read.spatial),
                    pointers=tuple((int(entry.pointer[0]), ago) for entry, ago in read.pointers),
                    hypotheses=tuple(int(entry.pointer[1]) for entry, _ in read.pointers),
                    span=read.pointer_span,
                    gain=None if read.gain is None else tuple(read.gain.tolist()),
                    forward=forward,
                    forwards=tuple(int(entry.pointer[2]) for entry, _ in read.pointers),
                    presence=tuple(entry.scores.presence for entry, _ in (*read.spatial, *read.pointers)),
                )
            )
        return torch.tensor(forwards).float()[:, None, None, None].expand(-1, 1, 2, 2)

    def shares(self, reads: Sequence[Read]) -> Tensor:
        return super().shares(reads) if self.reading is None else self.reading

    def decode(self, features: Features, conditioned: Tensor, presence_threshold: Tensor) -> Candidates:
        frame = self.source(features.query.frame)
        passes = self.script.logits.shape[1]
        at = [int(row) if passes > 1 else 0 for row in conditioned[:, 0, 0, 0]]
        logits = torch.from_numpy(self.script.logits[frame, at])
        presence = torch.from_numpy(self.script.presence[frame, at])
        hypotheses = logits.shape[1]
        pointers = torch.full((len(at), hypotheses, POINTER_WIDTH), float(frame))
        pointers[..., 1] = torch.arange(hypotheses)
        pointers[presence <= presence_threshold, :, 1] = -1
        pointers[..., 2] = torch.tensor(at)[:, None]
        return self.tracked(
            logits, torch.from_numpy(self.script.iou[frame, at]), pointers, presence, presence_threshold
        )

    def prompt(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        conditioned: Tensor | None = None,
        previous: Tensor | None = None,
    ) -> Candidates:
        rows = []
        for prompt in prompts:
            mask = prompted_mask(prompt, self.video_size)
            assert mask is not None
            given = torch.from_numpy(mask)[None, None].float()
            given = F.interpolate(given, self.input_size, mode="bilinear", align_corners=False, antialias=True)
            given = (given >= 0.5).float() * 2 * PROMPT_LOGIT - PROMPT_LOGIT
            size = tuple(self.script.logits.shape[-2:])
            rows.append(F.interpolate(given, size, mode="bilinear", align_corners=False, antialias=True)[0, 0])
        pointers = torch.full((len(rows), 1, POINTER_WIDTH), float(self.source(features.query.frame)))
        pointers[..., 1], pointers[..., 2] = PROMPT_HYPOTHESIS, 0
        return self.prompted(torch.stack(rows), pointers)

    def memorise(self, features: Features, logits: Tensor, presence: Tensor, prompted: Tensor) -> list[ScriptedMemory]:
        full = upsample(logits.float(), self.input_size)
        sharp = torch.where(full > 0, torch.inf, -torch.inf)
        given = torch.where(prompted[:, None, None], sharp, full).sigmoid() * 20 - 10
        made = [
            ScriptedMemory(
                features.query.frame,
                bool((mask.abs() == 10).all()),
                int((mask > 0).sum()),
                float(mask.mean()),
                bool(score <= 0),
                len(self.encoded) + index,
            )
            for index, (mask, score) in enumerate(zip(given, presence, strict=True))
        ]
        self.encoded += made
        return list(made)
