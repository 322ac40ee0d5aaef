"""Where variants lost their objects, and what memory was read then: one line per loss."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from framework.evaluation.comparison import Comparison
from framework.evaluation.records import ObjectRecord
from framework.metrics.tracking import losses
from framework.report.table import csv_text
from framework.types import ANCHOR, MemoryUse


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss (`framework.metrics.tracking.losses`) of one object by one variant; the columns of losses.csv."""

    variant: str
    sequence: str
    object: int
    lost_at: int
    cause: str
    found_at: int | None
    missed: int
    iou: float
    predicted_iou: float
    presence: float
    read: str
    pointers: str
    held: int


MEANINGS = {
    "lost_at": "first frame on which it was lost; the columns from iou on are of this frame",
    "cause": "absent: the object left or was hidden; missed: it was in view",
    "found_at": "frame on which it was found again; empty where it never was",
    "missed": "scored frames in between with the object in view",
    "iou": "with the truth",
    "predicted_iou": "the network's own estimate, 0 to 1",
    "presence": "object-score logit; above 0 the object is taken to be there",
    "read": "spatial memories in the order of attention, frame@slot; 0 is the newest",
    "pointers": "object pointers in the order of attention, frame@frames ago",
    "held": "memories held after the frame",
}
"""What the columns say."""
TITLES = tuple(field.name for field in fields(Loss))


def find(comparison: Comparison) -> list[Loss]:
    """Of all variants on the sequences that all finished; those that missed the object for longest come first.

    A row that is the mean of several runs has no results of its own and is left out.
    """
    found = [
        Loss(run.name, sequence, key, *values)
        for run in comparison.runs
        if run.tracked
        for sequence in comparison.sequences
        for key, one in run.record(sequence).objects.items()
        for values in _of(one)
    ]
    return sorted(found, key=lambda loss: -loss.missed)


def _of(one: ObjectRecord) -> Iterator[tuple[Any, ...]]:
    scored = [position for position, iou in enumerate(one.iou) if iou is not None]
    for lost, again in losses(*one.scored()):
        at, use = scored[lost], one.memory[scored[lost]]
        yield (
            one.frame[at],
            "missed" if one.visible[at] else "absent",
            None if again is None else one.frame[scored[again]],
            sum(bool(one.visible[position]) for position in scored[lost:again]),
            one.iou[at],
            one.predicted_iou[at],
            one.presence[at],
            *as_text(use),
            len(use.held),
        )


def as_text(use: MemoryUse) -> tuple[str, str]:
    """Spatial memories and pointers that were read: `0@anchor 41@1 42@0`, `0@42 41@1`."""
    spatial = (f"{frame}@{'anchor' if slot == ANCHOR else slot}" for frame, slot in use.spatial)
    return " ".join(spatial), " ".join(f"{frame}@{ago}" for frame, ago in use.pointers)


def csv_table(found: Sequence[Loss]) -> str:
    """All of them."""
    return csv_text(TITLES, map(astuple, found))


def lines(found: Sequence[Loss], count: int = 20) -> list[list[str]]:
    """Header and the first ones as text, without pointers."""
    shown = [name for name in TITLES if name != "pointers"]
    return [shown, *([_text(getattr(loss, name)) for name in shown] for loss in found[:count])]


def _text(value: object) -> str:
    return "-" if value is None or value == "" else f"{value:.2f}" if isinstance(value, float) else f"{value}"
