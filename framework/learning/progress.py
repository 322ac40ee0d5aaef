"""What a training shows: its steps, every validation, and no advice against what is meant."""

import logging
import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import pytorch_lightning as pl

from framework.report.progress import WorkProgress

MEANT = (
    r"Checkpoint directory .* exists and is not empty",  # it holds training.yaml, and the state that is resumed
    r"Found \d+ module\(s\) in eval mode",  # the frozen network
    r"The number of training batches .* is smaller than the logging interval",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own
)
"""Warnings that say nothing to whoever trains here."""


def without_advice() -> None:
    """Leaves Lightning its warnings, but for those on what is meant."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in MEANT:
        warnings.filterwarnings("ignore", message)


@runtime_checkable
class DefinesMetrics(Protocol):
    """A training that says what its numbers are."""

    definitions: ClassVar[Mapping[str, str]]
    """By name, without `val/` and what names the data."""


class StepProgress(pl.Callback):
    """Counts optimiser steps and writes a line of numbers after every validation, after the first what they are."""

    def __init__(self) -> None:
        self._progress: WorkProgress | None = None
        self._defined = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            steps = trainer.estimated_stepping_batches
            total = int(steps) if 0 < steps < math.inf else None
            self._progress = WorkProgress("steps", total, trainer.global_step)
            self._progress.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._progress:
            self._progress.update(trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        if found and self._progress:
            numbers = "  ".join(f"{name} {value:.4f}" for name, value in sorted(found.items()))
            self._progress.print(f"step {trainer.global_step}  {numbers}")
            if not self._defined and isinstance(pl_module, DefinesMetrics):
                shown = {name.rpartition("/")[2] for name in found}
                for name, what in pl_module.definitions.items():
                    if name in shown:
                        self._progress.print(f"  {name}: {what}")
            self._defined = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._progress:
            self._progress.__exit__(None, None, None)
