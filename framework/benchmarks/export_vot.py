"""The results folder of the VOT toolkit: `<name>/<experiment>/<sequence>/<result>.{txt,bin}` and values per frame.

Put it into the `results` folder of a workspace.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from framework.benchmarks.export import ExportInput, Format
from framework.benchmarks.predictions import regions
from framework.data.readers.vot import VotSequence
from framework.metrics.regions import encode_trajectory, write_text


@dataclass(frozen=True, slots=True)
class VotFiles:
    """Args:
    kind: regions to write.
    binary: .bin where every mask fits (65,535 run lengths at most), else .txt.
    experiment: name of the stack's experiment.
    """

    kind: Literal["mask", "rectangle"] = "mask"
    binary: bool = False
    experiment: str = "baseline"

    def __call__(self, item: ExportInput) -> Iterator[tuple[str, bytes]]:
        video, record = item.video, item.record
        seconds = record.own_seconds() / record.length
        for key, columns in record.objects.items():
            if isinstance(video, VotSequence):
                folder, name = video.video, video.result_name(key)
            else:
                folder = record.sequence
                name = f"{folder}_001" if len(record.objects) == 1 else f"{folder}_{key}_001"
            stem = f"{self.experiment}/{folder}/{name}"
            trajectory = regions(record, key, self.kind)
            suffix, content = (
                encode_trajectory(trajectory) if self.binary else (".txt", write_text(trajectory).encode())
            )
            yield stem + suffix, content
            confidence = [0.0] * columns.frame[0] + [
                iou if box is not None else 0.0 for iou, box in zip(columns.predicted_iou, columns.box, strict=True)
            ]
            yield f"{stem}_time.value", values([seconds] * record.length)
            yield f"{stem}_confidence.value", values(confidence)


def values(numbers: list[float]) -> bytes:
    """One number per line."""
    return "".join(f"{np.format_float_positional(n, precision=6, trim='-')}\n" for n in numbers).encode()


VOT = Format(VotFiles())
VOT_BINARY = Format(VotFiles(binary=True))
DIDI = Format(VotFiles(kind="rectangle"))
