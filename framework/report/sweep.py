"""One table over all jobs of a sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console

from framework.config.checks import build
from framework.config.sweep import SweepJob
from framework.data.excerpt import excerpt
from framework.evaluation.comparison import Comparison, Run, merged
from framework.report import table
from framework.report.report import Reporter, tell
from framework.report.table import TableLayout, TableRow
from framework.storage.files import write_atomic
from framework.storage.identity import run_hash

NAMED = ("policy", "method", "variants")
"""Options that the name of a variant always says."""


@dataclass(frozen=True)
class Compared:
    """What a job was. As a number, the metric of its last variant: what a sweeper optimises."""

    comparison: Comparison
    configuration: str
    """As YAML."""

    def __float__(self) -> float:
        run, metric = self.comparison.runs[-1], OmegaConf.create(self.configuration).metric
        return float(getattr(run.mean(self.comparison.sequences), metric))


def conclude(jobs: Sequence[SweepJob]) -> None:
    """Prints and writes one table over the jobs of a sweep that compared anything; the first one says how it looks."""
    finished = [(job.options, job.result) for job in jobs if isinstance(job.result, Compared)]
    if len(finished) < 2:
        return
    configuration, console = finished[0][1].configuration, Console()
    config = OmegaConf.create(configuration)
    reporter: Reporter = replace(build(config.report), best_of=None, means=None, oracle=None)
    groups = by_data(with_options([(options, compared.comparison) for options, compared in finished]))
    console.print(f"the sweep: {len(finished)} of {len(jobs)} jobs", style="bold", highlight=False)
    if len(groups) == 1:
        data = excerpt(build(config.data), **config.excerpt)
        reporter.report(groups[0], data, configuration).present(console, Path(config.output))
        return
    together = SweepTable.of(groups, TableLayout(reporter.metric, tuple(reporter.columns)), reporter.seed)
    together.show(console)
    tell(console, "table", together.write(Path(config.output) / "sweeps"))


def with_options(comparisons: Sequence[tuple[Sequence[str], Comparison]]) -> list[Comparison]:
    """The comparisons of jobs, each given with its options; every run is named by what differs between jobs too."""
    shared = {option for option in comparisons[0][0] if all(option in options for options, _ in comparisons)}
    found = []
    for options, comparison in comparisons:
        own = [option for option in options if option not in shared and option.partition("=")[0] not in NAMED]
        runs = tuple(replace(run, name=_named(run, own)) for run in comparison.runs)
        lost = {" ".join([name, *own]): reason for name, reason in comparison.lost.items()}
        found.append(replace(comparison, runs=runs, lost=lost))
    return found


def _named(run: Run, options: Sequence[str]) -> str:
    words = run.name.split()
    return " ".join([run.name, *(option for option in options if option not in words)])


def by_data(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """One comparison per data set, in the order in which they first occur."""
    grouped: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        grouped.setdefault(comparison.data, []).append(comparison)
    return [merged(group) for group in grouped.values()]


@dataclass(frozen=True)
class SweepTable:
    """Jobs on several data sets, whose rows compare with the first one on the same data."""

    comparisons: tuple[Comparison, ...]
    """One per data set."""
    layout: TableLayout
    rows: tuple[TableRow, ...]

    @classmethod
    def of(cls, comparisons: Sequence[Comparison], layout: TableLayout, seed: int) -> "SweepTable":
        rows = [row for comparison in comparisons for row in table.rows(comparison, layout, seed)]
        return cls(tuple(comparisons), layout, tuple(rows))

    def caption(self) -> list[str]:
        """What the numbers rest on."""
        lines = ["first: the first row on the same data; [95 %]: bootstrap over sequences"]
        for comparison in self.comparisons:
            rows = [row for row in self.rows if row.variant in {run.name for run in comparison.runs}]
            lines += table.caption(comparison, rows, self.layout)[: None if comparison is self.comparisons[0] else 1]
            lines += [f"{run.name}: {len(run.failures)} failed" for run in comparison.runs if run.failures]
        return lines

    def show(self, console: Console) -> None:
        """Prints the table."""
        for part in table.rich_tables(self.rows, self.layout, console.width):
            console.print(part)
        for line in self.caption():
            console.print(line, style="dim", highlight=False, markup=False)

    def write(self, folder: Path) -> list[Path]:
        """Writes it as Markdown and CSV; returns the paths."""
        about: Mapping[str, object] = {
            "runs": [run.hash for comparison in self.comparisons for run in comparison.runs],
            "names": [row.variant for row in self.rows],
        }
        place = folder / run_hash(about)[:8]
        place.mkdir(parents=True, exist_ok=True)
        lines = [*table.markdown_lines("first", self.rows, self.layout), "", *self.caption(), ""]
        files = {"table.md": "\n".join(lines), "table.csv": table.csv_table(self.rows)}
        for name, text in files.items():
            write_atomic(place / name, text.encode())
        return [place / name for name in files]
