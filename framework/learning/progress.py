"""What a training shows: its steps, every validation, and no advice against what is meant."""

import logging
import math
import warnings
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

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


class StepProgress(pl.Callback):
    """Counts optimiser steps on the terminal and writes a line of numbers after every validation."""

    def __init__(self) -> None:
        self._console = Console()
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        shown = self._console.is_terminal and trainer.is_global_zero
        columns = (TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self._console, transient=True, disable=not shown)
        steps = trainer.estimated_stepping_batches
        total = steps if 0 < steps < math.inf else None
        self._task = self._progress.add_task("", total=total, completed=trainer.global_step)
        self._progress.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._progress:
            self._progress.update(self._task, completed=trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        if found and trainer.is_global_zero:
            numbers = "  ".join(f"{name} {value:.4f}" for name, value in sorted(found.items()))
            self._console.print(f"step {trainer.global_step}  {numbers}", markup=False, highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._progress:
            self._progress.stop()
