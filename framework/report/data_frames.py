"""Results as pandas frames, for notebooks and statistics of your own: by variant, by sequence, by frame."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from framework.config.extras import how_to_install
from framework.errors import InputError
from framework.evaluation.comparison import Comparison
from framework.evaluation.records import ObjectRecord
from framework.report import table
from framework.report.table import METRICS, TableLayout

if TYPE_CHECKING:
    from pandas import DataFrame

COSTS = {"ms_per_frame": "milliseconds", "alone_ms": "alone", "decision_ms": "decisions", "held_mib": "held"}
"""Column -> field of `VideoScores`."""
BY_SEQUENCE = ("variant", "bound", "sequence", *METRICS, *COSTS, "read", "failure")
BY_FRAME: Mapping[str, str] = {
    **dict.fromkeys(("variant", "sequence"), "str"),
    **dict.fromkeys(("object", "frame"), "int64"),
    "prompted": "bool",
    "iou": "float64",
    "visible": "boolean",
    **dict.fromkeys(("predicted_iou", "presence", "motion"), "float64"),
    **dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), "float64"),
    **dict.fromkeys(("read", "pointers", "held"), "int64"),
}
"""Column -> type."""


def by_variant(comparison: Comparison, metric: str = "jaccard", seed: int = 0) -> "DataFrame":
    """One row per variant, the baseline first: what a report's `table.csv` has.

    All mean scores; the difference of `metric` from the baseline with its bootstrap interval over sequences (`low`,
    `high`), wins, ties and losses, and p-values. `seed` is the bootstrap's.

    Raises InputError for an unknown metric, and without pandas.
    """
    if metric not in METRICS:
        raise InputError(f"metric '{metric}' is unknown: choose one of {', '.join(METRICS)}")
    titles, lines = table.columns(table.rows(comparison, TableLayout(metric), seed))
    return _frame(titles, lines)


def by_sequence(comparison: Comparison) -> "DataFrame":
    """One row per variant and sequence: every score, and why it failed where it has none.

    Raises InputError without pandas.
    """
    lines: list[list[Any]] = []
    for run in comparison.runs:
        for name, video in run.videos.items():
            scores = [getattr(video.scores, metric) for metric in METRICS]
            costs = [getattr(video, field) for field in COSTS.values()]
            lines.append([run.name, run.bound, name, *scores, *costs, video.read, None])
        nothing = [float("nan")] * (len(METRICS) + len(COSTS) + 1)
        lines += [[run.name, run.bound, name, *nothing, reason] for name, reason in run.failures.items()]
    return _frame(BY_SEQUENCE, lines)


def by_frame(comparison: Comparison) -> "DataFrame":
    """One row per variant, sequence, object and frame, from the object's prompt on.

    `iou` is with the truth and empty, like `visible`, on frames that are not scored; boxes are in pixels of the video,
    empty where nothing was found; `read` and `pointers` count what was read, `held` what memory held after the frame.
    A row that is the mean of several runs has no frames of its own and is left out.

    Raises InputError without pandas.
    """
    lines = [
        [run.name, sequence, key, *values]
        for run in comparison.runs
        if run.tracked
        for sequence in run.videos
        for key, one in run.record(sequence).objects.items()
        for values in _frames(one)
    ]
    return _frame(tuple(BY_FRAME), lines).astype(BY_FRAME)


def _frames(one: ObjectRecord) -> Iterator[list[Any]]:
    for at, frame in enumerate(one.frame):
        use = one.memory[at]
        yield [
            frame,
            frame in one.prompted,
            one.iou[at],
            one.visible[at],
            one.predicted_iou[at],
            one.presence[at],
            one.motion[at],
            *(one.box[at] or (None,) * 4),
            len(use.spatial),
            len(use.pointers),
            len(use.held),
        ]


def _frame(titles: Sequence[str], lines: Sequence[Sequence[Any]]) -> "DataFrame":
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise InputError(how_to_install(error.name) or f"pandas cannot be imported: {error}") from error
    return DataFrame(lines, columns=list(titles))
