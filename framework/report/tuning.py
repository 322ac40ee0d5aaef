"""What tuning came to: settings, what they are worth on the videos they were chosen by and on others, and the cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from framework.data.sequence import DataSet
from framework.evaluation.comparison import Comparison
from framework.evaluation.tuned import Effort, Setting, Tuned, plain, written
from framework.metrics.statistics import Difference, paired_difference
from framework.report import plots, terminal
from framework.report.table import csv_text, interval, number, without_nan

TITLES = ("method", "val", "val tuned", "test", "test tuned", "test gain [95 %]", "settings", "given up", "failed")
IMPORTANCES = ("method", "option", "range", "own", "tuned", "importance")
OWN = "(its own setting)"


@dataclass(frozen=True)
class TuningRow:
    """One method."""

    tuned: Tuned
    test_own: float
    """Mean of the metric over the test videos, with its own setting."""
    test_tuned: float
    difference: Difference | None
    """On the test videos, tuned minus own; None where its own setting is the best one."""

    @property
    def setting(self) -> str:
        """The chosen values."""
        return written(self.tuned.best.setting) if self.tuned.best else OWN

    @property
    def counts(self) -> tuple[int, int, int]:
        """Settings that were tried, those of them that were given up, and those that failed."""
        tried = self.tuned.tried
        return len(tried), sum(one.pruned for one in tried), sum(one.failure is not None for one in tried)

    def cells(self) -> list[str]:
        """One line of the table."""
        tuned = self.tuned
        return [
            f"{tuned.name} {self.setting}",
            number(tuned.own),
            number(tuned.best.value if tuned.best else tuned.own),
            number(self.test_own),
            number(self.test_tuned),
            interval(self.difference) if self.difference else "-",
            *map(str, self.counts),
        ]


@dataclass(frozen=True)
class TuningTable:
    """All methods that were tuned in one run."""

    rows: tuple[TuningRow, ...]
    metric: str
    validation: str
    """Name of the data that settings were chosen by."""
    videos: int
    test: str
    test_videos: int

    @classmethod
    def of(
        cls, tuned: Sequence[Tuned], validation: DataSet, comparison: Comparison, metric: str, seed: int
    ) -> "TuningTable":
        """Of methods that were tuned on validation videos, and the comparison of all settings on test videos."""
        sequences = comparison.sequences
        runs = {run.name: run for run in comparison.runs}
        rows = []
        for one in tuned:
            pair = [runs.get(name) for name in (one.name, one.chosen)]
            own, best = (math.nan if run is None else getattr(run.mean(sequences), metric) for run in pair)
            values = [run.values(metric, sequences) for run in pair if run is not None]
            difference = paired_difference(values[1], values[0], seed=seed) if one.best and len(values) == 2 else None
            rows.append(TuningRow(one, own, best, difference))
        return cls(tuple(rows), metric, validation.name, len(validation), comparison.data, len(sequences))

    @property
    def effort(self) -> Effort:
        """Of all settings of all methods."""
        return sum((row.tuned.effort for row in self.rows), Effort())

    def caption(self) -> list[str]:
        """What the numbers rest on, and what they cost."""
        effort, tried = self.effort, sum(len(row.tuned.tried) for row in self.rows)
        alone = "" if math.isnan(effort.alone) else f"; one by one they would have taken {effort.alone:,.0f}"
        whole = tried * self.videos
        spared = f" of {whole:,}" if effort.videos < whole else ""
        return [
            f"{self.metric}; settings were chosen by {self.videos} sequences of {self.validation} (val), then measured "
            f"on {self.test_videos} of {self.test} (test), which share none; [95 %]: bootstrap over sequences",
            "gain: over the setting that the method has by itself; val tuned is the best of many by the same videos",
            f"cost: {tried} settings, {effort.videos:,}{spared} videos, {effort.frames:,} frames, "
            f"{effort.seconds:,.0f} seconds of tracking in locksteps{alone}",
        ]

    def rich_tables(self, width: int) -> list[Table]:
        """For a terminal; differences clear of zero are bold."""
        lines = []
        for row in self.rows:
            clear = row.difference is not None and row.difference.clear
            texts = enumerate(row.cells())
            lines.append([Text(text, style="bold" if clear and at == 5 else "") for at, text in texts])
        return terminal.tables(TITLES, lines, width, together=5)

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Titles, and a line per method."""
        return TITLES, [row.cells() for row in self.rows]

    @property
    def about_importance(self) -> str:
        """What it is."""
        return ABOUT_IMPORTANCE

    def importances(self) -> tuple[Sequence[str], list[list[str]]]:
        """Titles, and a line per option: its range, its own and its best value, and how much it decides."""
        lines = []
        for row in self.rows:
            best: Setting = row.tuned.best.setting if row.tuned.best else {}
            for key, searched in row.tuned.ranges.items():
                values = [plain(found[key]) if key in found else "-" for found in (row.tuned.own_setting, best)]
                share = number(row.tuned.importances.get(key, math.nan))
                lines.append([row.tuned.name, key, searched, *values, share])
        return IMPORTANCES, lines

    def markdown(self) -> str:
        """Both tables."""
        lines = [*_markdown(*self.table()), "", *self.caption(), "", *_markdown(*self.importances()), ""]
        return "\n".join([*lines, ABOUT_IMPORTANCE, ""])

    def csv(self) -> str:
        """One line per method, numbers at full precision; empty where there is none."""
        titles = ["method", "setting", "validation_own", "validation_tuned", "test_own", "test_tuned"]
        titles += ["difference", "low", "high", "wins", "ties", "losses", "p", "settings", "given_up", "failed"]
        titles += ["videos", "frames", "seconds", "alone_seconds", "study"]
        lines: list[list[Any]] = []
        for row in self.rows:
            t, d, e = row.tuned, row.difference, row.tuned.effort
            line = [t.name, row.setting, t.own, t.best.value if t.best else t.own, row.test_own, row.test_tuned]
            line += [d.mean, d.low, d.high, d.wins, d.ties, d.losses, d.p] if d else [None] * 7
            lines.append(without_nan([*line, *row.counts, e.videos, e.frames, e.seconds, e.alone, t.study]))
        return csv_text(titles, lines)

    def csv_settings(self) -> str:
        """One line per setting that was tried, in the order of asking."""
        titles = ["method", "number", "setting", "value", "given_up", "failure", "videos", "seconds", "alone_seconds"]
        lines = [
            [
                *(row.tuned.name, one.number, written(one.setting), one.value, one.pruned, one.failure),
                *(one.effort.videos, one.effort.seconds, one.effort.alone),
            ]
            for row in self.rows
            for one in row.tuned.tried
        ]
        return csv_text(titles, map(without_nan, lines))

    def figures(self) -> dict[str, bytes]:
        """Title -> PNG."""
        return {
            f"Settings tried: {row.tuned.name}": plots.history(row.tuned, f"{self.metric}, validation")
            for row in self.rows
        }


ABOUT_IMPORTANCE = (
    "importance: how far apart good settings and all settings lie in an option, its share of all options (PED-ANOVA "
    "over the settings that went through all sequences); - where there are too few"
)


def _markdown(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rows = [titles, ["---", *["---:"] * (len(titles) - 1)], *lines]
    return [f"| {' | '.join(row)} |" for row in rows]
