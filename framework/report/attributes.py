"""Accuracy by what makes a frame hard: one row per variant, one column per attribute of the data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.table import Table
from rich.text import Text

from framework.data.procedural.dataset import Attributes
from framework.data.procedural.levels import LEVELS
from framework.data.sequence import DataSet, VideoSequence
from framework.errors import InputError
from framework.evaluation.comparison import Comparison, Run
from framework.evaluation.means import MeanRun
from framework.metrics.statistics import Difference, paired_difference
from framework.report import terminal
from framework.report.table import csv_text, interval, number, without_nan

VISIBILITY = ("visible", "absent")
"""Whether an object is in a frame."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of one variant on the frames that have one attribute."""

    mean: float
    """Mean IoU on those frames, then over the videos that have any; NaN where none has."""
    difference: Difference | None
    """To the first variant, over the same videos; None for that variant."""


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """All variants on all attributes."""

    videos: Mapping[str, int]
    """Attribute -> videos that have a scored frame with it."""
    rows: Mapping[str, Mapping[str, Accuracy]]
    """Variant -> attribute -> accuracy."""

    def lines(self) -> list[list[str]]:
        """Header and rows as text: the mean, and the difference with its interval where there is one."""
        titles = ["variant", *(f"{_title(name)} ({count})" for name, count in self.videos.items())]
        return [titles, *([variant, *map(_text, row.values())] for variant, row in self.rows.items())]

    def markdown(self) -> str:
        """The table, and what its numbers are."""
        titles, *lines = self.lines()
        rule = f"|---|{'---:|' * (len(titles) - 1)}"
        return "\n".join([f"| {' | '.join(titles)} |", rule, *(f"| {' | '.join(line)} |" for line in lines), ""])

    def csv(self) -> str:
        """All numbers at full precision, one line per variant and attribute; empty where there is none."""
        return csv_text(*self.columns())

    def columns(self) -> tuple[list[str], list[list[Any]]]:
        """Names of all numbers, and these, one line per variant and attribute; None where there is none."""
        lines = []
        for variant, row in self.rows.items():
            for name, found in row.items():
                d = found.difference
                values = [found.mean, *((d.mean, d.low, d.high) if d else (math.nan,) * 3)]
                lines.append([variant, name, self.videos[name], *without_nan(values)])
        return ["variant", "attribute", "videos", "mean", "difference", "low", "high"], lines

    def rich_tables(self, width: int = 80) -> list[Table]:
        """Means for a terminal; bold where the difference is clear of zero."""
        if not self.videos:
            return []
        titles = ["J by attribute", *(f"{_title(name)} ({count})" for name, count in self.videos.items())]
        lines = [[Text(variant), *map(_marked, row.values())] for variant, row in self.rows.items()]
        return terminal.tables(titles, lines, width, together=3)


def check(wanted: Sequence[str], data: DataSet) -> None:
    """Raises InputError for an attribute that no frame of the data can have."""
    known = {*VISIBILITY, *LEVELS, *(field.name for field in fields(Attributes))}
    if not {*wanted} - known:
        return
    for video in map(data.sequence, range(len(data))):
        known |= {name for frame in range(video.length) for name in video.attributes(frame)}
    for name in wanted:
        if name not in known:
            raise InputError(f"attribute '{name}' is unknown: choose among {', '.join(sorted(known))}")


def by_attribute(
    comparison: Comparison, data: DataSet, wanted: Sequence[str] | None = None, seed: int = 0
) -> AttributeTable:
    """Accuracy on the frames on which each attribute holds, over the sequences that all variants finished.

    `wanted` names attributes; None takes all that occur. Attributes are asked of the data again, which draws or reads
    frames where that is how they are known. Of several objects, all count on a frame that has the attribute. Every data
    set has two more: `visible` and `absent`, which hold for each object by itself.
    """
    videos = {video.name: video for video in map(data.sequence, range(len(data)))}
    holding = [_holding(videos[name], comparison.runs[0], name) for name in comparison.sequences]
    occurring = sorted({name for frames in holding for names in frames.values() for name in names})
    names = [*occurring, *VISIBILITY] if wanted is None else list(wanted)
    values = [_values(run, comparison.sequences, holding, names) for run in comparison.runs]
    counts = {name: int((~np.isnan(column)).sum()) for name, column in zip(names, values[0].T, strict=True)}
    if wanted is None:
        counts = {name: count for name, count in counts.items() if count}
    rows: dict[str, dict[str, Accuracy]] = {}
    for index, (run, table) in enumerate(zip(comparison.runs, values, strict=True)):
        rows[run.name] = {}
        for name in counts:
            of, base = table[:, names.index(name)], values[0][:, names.index(name)]
            mean = float(of[~np.isnan(of)].mean()) if not np.isnan(of).all() else math.nan
            rows[run.name][name] = Accuracy(mean, paired_difference(of, base, seed=seed) if index else None)
    return AttributeTable(counts, rows)


def _holding(video: VideoSequence, run: Run, sequence: str) -> dict[int, frozenset[str]]:
    """Attributes of the scored frames."""
    scored = {
        frame
        for one in run.record(sequence).objects.values()
        for frame, iou in zip(one.frame, one.iou, strict=True)
        if iou is not None
    }
    return {frame: video.attributes(frame) for frame in sorted(scored)}


def _values(
    run: Run, sequences: Sequence[str], holding: Sequence[Mapping[int, frozenset[str]]], names: Sequence[str]
) -> Float[np.ndarray, "videos attributes"]:
    """Mean IoU of each video on the frames with each attribute; NaN where it has none."""
    if isinstance(run, MeanRun):
        return np.mean([_values(part, sequences, holding, names) for part in run.parts], axis=0)
    table = np.full((len(sequences), len(names)), np.nan)
    for line, (sequence, attributes) in enumerate(zip(sequences, holding, strict=True)):
        pairs = [
            (attributes[frame] | {VISIBILITY[not seen]}, iou)
            for one in run.record(sequence).objects.values()
            for frame, iou, seen in zip(one.frame, one.iou, one.visible, strict=True)
            if iou is not None
        ]
        for column, name in enumerate(names):
            held = [iou for those, iou in pairs if name in those]
            table[line, column] = np.mean(held) if held else np.nan
    return table


def _title(name: str) -> str:
    return name.replace("_", " ")


def _text(found: Accuracy) -> str:
    known = found.difference is not None and not math.isnan(found.difference.mean)
    return f"{number(found.mean)} {interval(found.difference)}" if known and found.difference else number(found.mean)


def _marked(found: Accuracy) -> Text:
    clear = found.difference is not None and found.difference.clear
    return Text(number(found.mean), style="bold" if clear else "")
