"""Records as what an estimator of IoU learns from: features of hypotheses, and how right each was."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from framework.learning.supervised.records import TrackedRecord, TrackedVideos
from framework.ops.features.history import TargetHistory
from framework.ops.features.relative import FEATURES, compare, follow


@dataclass(frozen=True, slots=True)
class HypothesisExamples:
    """N tracked frames on which there was something to choose, and whose truth is known."""

    rows: Float[Tensor, "N M inputs"]
    """Features of each hypothesis, in the order of `framework.ops.features.relative.FEATURES`."""
    iou: Float[Tensor, "N M"]
    """True one of each, 0..1."""
    choice: Int[Tensor, " N"]
    """Of the tracker."""
    shown: Bool[Tensor, " N"]
    """Whether the chosen mask is not empty."""
    visible: Bool[Tensor, " N"]
    """Whether the object is."""

    @staticmethod
    def of(record: TrackedRecord) -> "HypothesisExamples":
        """Of all trackers of a record, frame after frame."""
        rows, ious, choices, shown, visible = [], [], [], [], []
        targets = [TargetHistory()] * record.choice.shape[1]
        for tracked in record.frames():
            for tracker, frame in enumerate(tracked):
                hypotheses, target = frame.hypotheses, targets[tracker]
                if frame.prompted:
                    targets[tracker] = TargetHistory.begin(hypotheses.mask(frame.choice))
                    continue
                relative = compare(target, hypotheses)
                targets[tracker] = follow(target, hypotheses, relative, frame.choice)
                if relative is not None and not np.isnan(frame.iou).any():
                    rows.append(relative.rows)
                    ious.append(frame.iou)
                    choices.append(frame.choice)
                    shown.append(hypotheses.areas[frame.choice] > 0)
                    visible.append(frame.visible)
        found = np.array(rows, np.float32) if rows else np.empty((0, 0, len(FEATURES)), np.float32)
        return HypothesisExamples(
            torch.from_numpy(found),
            torch.from_numpy(np.array(ious, np.float32).reshape(found.shape[:2])),
            torch.tensor(choices, dtype=torch.long),
            torch.tensor(shown, dtype=torch.bool),
            torch.tensor(visible, dtype=torch.bool),
        )

    @staticmethod
    def join(parts: Sequence["HypothesisExamples"]) -> "HypothesisExamples":
        """All of them, one after the other; those without a frame are left out."""
        some = [part for part in parts if len(part)] or [*parts]
        return HypothesisExamples(*(torch.cat([getattr(part, f.name) for part in some]) for f in fields(some[0])))

    def __len__(self) -> int:
        return len(self.choice)

    def __getitem__(self, index: Tensor) -> "HypothesisExamples":
        return HypothesisExamples(*(getattr(self, field.name)[index] for field in fields(self)))

    def clone(self) -> "HypothesisExamples":
        """In memory of its own."""
        return HypothesisExamples(*(getattr(self, field.name).clone() for field in fields(self)))

    def to(self, device: torch.device) -> "HypothesisExamples":
        return HypothesisExamples(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class VideoExamples(Dataset):
    """Examples of each of these videos."""

    videos: TrackedVideos

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> HypothesisExamples:
        return HypothesisExamples.of(self.videos[index])


@dataclass(frozen=True)
class ExampleBatches(IterableDataset):
    """Batches drawn from examples without end; equal for equal seed and step.

    Args:
        frames: per batch.
        step: of the first one.
    """

    examples: HypothesisExamples
    frames: int
    seed: int
    step: int

    def __iter__(self) -> Iterator[HypothesisExamples]:
        step = self.step
        while True:
            generator = torch.Generator().manual_seed(hash((self.seed, step)) % 2**63)
            yield self.examples[torch.randint(len(self.examples), (self.frames,), generator=generator)]
            step += 1
