"""What tracking one sequence leaves behind, as columns, and as the JSON that is written."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from framework.metrics.tracking import TrackingScores, mean_scores, score
from framework.storage.hypotheses import Hypothesis
from framework.storage.mask_rle import decode_mask
from framework.types import Box, MemoryUse, Size, Work

FORMAT = 1
RANGES = 10  # parts of a video over which accuracy is followed


Hypotheses = Mapping[int, Mapping[int, tuple[Hypothesis, ...]]]
"""Object id -> frame -> what the network proposed."""


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object of one video: columns with one value per frame from its prompt on."""

    prompted: list[int]
    """Frames on which it was prompted."""
    frame: list[int]
    box: list[Box | None]
    """Around the mask, edges as the protocol says; None where the mask is empty."""
    mask: list[str]
    """COCO run-length counts."""
    predicted_iou: list[float]
    presence: list[float]
    motion: list[float | None]
    area: list[int]
    choice: list[int]
    iou: list[float | None]
    """With the true mask, or of boxes where the truth is boxes; 1 where both are empty; None on frames not scored."""
    visible: list[bool | None]
    """Whether the object is there; None on frames not scored."""
    memory: list[MemoryUse]

    def scored(self) -> tuple[np.ndarray, np.ndarray]:
        """IoU and visibility on the scored frames."""
        pairs = [(q, v) for q, v in zip(self.iou, self.visible, strict=True) if q is not None]
        return np.array([q for q, _ in pairs], dtype=np.float64), np.array([v for _, v in pairs], dtype=bool)

    def mask_at(self, frame: int, size: Size) -> Bool[np.ndarray, "H W"]:
        """Mask on a frame; empty before the object's prompt."""
        if frame not in self.frame:
            return np.zeros(size, dtype=bool)
        return decode_mask(self.mask[self.frame.index(frame)], size)


@dataclass(frozen=True, slots=True)
class SequenceCost:
    """What one tracker of a lockstep cost on one video, as measured there."""

    alone: float
    """Seconds that it would have taken by itself: encoding, its own predictions and memories, its decisions."""
    share: float
    """Seconds of the lockstep that are its part: what several asked for is divided among them. Shares add up to
    `SequenceRecord.seconds`."""
    decisions: float
    """Seconds in its memory policy, motion model and selector."""
    held: int
    """Bytes of all tensors that its state keeps after the last frame."""


@dataclass(frozen=True, slots=True)
class SequenceRecord:
    """One tracker on one video."""

    run: str
    """Run hash."""
    sequence: str
    length: int
    size: Size
    objects: Mapping[int, ObjectRecord]
    seconds: float
    """Tracking time of the whole lockstep, reading frames and scoring left out."""
    lockstep: str
    """Names the lockstep this came from; trackers that shared it have the same name."""
    sharing: int
    """Trackers in that lockstep."""
    work: Work
    """Of the whole lockstep."""
    hypotheses: Hypotheses | None = None
    """What the network proposed, where that was asked for; written to a file of its own."""
    cost: SequenceCost | None = None
    """None in results that were made before it was measured."""

    def scores(self) -> TrackingScores | None:
        """Mean over objects with a scored frame; None when there is none."""
        arrays = [record.scored() for record in self.objects.values()]
        scored = [score(iou, visible) for iou, visible in arrays if len(iou)]
        return mean_scores(scored) if scored else None

    def own_seconds(self) -> float:
        """Tracking time that is this tracker's part of the lockstep; an equal part where none was measured."""
        return self.seconds / self.sharing if self.cost is None else self.cost.share

    def read(self) -> float:
        """Spatial memories read per tracked frame and object; NaN where nothing was tracked."""
        counts = [
            len(use.spatial)
            for record in self.objects.values()
            for frame, use in zip(record.frame, record.memory, strict=True)
            if frame not in record.prompted
        ]
        return float(np.mean(counts)) if counts else float("nan")

    def ranges(self) -> list[float]:
        """Mean IoU over scored frames in each tenth of the video; NaN where there is none."""
        parts: list[list[float]] = [[] for _ in range(RANGES)]
        for record in self.objects.values():
            for frame, iou in zip(record.frame, record.iou, strict=True):
                if iou is not None:
                    parts[min(frame * RANGES // self.length, RANGES - 1)].append(iou)
        return [float(np.mean(part)) if part else float("nan") for part in parts]


def to_json(record: SequenceRecord) -> dict[str, Any]:
    """The record as it is written, without hypotheses."""
    plain = dataclasses.asdict(dataclasses.replace(record, hypotheses=None))
    del plain["hypotheses"]
    return {"format": FORMAT, **plain}


ONE_VALUE: Mapping[str, tuple[type, ...]] = {
    "frame": (int,),
    "mask": (str,),
    "predicted_iou": (int, float),
    "presence": (int, float),
    "motion": (int, float, type(None)),
    "area": (int,),
    "choice": (int,),
    "iou": (int, float, type(None)),
    "visible": (bool, type(None)),
}
"""Of columns whose values are plain."""


def from_json(plain: Mapping[str, Any]) -> SequenceRecord:
    """Inverse of `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
    values = dict(plain)
    if values.pop("format") != FORMAT:
        raise ValueError("another format")
    objects = {}
    for key, columns in values["objects"].items():
        _check_columns(columns)
        boxes = [None if box is None else tuple(box) for box in columns["box"]]
        memory = [MemoryUse.of(use) for use in columns["memory"]]
        objects[int(key)] = ObjectRecord(**{**columns, "box": boxes, "memory": memory})
    height, width = values["size"]
    cost = None if values.get("cost") is None else SequenceCost(**values["cost"])
    read = {"size": (height, width), "objects": objects, "work": Work(**values["work"]), "cost": cost}
    return SequenceRecord(**{**values, **read})


def _check_columns(columns: Mapping[str, Any]) -> None:
    for name, column in columns.items():
        if name != "prompted" and len(column) != len(columns["frame"]):
            raise ValueError(f"{name} is of another length")
        kinds = {*map(type, column)}
        if not kinds <= {*ONE_VALUE.get(name, kinds)}:
            raise TypeError(f"{name} holds {kinds}")
    if any(box is not None and len(box) != 4 for box in columns["box"]):
        raise ValueError("a box has four edges")
