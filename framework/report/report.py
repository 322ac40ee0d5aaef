"""What a comparison leaves behind: table (Markdown, CSV), figures, overlay pictures and one HTML page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from framework.data.sequence import DataSet
from framework.errors import InputError
from framework.evaluation import Comparison
from framework.identity import run_hash
from framework.papers import Reproduction
from framework.report import html, paper, pictures, plots, table
from framework.report.table import Row
from framework.results import safe_name, write_atomic


@dataclass(frozen=True)
class Report:
    """A comparison, drawn and counted."""

    comparison: Comparison
    metric: str
    rows: tuple[Row, ...]
    figures: Mapping[str, bytes]
    """Title -> PNG."""
    pictures: Mapping[str, bytes]
    """Sequence -> JPEG of frames x variants."""
    configuration: str
    """As YAML."""
    reproduction: Reproduction | None = None
    """The published table that was run."""

    @property
    def name(self) -> str:
        """The same for the same runs in the same order, of the same table."""
        about = {"runs": [run.folder.hash for run in self.comparison.runs], "metric": self.metric}
        if self.reproduction is not None:
            about["paper"] = self.reproduction.table.source
        return run_hash(about)[:8]

    def write(self, folder: Path) -> list[Path]:
        """Writes all files, the HTML page first; returns their paths."""
        page = html.page(
            self.comparison,
            self.rows,
            self.metric,
            self.figures,
            self.pictures,
            self.configuration,
            self.reproduction,
        )
        files = {"report.html": page.encode()}
        files |= {f"{safe_name(name)}.jpg": image for name, image in self.pictures.items()}
        files |= {
            "table.md": table.markdown(self.comparison, self.rows, self.metric).encode(),
            "table.csv": table.csv_table(self.rows).encode(),
            "config.yaml": self.configuration.encode(),
        }
        if self.reproduction is not None:
            files |= {
                "published.md": paper.markdown(self.reproduction).encode(),
                "published.csv": paper.csv_table(self.reproduction).encode(),
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
    """

    metric: str = "jaccard"
    seed: int = 0
    pictures: int = 3

    def __post_init__(self) -> None:
        if self.metric not in table.METRICS:
            raise InputError(f"metric '{self.metric}' is unknown: choose one of {', '.join(table.METRICS)}")
        if self.pictures < 0 or self.seed < 0:
            raise InputError("seed and pictures are whole numbers, 0 or more")

    def report(
        self, comparison: Comparison, data: DataSet, configuration: str, reproduction: Reproduction | None = None
    ) -> Report:
        """The report of a comparison; `data` gives the frames to draw on."""
        rows = tuple(table.rows(comparison, self.metric, self.seed))
        chosen = pictures.most_different(comparison, self.metric, self.pictures)
        videos = {video.name: video for video in map(data.sequence, range(len(data))) if video.name in chosen}
        grids = {}
        for name in chosen:
            records = {run.name: run.folder.load(name) for run in comparison.runs}
            grids[name] = jpeg(pictures.grid(videos[name], records))
        figures = {"Per sequence": plots.differences(comparison, self.metric)} if len(rows) > 1 else {}
        figures["Over the course of the videos"] = plots.over_time(comparison)
        return Report(comparison, self.metric, rows, figures, grids, configuration, reproduction)


def jpeg(picture: pictures.Picture) -> bytes:
    """RGB picture as a JPEG file."""
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
