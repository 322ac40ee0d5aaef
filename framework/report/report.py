"""What a comparison leaves behind: tables (Markdown, CSV), figures, overlay pictures and one HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from framework.benchmarks.papers import Reproduction
from framework.config.renamed import renamed_column
from framework.data.sequence import DataSet
from framework.errors import InputError
from framework.evaluation.best_of import check_rows, with_best_of
from framework.evaluation.comparison import Comparison
from framework.evaluation.means import with_means
from framework.report import attributes, html, losses, paper, pictures, plots, table
from framework.report.attributes import AttributeTable
from framework.report.losses import Loss
from framework.report.picture_files import jpeg
from framework.report.table import TableLayout, TableRow
from framework.report.tuning import TuningTable
from framework.report.viewer import Viewer
from framework.storage.files import safe_name, write_atomic
from framework.storage.identity import run_hash


@dataclass(frozen=True)
class ComparisonReport:
    """A comparison, drawn and counted."""

    comparison: Comparison
    layout: TableLayout
    rows: tuple[TableRow, ...]
    figures: Mapping[str, bytes]
    """Title -> PNG."""
    pictures: Mapping[str, bytes]
    """Sequence -> JPEG of frames x variants."""
    configuration: str
    """As YAML."""
    losses: Sequence[Loss]
    attributes: AttributeTable | None = None
    reproduction: Reproduction | None = None
    """The published table that was run."""
    viewer: Viewer | None = None
    """The interactive page, which is drawn as it is written."""
    tuning: TuningTable | None = None
    """What chose the settings that are compared."""

    @property
    def name(self) -> str:
        """The same for the same tables of the same runs, in the same order, over the same sequences."""
        about: dict[str, Any] = {
            "runs": [run.hash for run in self.comparison.runs],
            "sequences": self.comparison.sequences,
            "layout": astuple(self.layout),
        }
        if self.attributes is not None:
            about["attributes"] = list(self.attributes.videos)
        if self.reproduction is not None:
            about["paper"] = self.reproduction.table.source
        if self.tuning is not None:
            about["tuning"] = [row.tuned.study for row in self.tuning.rows]
        return run_hash(about)[:8]

    def show(self, console: Console) -> None:
        """Prints all tables."""
        width = console.width
        about = table.caption(self.comparison, self.rows, self.layout)
        shown = [(table.rich_tables(self.rows, self.layout, width), about)]
        if self.attributes is not None:
            shown.append((self.attributes.rich_tables(width), []))
        if self.reproduction is not None:
            shown.append((paper.rich_tables(self.reproduction, width), paper.caption(self.reproduction)))
        if self.tuning is not None:
            shown.append((self.tuning.rich_tables(width), self.tuning.caption()))
        for parts, lines in shown:
            for part in parts:
                console.print(part)
            for line in lines:
                console.print(line, style="dim", highlight=False, markup=False)

    def present(self, console: Console, output: Path) -> None:
        """Prints all tables, writes all files into `<output>/<data set>/reports/<name>` and says where they are."""
        self.show(console)
        folder = output / safe_name(self.comparison.data) / "reports" / self.name
        page, *files = self.write(folder)
        tell(console, "report", [page])
        if self.viewer is not None:
            tell(console, "viewer", [self.viewer.write(folder / "viewer")])
        tell(console, "picture", files[: len(self.pictures)])

    def write(self, folder: Path) -> list[Path]:
        """Writes all files, the HTML page first; returns their paths."""
        page = html.page(
            self.comparison,
            self.rows,
            self.layout,
            self.figures,
            self.pictures,
            self.configuration,
            self.losses,
            self.attributes.lines() if self.attributes else [],
            self.reproduction,
            self.tuning,
        )
        files = {"report.html": page.encode()}
        files |= {f"{safe_name(name)}.jpg": image for name, image in self.pictures.items()}
        files |= {
            "table.md": table.markdown(self.comparison, self.rows, self.layout).encode(),
            "table.csv": table.csv_table(self.rows).encode(),
            "losses.csv": losses.csv_table(self.losses).encode(),
            "videos.csv": table.csv_videos(self.comparison, self.layout.metric).encode(),
            "config.yaml": self.configuration.encode(),
        }
        if self.attributes is not None:
            files |= {
                "attributes.md": self.attributes.markdown().encode(),
                "attributes.csv": self.attributes.csv().encode(),
            }
        if self.reproduction is not None:
            files |= {
                "published.md": paper.markdown(self.reproduction).encode(),
                "published.csv": paper.csv_table(self.reproduction).encode(),
            }
        if self.tuning is not None:
            files |= {
                "tuning.md": self.tuning.markdown().encode(),
                "tuning.csv": self.tuning.csv().encode(),
                "settings.csv": self.tuning.csv_settings().encode(),
            }
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content)
        return [folder / name for name in files]


@dataclass(frozen=True)
class Reporter:
    """Counts and draws comparisons.

    Args:
        metric: a field of `TrackingScores`.
        seed: of the bootstrap.
        pictures: how many of the sequences on which variants differ most are drawn.
        best_of: rows that are the best of several variants on every sequence (`framework.evaluation.best_of`).
        means: rows that are the mean of several variants, such as seeds (`framework.evaluation.means`).
        oracle: the row by whose gain over the first one the others' gains are measured.
        columns: what follows the comparison (`framework.report.table.COLUMNS`).
        attributes: a second table, of accuracy by what makes a frame hard; a list names the attributes, true takes all.
        viewer: how many of the sequences on which variants differ most the interactive page shows; None takes all.
    """

    metric: str = "jaccard"
    seed: int = 0
    pictures: int = 3
    best_of: Mapping[str, Sequence[str]] | None = None
    means: Mapping[str, Sequence[str]] | None = None
    oracle: str | None = None
    columns: Sequence[str] = TableLayout().columns
    attributes: bool | Sequence[str] = False
    viewer: int | None = 6

    def __post_init__(self) -> None:
        if self.metric not in table.METRICS:
            raise InputError(f"metric '{self.metric}' is unknown: choose one of {', '.join(table.METRICS)}")
        for name in self.columns:
            if name not in table.COLUMNS:
                unknown = f"column '{name}' is unknown: choose among {', '.join(table.COLUMNS)}"
                raise InputError(renamed_column(name) or unknown)
        if min(self.pictures, self.seed, self.viewer or 0) < 0:
            raise InputError("seed, pictures and viewer are whole numbers, 0 or more")

    def check(self, variants: Sequence[str], data: DataSet) -> None:
        """Raises InputError, before hours of tracking, for options that fit neither the variants, the baseline first,
        nor the data."""
        check_rows("best_of", self.best_of or {}, variants)
        check_rows("means", self.means or {}, variants)
        if twice := {*(self.best_of or {})} & {*(self.means or {})}:
            raise InputError(f"means.{min(twice)} has the name of a row of best_of: give it another one")
        others = [*variants[1:], *(self.best_of or {}), *(self.means or {})]
        if self.oracle is not None and self.oracle not in others:
            raise InputError(
                f"oracle={self.oracle} is not a row beside the baseline: choose one of {', '.join(others) or 'none'}"
            )
        if not isinstance(self.attributes, bool):
            attributes.check(self.attributes, data)

    def report(
        self,
        comparison: Comparison,
        data: DataSet,
        configuration: str,
        reproduction: Reproduction | None = None,
        tuning: TuningTable | None = None,
    ) -> ComparisonReport:
        """The report of a comparison; `data` gives the frames to draw on."""
        best = with_best_of(comparison, self.best_of or {}, self.metric)
        comparison = with_means(best, self.means or {}, comparison.runs)
        layout = TableLayout(self.metric, tuple(self.columns), self.oracle)
        rows = tuple(table.rows(comparison, layout, self.seed))
        chosen = pictures.most_different(comparison, self.metric, self.pictures)
        viewed = pictures.most_different(comparison, self.metric, len(data) if self.viewer is None else self.viewer)
        drawn = {*chosen, *viewed}
        videos = {video.name: video for video in map(data.sequence, range(len(data))) if video.name in drawn}
        grids = {}
        for name in chosen:
            grids[name] = jpeg(pictures.grid(videos[name], comparison.records(name)))
        figures = {"Differences per sequence": plots.differences(comparison, self.metric)} if len(rows) > 1 else {}
        figures |= tuning.figures() if tuning else {}
        figures["Over the course of the videos"] = plots.over_time(comparison)
        by = None
        if self.attributes:
            wanted = None if isinstance(self.attributes, bool) else self.attributes
            by = attributes.by_attribute(comparison, data, wanted, self.seed)
        lost = losses.find(comparison)
        viewer = Viewer(comparison, {name: videos[name] for name in viewed}) if viewed else None
        return ComparisonReport(
            comparison, layout, rows, figures, grids, configuration, lost, by, reproduction, viewer, tuning
        )


def tell(console: Console, kind: str, paths: Sequence[Path]) -> None:
    """One line for each file that was written."""
    for path in paths:
        console.print(f"{kind:8}{path}", highlight=False, soft_wrap=True)
