"""Comparisons in Weights & Biases: one run per variant, all in one group. The only file that imports wandb.

Result files are primary and this is a copy of them: nothing is read back.
"""

import io
import math
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import yaml
from PIL import Image

from framework.errors import InputError
from framework.evaluation.comparison import Run
from framework.report.plots import course
from framework.report.report import ComparisonReport
from framework.report.table import METRICS
from framework.storage import identity


@dataclass(frozen=True)
class NoLog:
    """Logs nothing; works without wandb."""

    def check(self) -> None:
        """Whether logging will be possible, before hours of tracking; raises InputError when not."""

    def log(self, report: ComparisonReport) -> list[Path]:
        """Logs a finished comparison; the folders it was written to, if any."""
        return []


@dataclass(frozen=True)
class WandbLog(NoLog):
    """`offline` writes to `<folder>/wandb` and needs no account; without wandb a line on stderr says that nothing is
    logged. `online` needs `wandb login` once."""

    project: str = "engram"
    mode: Literal["offline", "online"] = "offline"
    folder: str = "outputs"
    group: str | None = None
    """None: named after the data set and the runs compared."""

    def check(self) -> None:
        wandb = self._wandb()
        if wandb is None:
            print("wandb is not installed, so this run is not logged; logger=none asks for no log", file=sys.stderr)
        elif self.mode == "online":
            try:
                wandb.login()
            except wandb.errors.Error as error:
                raise _refused(error) from error

    def log(self, report: ComparisonReport) -> list[Path]:
        wandb, folder = self._wandb(), Path(self.folder)
        if wandb is None:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        group = self.group or f"{report.comparison.data}-{report.name}"
        try:
            for index in range(len(report.comparison.runs)):
                self._log_variant(wandb, report, index, group)
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

    def _log_variant(self, wandb: ModuleType, report: ComparisonReport, index: int, group: str) -> None:
        comparison, run, row = report.comparison, report.comparison.runs[index], report.rows[index]
        with wandb.init(
            project=self.project,
            group=group,
            name=run.name,
            job_type="evaluation",
            mode=self.mode,
            dir=self.folder,
            config=self._config(report, run),
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
            ),
        ) as logged:
            # One step per tenth of the videos, so that curves of variants lie over one another.
            logged.define_metric("part of the video")
            logged.define_metric("range/*", step_metric="part of the video")
            for part, iou in enumerate(course(comparison, index)):
                if not math.isnan(iou):
                    logged.log({"range/iou": iou, "part of the video": part / 10})
            names = comparison.sequences
            columns = ["sequence", *METRICS, "ms per frame"]
            lines = [[name, *asdict(run.videos[name].scores).values(), run.videos[name].milliseconds] for name in names]
            logged.log({"sequences": wandb.Table(columns=columns, data=lines)})
            if index == 0:  # they show all variants
                for name, image in {**report.figures, **report.pictures}.items():
                    logged.log({f"pictures/{name}": wandb.Image(Image.open(io.BytesIO(image)), caption=name)})
            logged.summary.update({name: getattr(row.scores, name) for name in METRICS})
            logged.summary.update({"ms per frame": row.milliseconds, "failed": row.failed, "sequences": len(names)})
            if row.difference is not None:
                compared = {"difference": row.difference.mean, "low": row.difference.low, "high": row.difference.high}
                logged.summary.update(compared)

    @staticmethod
    def _config(report: ComparisonReport, run: Run) -> dict[str, Any]:
        return {
            "variant": run.name,
            "run": run.hash,
            "identity": dict(run.identity),
            "commit": identity.commit(),
            "configuration": yaml.safe_load(report.configuration),
        }


def _refused(error: Exception) -> InputError:
    reason = " ".join(str(error).split()).rstrip(".")
    return InputError(f"wandb: {reason}; run `wandb login`, or choose logger=wandb_offline or logger=none")
