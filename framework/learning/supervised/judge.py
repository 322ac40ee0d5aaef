"""Training of a motion model that chooses among the hypotheses: supervised by how right each of them was."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from framework.data.sequence import DataSet, VideoSequence
from framework.errors import InputError
from framework.interfaces import MemoryPolicy, MotionModel, Network
from framework.learning.supervised.cached import CachedRecords, TrackerParts
from framework.learning.supervised.closed_loop import VALIDATION_J, ClosedLoopTraining
from framework.learning.supervised.rounds import Rounds
from framework.metrics.tracking import mask_iou
from framework.tracker import advance
from framework.types import Frame, upsample


@runtime_checkable
class TrainableJudge(Protocol):
    """The motion model that learns, a `MotionModel` and a module."""

    judge: Any
    """Maps rows [*b inputs] to logits of their masks' IoU [*b]; `centre` and `scale` [inputs] standardise them."""

    def rows(self, state: Any) -> Float[np.ndarray, "M inputs"] | None:
        """Features of the hypotheses of the last frame; None where there was nothing to choose."""

    def frozen_copy(self) -> "TrainableJudge":
        """One that judges as this one does now, and no longer learns."""

    def features_only(self) -> "TrainableJudge":
        """One that describes the hypotheses and says nothing of them."""

    def ignore(self, groups: Sequence[str]) -> None:
        """Leaves groups of features out."""

    def checkpoint(self) -> Mapping[str, Any]:
        """What the motion model reads its weights from."""


@dataclass(frozen=True, slots=True)
class HypothesisRecord:
    """The hypotheses of one video, under several policies."""

    rows: Float[np.ndarray, "N M inputs"]
    """Of every frame on which the object was visible and there was something to choose."""
    iou: Float[np.ndarray, "N M"]
    """True IoU of each."""


class HypothesisVideos(CachedRecords[HypothesisRecord]):
    """What there was to choose on the first object of each video, tracked by several policies with one motion model."""

    def __init__(
        self,
        network: Network,
        policies: Mapping[str, MemoryPolicy],
        motion: TrainableJudge,
        data: DataSet,
        videos: range,
        cache: Path,
        folder: str | None = None,
    ) -> None:
        self.network, self.motion = network, motion
        self.trackers = {
            name: TrackerParts(policy, cast(MotionModel, motion)).on(network) for name, policy in policies.items()
        }
        super().__init__(HypothesisRecord, data, videos, {"trackers": self.trackers}, cache, folder)

    def record(self, video: VideoSequence, seed: int) -> HypothesisRecord:
        (start, given), *_ = sorted(video.prompts().items())
        key = min(given)
        states = {name: tracker.init() for name, tracker in self.trackers.items()}
        rows: list[np.ndarray] = []
        overlaps: list[list[float]] = []
        for t in range(start, video.length):
            features = self.network.encode(video.frame(t), t, video.length)
            frame = Frame(features.image, {key: given[key]} if t == start else {})
            states, results = advance(self.trackers, states, features, frame)
            truth = video.truth(t).get(key)
            if t == start or truth is None or not truth.any():
                continue
            for name, result in results.items():
                found, candidates = self.motion.rows(states[name].objects[key][0].motion), result.tracks[key].candidates
                if found is not None and candidates is not None:
                    masks = (upsample(candidates.logits[0], video.size) > 0).cpu().numpy()
                    rows.append(found)
                    overlaps.append([mask_iou(mask, truth) for mask in masks])
        shape = (len(rows), len(rows[0]), len(rows[0][0])) if rows else (0, 0, 0)
        return HypothesisRecord(
            np.array(rows, np.float32).reshape(shape), np.array(overlaps, np.float32).reshape(shape[:2])
        )


def judge_loss(
    logits: Float[Tensor, "N M"], iou: Float[Tensor, "N M"], softness: float = 0.05
) -> dict[str, Float[Tensor, ""]]:
    """`quality`: cross-entropy of each estimated IoU against the true one. `order`: cross-entropy of a softmax over the
    hypotheses against that of the true IoUs (divided by `softness`), weighted by how far they are apart."""
    apart = iou.amax(1) - iou.amin(1)
    order = -(F.softmax(iou / softness, dim=1) * F.log_softmax(logits, dim=1)).sum(1)
    return {"quality": F.binary_cross_entropy_with_logits(logits, iou), "order": (apart * order).mean()}


class JudgeTraining(ClosedLoopTraining):
    """A judge of hypotheses; chosen by how well a tracker follows its choices, not by its losses.

    Args:
        motion: see `TrainableJudge`.
        policy: memory of the closed loop.
        network: frozen.
        validation: videos that are tracked in closed loop.
        rate: highest learning rate, falling to 0 over the training.
        order: weight of the order among the hypotheses of a frame, beside their qualities.
        ignored: groups of features to leave out.
    """

    def __init__(
        self,
        motion: TrainableJudge,
        policy: MemoryPolicy,
        network: Network,
        validation: DataSet,
        rate: float = 1e-3,
        decay: float = 0.1,
        order: float = 2.0,
        ignored: Sequence[str] = (),
    ) -> None:
        super().__init__(TrackerParts(policy, cast(MotionModel, motion)), network, validation, rate, decay)
        self.learned, self.order = motion, order
        motion.ignore(ignored)
        motion.judge.requires_grad_(True).train()

    @property
    def trainable(self) -> nn.Module:
        return self.learned.judge

    definitions: ClassVar[Mapping[str, str]] = {
        "J": VALIDATION_J,
        "chosen": "mean IoU of the hypotheses that the judge chooses, on held-out records",
        "best": "mean IoU of the best hypotheses: what there is to reach",
        "quality": "cross-entropy of estimated and true IoU",
        "order": "cross-entropy of the order among the hypotheses of a frame, weighted by how far they are apart",
    }

    def losses(self, batch: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Of rows [N M inputs] and the true IoU of each [N M]."""
        rows, iou = batch
        logits = self.learned.judge(rows)
        parts = judge_loss(logits, iou)
        chosen = iou.gather(1, logits.argmax(1, keepdim=True))
        found = {**{name: part.detach() for name, part in parts.items()}, "chosen": chosen.mean()}
        return parts["quality"] + self.order * parts["order"], {**found, "best": iou.amax(1).mean()}


class JudgeRounds(Rounds[HypothesisRecord]):
    """Hypotheses of ever more videos: in the first round the network chooses, then the judge as it has learned so far.

    Args:
        policies: memories that the videos are tracked with, by name.
        data: training videos.
        frames: rows of hypotheses per training step.
        cache: folder that keeps choices between runs.
        videos, held_out, workers: see `Rounds`.
    """

    def __init__(
        self,
        network: Network,
        policies: Mapping[str, MemoryPolicy],
        data: DataSet,
        videos: int = 1200,
        held_out: int = 60,
        frames: int = 512,
        workers: int = 2,
        cache: str = "outputs/choices",
        seed: int = 0,
    ) -> None:
        super().__init__(videos, held_out, workers)
        self._network, self.policies, self.data = (network,), policies, data
        self.frames, self.cache, self.seed = frames, Path(cache), seed

    @property
    def _motion(self) -> TrainableJudge:
        assert isinstance(self.training_module, JudgeTraining)
        return self.training_module.learned

    def records(self, round: int, videos: range, folder: str | None) -> HypothesisVideos:
        motion = self._motion.frozen_copy() if round else self._motion.features_only()
        return HypothesisVideos(self._network[0], self.policies, motion, self.data, videos, self.cache, folder)

    def batches(self, records: Sequence[HypothesisRecord], first: bool) -> "JudgeBatches":
        rows, iou = self.validation_batch(records)
        if first:
            flat = rows.flatten(0, 1)
            self._motion.judge.centre.copy_(flat.mean(0))
            self._motion.judge.scale.copy_(flat.std(0).clamp_min(1e-3))
        return JudgeBatches(rows, iou, self.frames, self.seed, self.training_module.global_step)

    def validation_batch(
        self, records: Sequence[HypothesisRecord]
    ) -> tuple[Float[Tensor, "N M inputs"], Float[Tensor, "N M"]]:
        usable = [record for record in records if len(record.iou)]
        if not usable:
            raise InputError(
                f"the judge has nothing to choose on {len(records)} videos: give more videos, or longer ones"
            )
        rows, iou = (np.concatenate(part) for part in zip(*((r.rows, r.iou) for r in usable), strict=True))
        return torch.from_numpy(rows), torch.from_numpy(iou)


class JudgeBatches(IterableDataset):
    """Batches drawn from known choices without end; equal for equal seed and step."""

    def __init__(
        self, rows: Float[Tensor, "N M inputs"], iou: Float[Tensor, "N M"], frames: int, seed: int, step: int
    ) -> None:
        self.rows, self.iou, self.frames, self.seed, self.step = rows, iou, frames, seed, step

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "n M inputs"], Float[Tensor, "n M"]]]:
        step = self.step
        while True:
            generator = torch.Generator().manual_seed(hash((self.seed, step)) % 2**63)
            picked = torch.randint(len(self.iou), (self.frames,), generator=generator)
            yield self.rows[picked], self.iou[picked]
            step += 1
