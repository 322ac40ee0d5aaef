"""The table of a comparison: for the terminal, as Markdown and as CSV."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.table import Table
from rich.text import Text

from framework.evaluation.best_of import BestRun
from framework.evaluation.comparison import Comparison, Run
from framework.evaluation.means import MeanRun
from framework.metrics.statistics import (
    TIE,
    Difference,
    GapClosed,
    crossed_difference,
    gap_closed,
    holm,
    paired_difference,
)
from framework.metrics.tracking import HIT, LOST, TrackingScores
from framework.report import terminal

METRICS = tuple(field.name for field in fields(TrackingScores))
COLUMNS = {
    "jaccard": "mean IoU of mask and truth over frames; a frame without the object counts 1 if nothing is predicted",
    "success": "area under the success curve: share of frames above an IoU, mean over the thresholds 0, 0.05 ... 1",
    "visible_accuracy": f"share of frames with the object on which IoU is above {HIT:g}",
    "absent_accuracy": "share of frames without the object on which nothing is predicted",
    "losses": f"how often the object is lost (it goes absent, or IoU falls to {LOST:g}), per 1,000 frames",
    "redetections": f"how often a lost object is found again (visible, IoU above {HIT:g}), per 1,000 frames",
    "early": "mean IoU over the first third of the frames",
    "late": "mean IoU over the last third of the frames",
    "read": "spatial memories read per tracked frame and object",
    "ms": "milliseconds per frame, its share of the time of all variants: what several ask for is divided among them",
    "alone_ms": "milliseconds per frame it would take by itself: encoding, its predictions, memories and decisions",
    "decision_ms": "milliseconds per frame in its memory policy, motion model and selector",
    "held_mib": "MiB of all tensors that its memory keeps after the last frame",
}
"""Columns that may follow the comparison, with what they are: the metrics, and costs as measured beside the others."""


@dataclass(frozen=True, slots=True)
class TableLayout:
    """What a table shows: a field of `TrackingScores`, further columns, and the row that gaps are measured by."""

    metric: str = "jaccard"
    columns: tuple[str, ...] = ("absent_accuracy", "ms")
    oracle: str | None = None


@dataclass(frozen=True, slots=True)
class TableRow:
    """One variant."""

    variant: str
    mean: float
    """Of the metric, over the sequences that all variants finished."""
    difference: Difference | None
    """To the first row; None in that row."""
    p: float
    """Corrected for the number of variants (Holm)."""
    scores: TrackingScores
    milliseconds: float
    """Its share of the lockstep's tracking time, per frame."""
    failed: int
    """Sequences without a result."""
    bound: bool
    """Sees the truth: not a method."""
    read: float
    """Spatial memories read per tracked frame."""
    sharing: tuple[int, int]
    """Fewest and most trackers that its time was shared by."""
    timed_alike: bool
    """Its time compares with that of the other rows."""
    runs: int = 1
    """That it is the mean of."""
    deviation: float = math.nan
    """Standard deviation of the metric over those runs; NaN for a single one."""
    alone: float = math.nan
    """Milliseconds per frame that it would take by itself; NaN, like what follows, where it was not measured."""
    decisions: float = math.nan
    """Milliseconds per frame in its plug-ins."""
    held: float = math.nan
    """MiB that its memory keeps."""
    gap: GapClosed | None = None
    """Share of the oracle's gain, where one is named whose gain over the first row is clear."""

    @property
    def title(self) -> str:
        """The variant as it is shown."""
        return f"{self.variant} (bound)" if self.bound else self.variant


def rows(comparison: Comparison, layout: TableLayout = TableLayout(), seed: int = 0) -> list[TableRow]:
    """One row per variant, in their order."""
    sequences, metric = comparison.sequences, layout.metric
    baseline = comparison.runs[0].values(metric, sequences)
    table = []
    for run in comparison.runs:
        difference = None if run is comparison.runs[0] else _difference(run, metric, sequences, baseline, seed)
        scores = run.mean(sequences)
        table.append(
            TableRow(
                variant=run.name,
                mean=getattr(scores, metric),
                difference=difference,
                p=math.nan if difference is None else difference.p,
                scores=scores,
                milliseconds=run.cost("milliseconds", sequences),
                failed=len(run.failures),
                bound=run.bound,
                read=run.read(sequences),
                alone=run.cost("alone", sequences),
                decisions=run.cost("decisions", sequences),
                held=run.cost("held", sequences),
                sharing=run.sharing(sequences),
                timed_alike=comparison.timed_alike,
                runs=len(run.parts) if isinstance(run, MeanRun) else 1,
                deviation=run.deviation(metric, sequences) if isinstance(run, MeanRun) else math.nan,
            )
        )
    corrected = holm([row.p for row in table])
    table = [replace(row, p=p) for row, p in zip(table, corrected, strict=True)]
    oracle = next((run for run in comparison.runs[1:] if run.name == layout.oracle), None)
    if oracle is None or not _gain(table, layout):
        return table
    bound = oracle.values(metric, sequences)
    gaps = [gap_closed(run.values(metric, sequences), baseline, bound, seed=seed) for run in comparison.runs]
    return [
        row if row.difference is None or row.variant == layout.oracle else replace(row, gap=gap)
        for row, gap in zip(table, gaps, strict=True)
    ]


def _difference(
    run: Run, metric: str, sequences: Sequence[str], baseline: Float[np.ndarray, " videos"], seed: int
) -> Difference:
    if isinstance(run, MeanRun):
        return crossed_difference(run.parts_values(metric, sequences), baseline, seed=seed)
    return paired_difference(run.values(metric, sequences), baseline, seed=seed)


def _gain(table: Sequence[TableRow], layout: TableLayout) -> bool:
    """Whether the oracle is better than the baseline clearly enough to measure others by it."""
    found = next((row.difference for row in table if row.variant == layout.oracle), None)
    return found is not None and found.low > 0


VIDEO_COLUMNS = ("data", "metric", "variant", "bound", "video", "value")
"""Of the scores video by video."""

COMPARED, SCORE, P = 2, 3, 4
"""Columns of the difference, of wins and losses, and of the p-value."""


def header(baseline: str, layout: TableLayout) -> list[str]:
    """Column titles."""
    gap = ["gap closed [95 %]"] if layout.oracle else []
    compared = [f"minus {baseline} [95 %]", "win/tie/loss", "p (Holm)"]
    return ["variant", layout.metric, *compared, *gap, *layout.columns]


def meanings(baseline: str, layout: TableLayout) -> dict[str, str]:
    """Column title -> what its numbers are."""
    compared = {
        f"minus {baseline} [95 %]": f"mean difference from {baseline} over sequences, and its bootstrap interval",
        "win/tie/loss": f"sequences on which it is better, equal (within {TIE:g}) and worse than {baseline}",
        "p (Holm)": "sign-flip test over sequences, corrected for the number of variants",
        "gap closed [95 %]": f"difference from {baseline} as a share of that of {layout.oracle}",
    }
    return {**{name: compared.get(name, "") for name in header(baseline, layout)[1:]}, **COLUMNS}


def cells(row: TableRow, layout: TableLayout) -> list[str]:
    """One line of the table as text."""
    if row.difference is None:
        compared = ["", "", ""]
    else:
        d = row.difference
        compared = [interval(d), f"{d.wins}/{d.ties}/{d.losses}", f"{row.p:.3f}"]
    if layout.oracle and row.gap is not None:
        compared.append(f"{row.gap.mean:.0%} [{row.gap.low:.0%}, {row.gap.high:.0%}]")
    elif layout.oracle:
        compared.append("" if row.difference is None or row.variant == layout.oracle else "-")
    mean = number(row.mean) if math.isnan(row.deviation) else f"{number(row.mean)} ± {number(row.deviation)}"
    return [row.title, mean, *compared, *(_column(row, name) for name in layout.columns)]


def _column(row: TableRow, name: str) -> str:
    if name == "ms":
        return f"{row.milliseconds:.1f}" if row.timed_alike else f"{row.milliseconds:.1f} ({shared_by(row)})"
    costs = {"read": row.read, "alone_ms": row.alone, "decision_ms": row.decisions, "held_mib": row.held}
    return number(costs[name] if name in costs else getattr(row.scores, name))


def shared_by(row: TableRow) -> str:
    """How many trackers shared the time of a row: `5`, or `1-5` where that differs between sequences."""
    fewest, most = row.sharing
    return f"{most}" if fewest == most else f"{fewest}-{most}"


def interval(difference: Difference) -> str:
    """Mean and confidence interval: three digits, or as many more as show that the interval leaves zero out."""
    digits, nearest = 3, min(abs(difference.low), abs(difference.high))
    while difference.clear and round(nearest, digits) == 0:
        digits += 1
    mean, low, high = (signed(value, digits) for value in (difference.mean, difference.low, difference.high))
    return f"{mean} [{low}, {high}]"


def signed(value: float, digits: int = 3) -> str:
    """So many digits with a sign; what rounds to zero is +0.000."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def number(value: float) -> str:
    """Three digits, or a dash where there is no value."""
    return "-" if math.isnan(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def caption(comparison: Comparison, table: Sequence[TableRow] = (), layout: TableLayout = TableLayout()) -> list[str]:
    """What the numbers rest on, a few lines."""
    work, frames, runs = comparison.work, comparison.frames, comparison.runs
    videos = len(comparison.sequences)
    merged = 1 - work.rows_computed / max(work.rows_asked, 1)
    resampled = "; [95 %]: bootstrap over sequences, bold where it leaves out zero" if len(runs) > 1 else ""
    lines = [
        f"{videos} sequence{'s' * (videos != 1)} of {comparison.data}{resampled}",
        f"{work.encodings:,} encodings for {frames:,} frames; {work.rows_asked:,} predictions (one per object, frame "
        f"and variant), {work.rows_computed:,} of them computed, as {merged:.0%} read the same memories as another",
        *(f"{name}: {COLUMNS[name]}" for name in dict.fromkeys((layout.metric, *layout.columns))),
        *(_about_gap(row, table, layout) for row in table if row.variant == layout.oracle),
    ]
    lines += [
        f"{run.name}: on every sequence the best of {run.parts} runs, chosen by score, luck included (optimistic)"
        for run in runs
        if isinstance(run, BestRun)
    ]
    means = [run for run in runs if isinstance(run, MeanRun)]
    lines += [f"{run.name}: mean ± standard deviation of {len(run.parts)} runs" for run in means]
    if means:
        lines.append("[95 %] of a mean of runs: runs and sequences are resampled; p is over sequences, of that mean")
    if means and layout.oracle:
        lines.append("gap closed of a mean of runs: its interval resamples sequences alone")
    if not comparison.timed_alike and "ms" in layout.columns:
        lines.append("ms (n): a share of the time of n trackers side by side; only times of one group compare")
    if any(run.bound for run in runs):
        lines.append("bound: sees the truth, so it is not a method")
    lines += [f"{name} failed on every sequence: {reason}" for name, reason in comparison.lost.items()]
    if comparison.failures:
        some = "; ".join(f"{name}: {reason}" for name, reason in list(comparison.failures.items())[:3])
        lines.append(f"{len(comparison.failures)} failed and left out: {some}")
    return lines


def _about_gap(oracle: TableRow, table: Sequence[TableRow], layout: TableLayout) -> str:
    assert oracle.difference is not None
    gain = f"{oracle.variant} - {table[0].variant}, {interval(oracle.difference)}"
    if not _gain(table, layout):
        return f"gap closed: - as the gap itself ({gain}) is not above zero"
    return f"gap closed: (variant - {table[0].variant}) / ({gain})"


def rich_tables(table: Sequence[TableRow], layout: TableLayout = TableLayout(), width: int = 80) -> list[Table]:
    """Without p, so that the default layout fits into 80 columns; differences clear of zero are bold."""
    titles = header("first", layout)
    alone = len(table) == 1
    kept = [index for index in range(len(titles)) if index != P and not (alone and index in (COMPARED, SCORE))]
    lines = []
    for row in table:
        bold = "bold" if row.difference is not None and row.difference.clear else ""
        line = [Text(text, style=bold if index == COMPARED else "") for index, text in enumerate(cells(row, layout))]
        lines.append([line[index] for index in kept])
    return terminal.tables([titles[index] for index in kept], lines, width, together=1 if alone else 3)


def markdown(comparison: Comparison, table: Sequence[TableRow], layout: TableLayout = TableLayout()) -> str:
    """The same table as Markdown, and what its numbers rest on."""
    return "\n".join([*markdown_lines(table[0].variant, table, layout), "", *caption(comparison, table, layout), ""])


def markdown_lines(baseline: str, table: Sequence[TableRow], layout: TableLayout = TableLayout()) -> list[str]:
    """The table alone; clear differences are bold."""
    titles = header(baseline, layout)
    lines = [f"| {' | '.join(titles)} |", f"|---|{'---:|' * (len(titles) - 1)}"]
    for row in table:
        line = cells(row, layout)
        if row.difference is not None and row.difference.clear:
            line[2] = f"**{line[2]}**"
        lines.append(f"| {' | '.join(line)} |")
    return lines


def csv_text(titles: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Numbers at full precision; empty where there is none."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(["" if value is None else value for value in line] for line in lines)
    return file.getvalue()


def without_nan(values: Iterable[Any]) -> list[Any]:
    """None in place of NaN."""
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def csv_table(table: Sequence[TableRow]) -> str:
    """All numbers at full precision, one line per variant; empty where there is none."""
    return csv_text(*columns(table))


def columns(table: Sequence[TableRow]) -> tuple[list[str], list[list[Any]]]:
    """Names of all numbers, and these, one line per variant; None where there is none."""
    compared = ["difference", "low", "high", "wins", "ties", "losses_to_baseline", "p", "p_holm"]
    closed = ["gap_closed", "gap_low", "gap_high"]
    costs = ["ms_per_frame", "alone_ms", "decision_ms", "held_mib"]
    last = ["runs", "deviation", "time_shared_by"]
    titles = ["variant", *METRICS, *compared, *costs, "failed", "bound", "read", *closed, *last]
    lines = []
    for row in table:
        d = row.difference
        numbers = [d.mean, d.low, d.high, d.wins, d.ties, d.losses, d.p, row.p] if d else [None] * len(compared)
        g = row.gap
        gap = [g.mean, g.low, g.high] if g else [None] * len(closed)
        scores = [getattr(row.scores, name) for name in METRICS]
        spent = [row.milliseconds, row.alone, row.decisions, row.held]
        values = [row.variant, *scores, *numbers, *spent, row.failed, row.bound, row.read, *gap]
        values += [row.runs, row.deviation, shared_by(row)]
        lines.append(without_nan(values))
    return titles, lines


def csv_videos(comparison: Comparison, metric: str) -> str:
    """One score of every variant on every video that all of them finished: what `framework.report.ranks` reads."""
    videos, lines = comparison.sequences, list[list[Any]]()
    for run in comparison.runs:
        values = without_nan(run.values(metric, videos).tolist())
        about = [comparison.data, metric, run.name, run.bound]
        lines += [[*about, video, value] for video, value in zip(videos, values, strict=True)]
    return csv_text(VIDEO_COLUMNS, lines)
