"""Published tables: their rows to run again, what was printed for each, and how near a run comes to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from framework.benchmarks.predictions import Empty
from framework.benchmarks.scores import EVALUATORS, BenchmarkScores, predictions
from framework.config.checks import build
from framework.config.variants import Variant, shared_options, variant, variants
from framework.data.sequence import DataSet
from framework.errors import InputError, unknown
from framework.evaluation.comparison import Comparison, TrackedRun


@dataclass(frozen=True)
class PaperRow:
    """One row of a published table.

    Args:
        variant: how it is run, as `experiments.ablate` takes it.
        backbone: the network it was published with, by its name in conf/backbone.
        published: measure -> value, as the table's evaluator names and scales it.
        caveat: why it does not compare what its name says; None: nothing is known against it.
    """

    variant: str
    backbone: str
    published: Mapping[str, float]
    caveat: str | None = None


@dataclass(frozen=True)
class PaperTable:
    """A published table on one data set.

    Args:
        source: paper and table.
        second_hand: the numbers were read from a mirror or a README, not from the paper.
        data: name of the data set, to which options may add (`lasot-test` also means `lasot-test-sam_masks`).
        sequences: how many of them the numbers are of; None where it is not known.
        evaluator: a key of `framework.benchmarks.scores.EVALUATORS`.
        tolerance: difference up to which a number counts as reproduced, in its units.
        rows: by their name in the table.
        only: rows to run; empty: all.
    """

    source: str
    second_hand: bool
    data: str
    sequences: int | None
    evaluator: str
    tolerance: float
    rows: Mapping[str, PaperRow]
    only: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.evaluator not in EVALUATORS:
            raise unknown("evaluator", self.evaluator, EVALUATORS)
        if not self.rows or self.tolerance < 0:
            raise InputError("a published table has rows, and a tolerance of 0 or more")
        for name in self.only:
            if name not in self.rows:
                raise unknown("row", name, self.rows)
        for name, row in self.rows.items():
            for measure in row.published:
                if measure not in EVALUATORS[self.evaluator].measures:
                    known = EVALUATORS[self.evaluator].measures
                    raise InputError(f"row '{name}': {unknown(f'measure of {self.evaluator}', measure, known)}")

    def on(self, backbone: str) -> "PaperTable":
        """The rows to run with a backbone. Raises InputError when there is none."""
        wanted = {name: row for name, row in self.rows.items() if not self.only or name in self.only}
        rows = {name: row for name, row in wanted.items() if row.backbone == backbone}
        if not rows:
            known = ", ".join(sorted({row.backbone for row in wanted.values()}))
            raise InputError(f"{self.source} has no such row with backbone={backbone}: choose one of {known}")
        return replace(self, rows=rows)

    def check(self, data: DataSet) -> None:
        """Raises InputError for other data than the table's."""
        if data.name != self.data and not data.name.startswith(f"{self.data}-"):
            raise InputError(f"{self.source} is on {self.data}, not on {data.name}: leave out data=...")

    def compare(self, comparison: Comparison, data: DataSet, empty: Empty) -> "Reproduction":
        """Scores every finished row with the table's evaluator; `empty` is the protocol's."""
        runs = {run.name: run for run in comparison.runs if isinstance(run, TrackedRun)}
        numbers = []
        for name, row in self.rows.items():
            scores = self._scores(runs.get(name), data, empty)
            numbers += [
                PaperNumber(name, measure, value, scores.get(measure), self.tolerance)
                for measure, value in row.published.items()
            ]
        return Reproduction(self, tuple(numbers), len(data))

    def _scores(self, run: TrackedRun | None, data: DataSet, empty: Empty) -> BenchmarkScores:
        """Nothing for a row with a sequence that failed."""
        if run is None or run.failures:
            return {}
        return EVALUATORS[self.evaluator](predictions(run.folder, data), empty)


@dataclass(frozen=True, slots=True)
class PaperNumber:
    """One number of a published table beside ours."""

    row: str
    measure: str
    published: float
    measured: float | None
    """None where the row is not finished, or has no such value."""
    tolerance: float

    @property
    def difference(self) -> float | None:
        """Measured minus published."""
        return None if self.measured is None else self.measured - self.published

    @property
    def within(self) -> bool | None:
        """Whether the difference is at most the tolerance, but for rounding in the last place of a float."""
        return None if self.difference is None else abs(self.difference) <= self.tolerance + 1e-9


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A published table, run again."""

    table: PaperTable
    numbers: tuple[PaperNumber, ...]
    sequences: int
    """That were run."""


def requested(config: DictConfig) -> tuple[list[Variant], PaperTable | None]:
    """What a comparison is of: the rows of the published table that `+paper=` names, or `variants` and no table.

    Inside `@command` only. Raises InputError for a table that is not well-formed or has no row of the chosen backbone.
    """
    if config.get("paper") is None:
        return variants(config), None
    whole: PaperTable = build(config.paper)
    table = whole.on(HydraConfig.get().runtime.choices["backbone"])
    return _rows(table, config), table


def _rows(table: PaperTable, config: DictConfig) -> list[Variant]:
    """Named as in the table."""
    if config.variants is not None:
        raise InputError("a published table brings its own variants: choose among its rows with paper.only=[...]")
    shared, rows = shared_options(), []
    for name, row in table.rows.items():
        try:
            rows.append(replace(variant(row.variant, shared), name=name))
        except InputError as error:
            raise InputError(f"row '{name}': {error}") from error
    return rows
