"""Training of a policy that decides what to trust and what to keep: supervised verdicts, counterfactual ranking."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from framework.data.sequence import DataSet
from framework.defaults import NoMotion
from framework.errors import InputError
from framework.interfaces import MemoryPolicy, MotionModel, Network
from framework.learning.supervised.batches import RIGHT, UNKNOWN, Batch, Batches
from framework.learning.supervised.cached import TrackerParts
from framework.learning.supervised.closed_loop import ClosedLoopTraining
from framework.learning.supervised.rollouts import OffersAlternatives, Rollout, RolloutVideos
from framework.learning.supervised.rounds import Rounds


@runtime_checkable
class TrainableWriteGate(OffersAlternatives, Protocol):
    """The policy that learns, a `MemoryPolicy` and a module."""

    scorer: Any
    """`judge(windows, present)` gives logits of `RIGHT`, `WRONG`, `ABSENT` [N 3], `rate(candidates)` what each is worth
    [D K]; `centre` and `scale` [inputs] standardise what they see."""

    def by_rule(self) -> "TrainableWriteGate":
        """The hand rule that learning starts from."""

    def ignore(self, groups: Sequence[str]) -> None:
        """Leaves groups of features out."""

    def checkpoint(self) -> Mapping[str, Any]:
        """What the policy reads its weights from."""


def ranking_loss(
    worth: Float[Tensor, "D K"], quality: Float[Tensor, "D K"], tie: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Bradley-Terry over pairs whose qualities differ by more than `tie`, weighted by the difference.

    Giving up the candidate of less worth should be the better decision. Also returns the weighted share of pairs that
    are in the right order (NaN without any).
    """
    gain = quality[:, :, None] - quality[:, None, :]
    telling = torch.where(gain > tie, gain, 0.0)
    ahead = worth[:, None, :] - worth[:, :, None]
    total = telling.sum()
    loss = (telling * F.softplus(-ahead)).sum() / total.clamp_min(1e-6)
    return loss, (telling * (ahead > 0)).sum() / total


class WriteGateTraining(ClosedLoopTraining):
    """Both heads of a policy's scorer from rollouts; chosen by how well the policy tracks, not by its losses.

    Args:
        policy: see `TrainableWriteGate`.
        network: frozen; for the closed loop.
        validation: videos that are tracked in closed loop.
        motion: what they are tracked with.
        rate: highest learning rate, falling to 0 over the training.
        ranking: weight of the second head's loss.
        tie: difference in quality up to which two alternatives are equally good.
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
        ranking: float = 0.1,
        tie: float = 0.02,
        ignored: Sequence[str] = (),
    ) -> None:
        super().__init__(
            TrackerParts(cast(MemoryPolicy, policy), motion or NoMotion()), network, validation, rate, decay
        )
        self.learned, self.ranking, self.tie = policy, ranking, tie
        policy.ignore(ignored)
        policy.scorer.requires_grad_(True)

    @property
    def trainable(self) -> nn.Module:
        return self.learned.scorer

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        verdict = self.learned.scorer.judge(batch.windows, batch.present)
        loss = F.cross_entropy(verdict, batch.verdicts)
        right = batch.verdicts == RIGHT
        found = {
            "verdict": loss.detach(),
            "accuracy": (verdict.argmax(1) == batch.verdicts).float().mean(),
            "trusted_right": right[verdict.softmax(1)[:, RIGHT] > 0.5].float().mean(),
        }
        if len(batch.quality):
            worth = self.learned.scorer.rate(batch.candidates)
            ranked, order = ranking_loss(worth, batch.quality, self.tie)
            found |= {"ranking": ranked.detach()} | ({} if order.isnan() else {"order": order})
            loss = loss + self.ranking * ranked
        return loss, found


class WriteGateRounds(Rounds[Rollout]):
    """Batches from ever more rollouts: in the first round the learner follows its rule, then what it has learned.

    Args:
        watched: what evidence is gathered with, beside the learner.
        data: training videos.
        motion: of the learner.
        decisions: most decisions tried otherwise per video.
        ahead: frames that each alternative is followed.
        horizon: of these, frames that are learned from.
        branch_every: n, if decisions are tried on every n-th video.
        right: IoU from which a mask is right.
        cache: folder that keeps rollouts between runs.
        videos, held_out, workers: see `Rounds`.

    Raises:
        InputError: a horizon beyond what is followed, or branches on no video.
    """

    def __init__(
        self,
        network: Network,
        watched: Mapping[str, TrackerParts],
        data: DataSet,
        motion: MotionModel | None = None,
        videos: int = 450,
        held_out: int = 30,
        decisions: int = 2,
        ahead: int = 64,
        horizon: int = 32,
        branch_every: int = 1,
        right: float = 0.7,
        workers: int = 2,
        cache: str = "outputs/rollouts",
        seed: int = 0,
    ) -> None:
        if not 1 <= horizon <= ahead or branch_every < 1:
            raise InputError(
                f"rollouts need 1 <= horizon <= ahead and branch_every >= 1, not {horizon}, {ahead}, {branch_every}"
            )
        super().__init__(videos, held_out, workers)
        self._network, self.watched, self.data, self.motion = (network,), watched, data, motion or NoMotion()
        self.branches, self.horizon = (decisions, ahead, branch_every), horizon
        self.right, self.cache, self.seed = right, Path(cache), seed

    @property
    def _policy(self) -> TrainableWriteGate:
        assert isinstance(self.training_module, WriteGateTraining)
        return self.training_module.learned

    def records(self, round: int, videos: range, folder: str | None) -> RolloutVideos:
        learner = TrackerParts(cast(MemoryPolicy, self._policy if round else self._policy.by_rule()), self.motion)
        return RolloutVideos(
            self._network[0], self.watched, learner, self.data, videos, *self.branches, self.cache, folder
        )

    def _batches(self, rollouts: Sequence[Rollout], step: int) -> Batches:
        inputs = self._policy.scorer.centre.numel()
        return Batches(rollouts, inputs, self.right, self.horizon, seed=self.seed, step=step)

    def batches(self, records: Sequence[Rollout], first: bool) -> Batches:
        batches = self._batches(records, self.training_module.global_step)
        if first:
            centre, scale = batches.statistics()
            self._policy.scorer.centre.copy_(centre)
            self._policy.scorer.scale.copy_(scale)
        return batches

    def validation_batch(self, records: Sequence[Rollout]) -> Batch:
        held_out = self._batches(records, 0)
        known = torch.nonzero(held_out.verdicts != UNKNOWN)[:, 0]
        count = 0 if held_out.quality is None else len(held_out.quality)
        return held_out.at(known, torch.arange(count))
