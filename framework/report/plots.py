"""Figures of a comparison, as PNG bytes."""

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from framework.evaluation.comparison import Comparison
from framework.evaluation.records import RANGES
from framework.evaluation.tuned import Tuned

INK = "#444444"
COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"),
    *("#0000ff", "#ff22ff", "#334400", "#0044dd", "#ff0077", "#996600", "#77bb88", "#ff9977", "#770055", "#9911aa"),
)
"""matplotlib's ten, then ten more: each the furthest in CIELAB from those before it, neither pale nor near black."""
MARKERS = "osD^v"
"""A set of colours used again has the next one."""
LEGEND_ROWS = 10
"""Entries of a legend one below the other."""


def _style(index: int) -> dict[str, Any]:
    """Colour and marker of a variant, by its place in the comparison."""
    turn, place = divmod(index, len(COLOURS))
    return {"color": COLOURS[place], "marker": MARKERS[turn % len(MARKERS)]}


def _finish(figure: Figure) -> bytes:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()


def differences(comparison: Comparison, metric: str) -> bytes:
    """Per sequence, how much each variant differs from the first one; sequences sorted by the mean difference."""
    names = comparison.sequences
    baseline, *others = comparison.runs
    base = baseline.values(metric, names)
    gaps = [run.values(metric, names) - base for run in others]
    figure = Figure(figsize=(max(5.0, min(14.0, 0.35 * len(names) + 3)), 3.4))
    axes = figure.add_subplot()
    order = np.argsort(np.nan_to_num(np.mean(gaps, axis=0)), kind="stable") if gaps else np.arange(len(names))
    for index, (run, gap) in enumerate(zip(others, gaps, strict=True)):
        axes.plot(gap[order], ls="", ms=4, label=run.name, alpha=0.8, **_style(index + 1))
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_ylabel(f"{metric} - {baseline.name}")
    if len(names) <= 40:
        axes.set_xticks(range(len(names)), [names[index] for index in order], rotation=60, ha="right", fontsize=7)
    else:
        axes.set_xlabel("sequences, sorted by mean difference")
    if others:
        _name(axes)
    return _finish(figure)


def over_time(comparison: Comparison) -> bytes:
    """Mean IoU of each variant over the course of the videos."""
    figure = Figure(figsize=(6.0, 3.4))
    axes = figure.add_subplot()
    middle = (np.arange(RANGES) + 0.5) * 100 / RANGES
    for index, run in enumerate(comparison.runs):
        axes.plot(middle, course(comparison, index), ls="-", ms=3, label=run.name, **_style(index))
    axes.set_xlabel("part of the video, %")
    axes.set_ylabel("mean IoU")
    axes.set_ylim(0, 1)
    _name(axes)
    return _finish(figure)


def history(tuned: Tuned, label: str) -> bytes:
    """What every setting of a method was worth, in the order of asking, and the best one so far."""
    figure = Figure(figsize=(6.0, 3.4))
    axes = figure.add_subplot()
    whole = [(at, one.value) for at, one in enumerate(tuned.tried) if not one.pruned and one.failure is None]
    pruned = [(at, one.value) for at, one in enumerate(tuned.tried) if one.pruned]
    for points, label_, filling in ((whole, "all sequences", COLOURS[0]), (pruned, "given up", "none")):
        if points:
            axes.plot(*zip(*points, strict=True), "o", ms=4, color=COLOURS[0], mfc=filling, alpha=0.8, label=label_)
    if tuned.best and whole:
        better = np.maximum if tuned.best.value > tuned.own else np.minimum
        best = better.accumulate([value for _, value in whole])
        axes.step([at for at, _ in whole], best, where="post", color=COLOURS[1], lw=1.2, label="best so far")
    axes.axhline(tuned.own, color=INK, lw=0.8, ls="--", label="its own setting")
    axes.set_xlabel("setting")
    axes.set_ylabel(label)
    _name(axes)
    return _finish(figure)


def course(comparison: Comparison, run: int) -> list[float]:
    """Mean IoU of one variant in each tenth of the videos; NaN where no frame is scored."""
    table = np.array([comparison.runs[run].videos[name].ranges for name in comparison.sequences])
    known = ~np.isnan(table)
    counts = known.sum(axis=0)
    sums = np.where(known, table, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).tolist()


def _name(axes: Axes) -> None:
    """A legend above the axes, where names of any length hide no point."""
    columns = -(-len(axes.get_legend_handles_labels()[0]) // LEGEND_ROWS)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns)
