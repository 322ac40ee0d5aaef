"""Training of estimators of IoU: a motion model's that judges hypotheses, a policy's that gates what is remembered, or
both at once."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from framework.data.sequence import DataSet
from framework.errors import InputError
from framework.interfaces import MemoryPolicy, MotionModel, Network
from framework.learning.supervised.closed_loop import VALIDATION_J, gradient_norm, track
from framework.learning.supervised.examples import HypothesisExamples
from framework.learning.supervised.objectives import JudgeObjective, Objective, WriteGateObjective
from framework.learning.supervised.records import TrackerParts


@runtime_checkable
class Estimating(Protocol):
    """A policy or a motion model that decides by an estimate of IoU; a module."""

    estimator: Any
    """`framework.ops.features.estimator.IouEstimator`, or what takes its place."""

    def initial_rule(self) -> Any:
        """What decides in its place before it has learned."""

    def checkpoint(self) -> Mapping[str, Any]:
        """What it reads its weights from."""


@dataclass(frozen=True)
class LearnedParts:
    """Several parts that learn together, by the learner that would train each alone."""

    parts: Mapping[str, Estimating]

    def checkpoint(self) -> Mapping[str, Any]:
        """That of each by name; one alone has no name."""
        stored = {name: part.checkpoint() for name, part in self.parts.items()}
        return stored if len(stored) > 1 else next(iter(stored.values()))


class EstimatorTraining(pl.LightningModule):
    """Estimators of the parts that have an objective; chosen by how well a tracker does with them, not by a loss.

    Validation has two loaders (`framework.learning.supervised.rounds.TrackedRounds`): examples that are not trained on,
    and the closed loop, whose mean IoU `val/J` (0..1) a training is chosen by.

    Args:
        policy: memory of the closed loop.
        motion: motion model of the closed loop.
        network: frozen.
        validation: videos that are tracked in closed loop.
        judge: what the motion model learns; None leaves it as it is.
        write_gate: what the policy learns; None leaves it as it is.
        rate: highest learning rate, falling to 0 over the training.
        decay: of the weights.
        ignored: groups of features to leave out.

    Raises:
        InputError: nothing learns, a part that is to learn estimates nothing, or a rate or decay that nothing can be
            learned with.
    """

    def __init__(
        self,
        policy: MemoryPolicy,
        motion: MotionModel,
        network: Network,
        validation: DataSet,
        judge: JudgeObjective | None = None,
        write_gate: WriteGateObjective | None = None,
        rate: float = 1e-3,
        decay: float = 0.1,
        ignored: Sequence[str] = (),
    ) -> None:
        if not 0 < rate < math.inf or not 0 <= decay < math.inf:
            raise InputError(f"learning needs a rate above 0 and a decay of 0 or more, not {rate} and {decay}")
        super().__init__()
        self.parts = TrackerParts(policy, motion)
        self._trackers = {"": self.parts.on(network)}  # in a mapping: not part of this module
        self.validation, self.rate, self.decay = validation, rate, decay
        asked: Mapping[str, Objective | None] = {"judge": judge, "write_gate": write_gate}
        self.objectives = {name: objective for name, objective in asked.items() if objective is not None}
        if not self.objectives:
            raise InputError("nothing learns: give learner.module.judge, learner.module.write_gate or both")
        self.learned = LearnedParts({name: self._learning(name) for name in self.objectives})
        self.estimators = nn.ModuleDict({name: part.estimator for name, part in self.learned.parts.items()})
        for part in self.learned.parts.values():
            part.estimator.ignore(ignored)
        self.estimators.requires_grad_(True)

    def _learning(self, name: str) -> Estimating:
        part = self.parts.motion if name == "judge" else self.parts.policy
        if not isinstance(part, Estimating):
            raise InputError(f"{type(part).__name__} has no estimator: learner={name} trains a part that has one")
        return part

    @property
    def definitions(self) -> Mapping[str, str]:
        """Of what is logged."""
        several = len(self.objectives) > 1
        told = {
            f"{name}_{number}" if several else number: meaning
            for name, objective in self.objectives.items()
            for number, meaning in objective.definitions.items()
        }
        return {"J": VALIDATION_J, **told}

    def rollout(self, first: bool) -> TrackerParts:
        """What goes through videos to learn from: at first the rules that learning starts from, then what was learned
        so far."""
        if not first:
            learned = copy.deepcopy(self.parts)
            for part in (learned.policy, learned.motion):
                if isinstance(part, nn.Module):
                    part.eval()
            return learned
        rules = {name: part.initial_rule() for name, part in self.learned.parts.items()}
        return TrackerParts(rules.get("write_gate", self.parts.policy), rules.get("judge", self.parts.motion))

    def counted(self, examples: HypothesisExamples) -> HypothesisExamples:
        """Those from which anything is learned."""
        any_of = torch.stack([objective.counted(examples) for objective in self.objectives.values()]).any(0)
        return examples[any_of]

    def standardise(self, examples: HypothesisExamples) -> None:
        """Centres and scales the inputs of what learns."""
        for part in self.learned.parts.values():
            part.estimator.standardise(examples.rows)

    def losses(self, batch: HypothesisExamples) -> tuple[Tensor, dict[str, Tensor]]:
        total, numbers, several = torch.zeros(()), dict[str, Tensor](), len(self.objectives) > 1
        for name, objective in self.objectives.items():
            counted = batch[objective.counted(batch)]
            if not len(counted):
                continue  # a small batch may concern another part alone
            loss, found = objective.losses(self.estimators[name], counted)
            total = total + loss
            numbers |= {f"{name}_{number}" if several else number: value for number, value in found.items()}
        return total, numbers

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.estimators.parameters(), lr=self.rate, weight_decay=self.decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: HypothesisExamples, batch_idx: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):  # so that a resumed run drops the same units
            torch.manual_seed(torch.initial_seed() + self.global_step)
            loss, found = self.losses(batch)
        self.log_dict({f"train/{name}": value for name, value in found.items()}, batch_size=1)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.log("train/gradient", gradient_norm(self.estimators), batch_size=1)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if dataloader_idx == 0:
            _, found = self.losses(batch)
            self.log_dict({f"val/{n}": v for n, v in found.items()}, batch_size=1, add_dataloader_idx=False)
            return
        videos = (self.validation.sequence(index) for index in range(len(self.validation)))
        with torch.inference_mode():
            reached = [track(self._trackers, video)[""] for video in videos]
        self.log("val/J", float(np.mean(reached)), batch_size=1, add_dataloader_idx=False)
