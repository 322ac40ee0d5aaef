"""Whether a training may learn anything at all, before it begins."""

import pytorch_lightning as pl

from framework.errors import InputError

LIMITS = ("max_epochs", "max_steps", "limit_train_batches")


def check_limits(trainer: pl.Trainer) -> None:
    """Raises InputError for a trainer that would end before its first step: its weights would be untrained ones."""
    for name in LIMITS:
        if getattr(trainer, name) == 0:
            raise InputError(f"trainer.{name}=0 trains nothing: give 1 or more")


def check_trained(trainer: pl.Trainer) -> None:
    """Raises InputError for a training that has ended without a step, whatever ended it; no weights are to be kept."""
    if trainer.global_step == 0:
        raise InputError("the training ended before its first step and wrote no weights: give it more time or data")
