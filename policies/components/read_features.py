"""What is known of a memory without looking inside: how it compared with the target when it was written, where it
stands among the others, and how like the newest one it looks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import log1p

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from framework.ops.features import relative
from framework.ops.features.history import TargetHistory
from framework.ops.features.hypotheses import Appearance, describe
from framework.types import Entry, FrameNumber, Outcome, Query

VERSION = 2
"""Of what the features mean."""
PLACE = "look_now", "pointer_now", "colour_now", "age", "rank", "gap", "gap_known", "prompt", "older", "held"
FEATURES = (*relative.FEATURES, *PLACE)
"""In order: those of the mask that was remembered (0 under a prompt, which is compared with nothing), three cosines
with the newest memory, and its place among the memories. A gap that may be missing is 0 then, and a second feature says
whether it is known."""
FAR = 100  # frames from which an age is like any other: nothing tells how long the video has lasted
MANY = 12  # memories, as the unit of counts and ranks


@dataclass(frozen=True, slots=True, eq=False)
class ReadFeatures:
    """About one memory."""

    row: Float32[np.ndarray, " inputs"]
    """Of its mask, in the order of `framework.ops.features.relative.FEATURES`."""
    appearance: Appearance


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """About the memories held, and the target; a value."""

    of: Mapping[FrameNumber, ReadFeatures] = field(default_factory=dict)
    """By frame, oldest first."""
    target: TargetHistory = TargetHistory()

    def add(self, entry: Entry, outcome: Outcome, held: Collection[FrameNumber]) -> "ReadHistory":
        """With one more frame; what is known of frames that are not `held` goes."""
        assert outcome.features is not None
        hypotheses, row = describe(outcome.candidates, outcome.features), np.zeros(len(relative.FEATURES), np.float32)
        mask = hypotheses.mask(outcome.choice)
        if entry.scores.prompted:
            target = TargetHistory.begin(mask)
        else:
            compared = relative.compare(self.target, hypotheses)
            row = row if compared is None else compared.rows[outcome.choice]
            target = relative.follow(self.target, hypotheses, compared, outcome.choice)
        known = {**self.of, entry.frame: ReadFeatures(row, mask.appearance)}
        return ReadHistory({frame: known[frame] for frame in sorted(known) if frame in held}, target)

    def features(self, entries: Sequence[Entry], older: Sequence[Entry], query: Query) -> Float[Tensor, "items _"]:
        """`FEATURES` of each entry on the frame of `query`; `older` are those beyond the recent ones."""
        frames, beyond = sorted(entry.frame for entry in entries), {entry.frame for entry in older}
        rows = np.zeros((len(entries), len(FEATURES)), np.float32)
        for row, entry in zip(rows, entries, strict=True):
            known, newest, rank = self.of[entry.frame], self.of[frames[-1]].appearance, frames.index(entry.frame)
            gap = _elapsed(entry.frame - frames[rank - 1]) if rank else 0.0
            age = _elapsed(abs(query.frame - entry.frame)), (len(frames) - 1 - rank) / MANY
            place = gap, rank > 0, entry.scores.prompted, entry.frame in beyond, len(frames) / MANY
            row[: len(known.row)] = known.row
            row[len(known.row) :] = (*_likeness(known.appearance, newest), *age, *place)
        return torch.from_numpy(rows)


def _likeness(one: Appearance, other: Appearance) -> tuple[float, float, float]:
    """Cosines of looks, pointers and colours."""
    pairs = (one.look, other.look), (one.pointer, other.pointer), (one.colours, other.colours)
    look, pointer, colours = (float(mine @ theirs) for mine, theirs in pairs)
    return look, pointer, colours


def _elapsed(frames: int) -> float:
    """Logarithm of a distance in frames, 0..1."""
    return log1p(min(frames, FAR)) / log1p(FAR)
