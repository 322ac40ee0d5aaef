"""Comparisons in Weights & Biases: one run per result. The only file that imports wandb.

Result files are primary and this is a copy of them: nothing is read back.
"""

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Literal

import numpy as np
from PIL import Image

from framework.config.extras import extra_of
from framework.data.sequence import DataSet, VideoSequence
from framework.errors import InputError
from framework.evaluation.comparison import Run
from framework.evaluation.records import RANGES
from framework.report import losses, table
from framework.report.pictures import drawn, most_different, shown
from framework.report.plots import course
from framework.report.report import ComparisonReport
from framework.report.table import METRICS
from framework.storage import identity

VIDEOS = 2
"""Sequences that are logged as video: those on which variants differ most."""
WORST = 8
"""Frames that are logged as the worst, at most one of a sequence."""
TAG, NAME = 64, 128
"""Characters of a tag, and of a name or group, that wandb takes."""
CURVES = ("frame", "iou", "visible", "predicted_iou", "presence", "motion", "area")
"""Columns of the records."""
DECISION = ("decision", "number", "value", "relation", "threshold", "memory")
"""What a `framework.types.Reason` says."""


@dataclass(frozen=True)
class NoLog:
    """Logs nothing; works without wandb."""

    def check(self) -> None:
        """Whether logging will be possible, before hours of tracking; raises InputError when not."""

    def log(self, report: ComparisonReport, data: DataSet, options: Mapping[str, Mapping[str, Any]] = {}) -> list[Path]:
        """Logs a finished comparison; the folders it was written to, if any.

        Args:
            data: gives the frames to draw on.
            options: by the name of a variant, all that it was made from: `method`, and groups such as `policy`.
        """
        return []


@dataclass(frozen=True)
class WandbLog(NoLog):
    """`offline` writes to `<folder>/wandb` and needs no account; without wandb a line on stderr says that nothing is
    logged. `online` needs `wandb login` once.

    A result has one run, whose id is its hash: what is logged again continues it.
    """

    project: str = "engram"
    mode: Literal["offline", "online"] = "offline"
    folder: str = "outputs"
    group: str | None = None
    """None: named after the data set and the method."""

    def check(self) -> None:
        wandb = self._wandb()
        if wandb is None:
            print("wandb is not installed, so this run is not logged; logger=none asks for no log", file=sys.stderr)
        elif find_spec("av") is None:
            print(f"wandb gets no videos, as av is not installed: pip install {extra_of('video')}", file=sys.stderr)
        if wandb is not None and self.mode == "online":
            try:
                wandb.login()
            except wandb.errors.Error as error:
                raise _refused(error) from error

    def log(self, report: ComparisonReport, data: DataSet, options: Mapping[str, Mapping[str, Any]] = {}) -> list[Path]:
        wandb, folder = self._wandb(), Path(self.folder)
        if wandb is None:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        comparison = report.comparison
        indices = {run.hash: index for index, run in reversed([*enumerate(comparison.runs)])}  # of equal ones the first
        todo = sorted(index for run, index in indices.items() if not self._copies(run, report.name))
        videos = {video.name: video for video in map(data.sequence, range(len(data)))} if todo else {}
        try:
            with TemporaryDirectory() as place:
                clips = _clips(report, videos, Path(place)) if todo else {}
                for index in todo:
                    self._log_run(wandb, report, index, videos, clips, options)
        except wandb.errors.Error as error:
            raise _refused(error) from error
        return [folder / "wandb"] if self.mode == "offline" else []

    def _wandb(self) -> ModuleType | None:
        """None where it is not installed and need not be."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError as error:
            if self.mode == "online":
                raise InputError("wandb is not installed: install it or choose logger=none") from error
            return None
        return wandb

    def _copies(self, run: str, report: str) -> list[Path]:
        """Where this was written before, by the note that is left when all of it is."""
        return [*Path(self.folder).glob(f"wandb/offline-run-*-{run}/{report}.logged")] if self.mode == "offline" else []

    def _log_run(
        self,
        wandb: ModuleType,
        report: ComparisonReport,
        index: int,
        videos: Mapping[str, VideoSequence],
        clips: Mapping[str, Mapping[str, Path]],
        options: Mapping[str, Mapping[str, Any]],
    ) -> None:
        run, data = report.comparison.runs[index], report.comparison.data
        own = options.get(run.name, {})
        method = own.get("method", run.name)
        with wandb.init(
            project=self.project,
            id=run.hash,
            resume="allow" if self.mode == "online" else None,
            group=(self.group or f"{data} {method}")[:NAME],
            tags=[data[:TAG], method[:TAG]],
            name=run.name[:NAME],
            job_type="evaluation",
            mode=self.mode,
            dir=self.folder,
            config={**own, **_about(report, run)},
            allow_val_change=True,
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
            ),
        ) as logged:
            logged.log(
                {
                    **{
                        title: part
                        for name, lines in _tables(report, run)
                        for title, part in _split(wandb, name, *lines)
                    },
                    "over the videos": _course(wandb, report, index),
                    **_frames(wandb, report, run, videos),
                    **{f"videos/{name}": wandb.Video(str(path)) for name, path in clips.get(run.name, {}).items()},
                    **(_pictures(wandb, report) if index == 0 else {}),  # they show all variants
                }
            )
            logged.summary.update(_summary(report, index))
            where = Path(logged.dir).parent
        if self.mode == "offline":
            (where / f"{report.name}.logged").touch()


def _about(report: ComparisonReport, run: Run) -> dict[str, Any]:
    return {
        "variant": run.name,
        "run": run.hash,
        "identity": dict(run.identity),
        "baseline": report.rows[0].variant,
        "comparison": report.name,
        "commit": identity.commit(),
    }


def _summary(report: ComparisonReport, index: int) -> dict[str, Any]:
    """The variant's line of table.csv."""
    titles, lines = table.columns(report.rows)
    numbers = dict(zip(titles, lines[index], strict=True))
    return {name: value for name, value in numbers.items() if value is not None and name != "variant"}


Lines = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Titles and rows."""


def _tables(report: ComparisonReport, run: Run) -> Iterator[tuple[str, Lines]]:
    """By name: the whole comparison, and what is the variant's own of all else."""
    yield "comparison", table.columns(report.rows)
    sequences = report.comparison.sequences
    scores = [[*asdict(run.videos[name].scores).values(), run.videos[name].milliseconds] for name in sequences]
    lines = [[name, *table.without_nan(values)] for name, values in zip(sequences, scores, strict=True)]
    yield "sequences", (["sequence", *METRICS, "ms_per_frame"], lines)
    lost = [list(asdict(loss).values()) for loss in report.losses if loss.variant == run.name]
    yield "losses", (losses.TITLES, lost)
    if report.attributes is not None:
        titles, found = report.attributes.columns()
        yield "attributes", (titles, [line for line in found if line[0] == run.name])
    if run.tracked:
        yield "curves", (["sequence", "object", *CURVES, "read", "held"], list(_curves(report, run)))
        yield "decisions", (["sequence", "object", "frame", *DECISION, "holds"], list(_decisions(report, run)))


def _curves(report: ComparisonReport, run: Run) -> Iterator[list[Any]]:
    for sequence in report.comparison.sequences:
        for key, one in run.record(sequence).objects.items():
            for *values, use in zip(*(getattr(one, name) for name in CURVES), one.memory, strict=True):
                yield [sequence, key, *values, len(use.spatial), len(use.held)]


def _decisions(report: ComparisonReport, run: Run) -> Iterator[list[Any]]:
    """The numbers that the policy decided by, frame by frame; `memory` is the frame of what they are about."""
    for sequence in report.comparison.sequences:
        for key, one in run.record(sequence).objects.items():
            for frame, use in zip(one.frame, one.memory, strict=True):
                for why in use.reasons:
                    number = why.decision, why.name, why.value, why.relation, why.threshold, why.frame
                    yield [sequence, key, frame, *number, why.holds]


def _split(
    wandb: ModuleType, name: str, titles: Sequence[str], lines: Sequence[Sequence[Any]]
) -> Iterator[tuple[str, Any]]:
    """As many tables as it takes: wandb cuts longer ones without a word."""
    most = wandb.Table.MAX_ROWS
    for part, start in enumerate(range(0, max(len(lines), 1), most)):
        rows = [list(line) for line in lines[start : start + most]]
        yield f"tables/{name}{f' {part + 1}' if part else ''}", wandb.Table(columns=list(titles), data=rows)


def _course(wandb: ModuleType, report: ComparisonReport, index: int) -> Any:
    """A line over tenths of the videos."""
    found = [[part / RANGES, iou] for part, iou in enumerate(course(report.comparison, index)) if not np.isnan(iou)]
    lines = wandb.Table(columns=["part of the video", "mean IoU"], data=found)
    return wandb.plot.line(lines, "part of the video", "mean IoU", title="Over the videos")


def _frames(
    wandb: ModuleType, report: ComparisonReport, run: Run, videos: Mapping[str, VideoSequence]
) -> dict[str, Any]:
    """The worst frames as a table, and as pictures in its order: of a sequence the lowest with the object in view."""
    if not run.tracked:
        return {}
    worst = []
    for sequence in report.comparison.sequences:
        seen = [
            (iou, frame, key, one.predicted_iou[at], one.presence[at])
            for key, one in run.record(sequence).objects.items()
            for at, (iou, frame, there) in enumerate(zip(one.iou, one.frame, one.visible, strict=True))
            if iou is not None and there
        ]
        worst += [(*min(seen), sequence)] if seen else []
    lines, pictures = [], []
    for iou, frame, key, predicted, presence, sequence in sorted(worst)[:WORST]:
        lines.append([sequence, key, frame, iou, predicted, presence])
        picture = Image.fromarray(drawn(*shown(videos[sequence], frame), run.record(sequence), frame))
        caption = f"{sequence}, frame {frame}, object {key}: IoU {iou:.2f}"
        pictures.append(wandb.Image(picture, caption=caption, file_type="jpg"))
    titles = ["sequence", "object", "frame", "iou", "predicted_iou", "presence"]
    table_ = wandb.Table(columns=titles, data=lines)  # pictures inside it would be kept outside the run's folder
    return {"tables/worst frames": table_, "pictures/worst frames": pictures}


def _pictures(wandb: ModuleType, report: ComparisonReport) -> dict[str, Any]:
    found = {**report.figures, **report.pictures}
    opened = {name: Image.open(io.BytesIO(image)).convert("RGB") for name, image in found.items()}
    return {f"pictures/{name}": wandb.Image(image, caption=name, file_type="jpg") for name, image in opened.items()}


def _clips(report: ComparisonReport, videos: Mapping[str, VideoSequence], folder: Path) -> dict[str, dict[str, Path]]:
    """Variant -> sequence -> MP4."""
    found: dict[str, dict[str, Path]] = {run.name: {} for run in report.comparison.runs if run.tracked}
    if find_spec("av") is None:
        return {}
    from framework.report.clips import clips

    for number, name in enumerate(most_different(report.comparison, report.layout.metric, VIDEOS)):
        place = folder / str(number)
        place.mkdir()
        records = {run.name: run.record(name) for run in report.comparison.runs if run.name in found}
        for variant, path in clips(videos[name], records, place).items():
            found[variant][name] = path
    return found


def _refused(error: Exception) -> InputError:
    reason = " ".join(str(error).split()).rstrip(".")
    return InputError(f"wandb: {reason}; run `wandb login`, or choose logger=wandb_offline or logger=none")
