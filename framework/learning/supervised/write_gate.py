"""Training of a policy that decides which frames to trust: a classifier of masks, supervised by the truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import torch.nn.functional as F
from torch import Tensor, nn

from framework.data.sequence import DataSet
from framework.defaults import NoMotion
from framework.interfaces import MemoryPolicy, MotionModel, Network
from framework.learning.supervised.batches import RIGHT, Batch, Batches
from framework.learning.supervised.cached import TrackerParts
from framework.learning.supervised.closed_loop import VALIDATION_J, ClosedLoopTraining
from framework.learning.supervised.rollouts import DescribesFrames, Rollout, RolloutVideos
from framework.learning.supervised.rounds import Rounds


@runtime_checkable
class TrainableWriteGate(DescribesFrames, Protocol):
    """The policy that learns, a `MemoryPolicy` and a module."""

    classifier: Any
    """Called with windows of features and which of them are present, it gives logits of `RIGHT`, `WRONG`, `ABSENT`
    [N 3]; `centre` and `scale` [inputs] standardise what it sees."""

    def initial_rule(self) -> "TrainableWriteGate":
        """The hand rule that learning starts from."""

    def ignore(self, groups: Sequence[str]) -> None:
        """Leaves groups of features out."""

    def checkpoint(self) -> Mapping[str, Any]:
        """What the policy reads its weights from."""


class WriteGateTraining(ClosedLoopTraining):
    """A policy's classifier from rollouts; chosen by how well the policy tracks, not by its loss.

    Args:
        policy: see `TrainableWriteGate`.
        network: frozen; for the closed loop.
        validation: videos that are tracked in closed loop.
        motion: what they are tracked with.
        rate: highest learning rate, falling to 0 over the training.
        ignored: groups of features to leave out.
    """

    def __init__(
        self,
        policy: TrainableWriteGate,
        network: Network,
        validation: DataSet,
        motion: MotionModel | None = None,
        rate: float = 1e-3,
        decay: float = 1.0,
        ignored: Sequence[str] = (),
    ) -> None:
        super().__init__(
            TrackerParts(cast(MemoryPolicy, policy), motion or NoMotion()), network, validation, rate, decay
        )
        self.learned = policy
        policy.ignore(ignored)
        policy.classifier.requires_grad_(True)

    definitions: ClassVar[Mapping[str, str]] = {
        "J": VALIDATION_J,
        "loss": "cross-entropy of the classes of frames, on held-out rollouts",
        "accuracy": "share of frames whose class is the most probable one",
        "precision": "share of right masks among the frames that are taken for right",
    }

    @property
    def trainable(self) -> nn.Module:
        return self.learned.classifier

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.learned.classifier(batch.windows, batch.present)
        loss = F.cross_entropy(logits, batch.labels)
        right = batch.labels == RIGHT
        return loss, {
            "loss": loss.detach(),
            "accuracy": (logits.argmax(1) == batch.labels).float().mean(),
            "precision": right[logits.softmax(1)[:, RIGHT] > 0.5].float().mean(),
        }


class WriteGateRounds(Rounds[Rollout]):
    """Batches from ever more rollouts: in the first round the learner follows its rule, then what it has learned.

    Args:
        watched: policies and motion models whose rollouts are learned from, beside the learner's own.
        data: training videos.
        motion: of the learner.
        right: IoU from which a mask is right.
        cache: folder that keeps rollouts between runs.
        videos, held_out, workers: see `Rounds`.
    """

    def __init__(
        self,
        network: Network,
        watched: Mapping[str, TrackerParts],
        data: DataSet,
        motion: MotionModel | None = None,
        videos: int = 450,
        held_out: int = 30,
        right: float = 0.7,
        workers: int = 2,
        cache: str = "outputs/rollouts",
        seed: int = 0,
    ) -> None:
        super().__init__(videos, held_out, workers)
        self._network, self.watched, self.data, self.motion = (network,), watched, data, motion or NoMotion()
        self.right, self.cache, self.seed = right, Path(cache), seed

    @property
    def _policy(self) -> TrainableWriteGate:
        assert isinstance(self.training_module, WriteGateTraining)
        return self.training_module.learned

    def records(self, round: int, videos: range, folder: str | None) -> RolloutVideos:
        policy = self._policy if round else self._policy.initial_rule()
        watched = {**self.watched, "learner": TrackerParts(cast(MemoryPolicy, policy), self.motion)}
        return RolloutVideos(self._network[0], watched, self.data, videos, self.cache, folder)

    def batches(self, records: Sequence[Rollout], first: bool) -> Batches:
        batches = Batches(records, self.right, seed=self.seed, step=self.training_module.global_step)
        if first:
            centre, scale = batches.statistics()
            self._policy.classifier.centre.copy_(centre)
            self._policy.classifier.scale.copy_(scale)
        return batches

    def validation_batch(self, records: Sequence[Rollout]) -> Batch:
        held_out = Batches(records, self.right)
        return held_out.at(held_out.known)
