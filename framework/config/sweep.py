"""Sweeps: what became of every job, whichever launcher ran it.

Every job keeps a file from its first moment on in a folder that all jobs see, so one that was killed is known too.
"""

import os
import pickle
import shutil
import tempfile
import traceback
import uuid
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from framework.config.error_lines import explain
from framework.errors import PartlyFailed
from framework.storage.files import write_atomic

UNFINISHED = "has not ended: it was killed, or still runs"
SWEPT: ContextVar[tuple[str, ...]] = ContextVar("SWEPT", default=())
"""Names of the options that the sweep around this job varies."""


@dataclass(frozen=True, slots=True)
class SweepJob:
    """One job of a sweep."""

    number: int
    options: tuple[str, ...]
    result: Any = None
    """What the command returned; None where it failed."""
    failure: str | None = UNFINISHED
    code: int = 1
    """Exit code."""


def _folder() -> Path:
    """Beside what jobs write, as a job may run on another machine."""
    place = Path.cwd() if os.access(Path.cwd(), os.W_OK) else Path(tempfile.gettempdir())
    return place / f".sweep-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True)
class Sweep:
    """The jobs of one command line.

    Args:
        swept: names of the options that it varies.
    """

    swept: tuple[str, ...]
    folder: Path = field(default_factory=_folder)

    def run(self, task: Callable[[DictConfig], Any], config: DictConfig, traced: bool = False) -> Any:
        """Runs one job, keeps what became of it and returns its result, None where it failed in part.

        Only an interruption is raised, so that the others go on, and the end that a launcher gives a job when it has
        queued it again.

        `traced`: a job that fails shows its trace, also where one line says what to do.
        """
        hydra = HydraConfig.get()
        begun = SweepJob(hydra.job.num, tuple(hydra.overrides.task))
        self._keep(begun)
        before = SWEPT.set(self.swept)
        try:
            ended = replace(begun, result=task(config), failure=None, code=0)
        except PartlyFailed as end:
            ended = replace(begun, result=end.result, failure=end.reason, code=1)
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):  # how Lightning ends
                raise KeyboardInterrupt from None
            if _is_queued_again(end):
                raise
            code = end.code if isinstance(end.code, int) else 1
            ended = replace(begun, failure=f"ended with exit code {code}" if code else None, code=code)
        except Exception as error:
            line = explain(error)
            if line is None or traced:
                traceback.print_exc()
            line = line or " ".join(f"{type(error).__name__}: {error}".split())
            ended = replace(begun, failure=line, code=2)
        finally:
            SWEPT.reset(before)
        self._keep(ended)
        return ended.result if ended.failure is None else None

    def _keep(self, job: SweepJob) -> None:
        self.folder.mkdir(exist_ok=True)
        write_atomic(self.folder / f"{job.number}.job", pickle.dumps(job))

    def jobs(self) -> list[SweepJob]:
        """All that have begun, in the order of the sweep."""
        return sorted((pickle.loads(path.read_bytes()) for path in self.folder.glob("*.job")), key=lambda j: j.number)

    def close(self) -> None:
        """Leaves nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _is_queued_again(end: SystemExit) -> bool:
    """Whether submitit's handler of signals raised it, at a time limit or when a job has to make room."""
    frames = traceback.walk_tb(end.__traceback__)
    return any(str(frame.f_globals.get("__name__")).startswith("submitit.") for frame, _ in frames)


def swept_options(arguments: Sequence[str]) -> tuple[str, ...]:
    """Names of the options that a command line varies; what cannot be read is left for Hydra to refuse."""
    found = []
    for argument in arguments:
        try:
            (option,) = OverridesParser.create().parse_overrides([argument])
        except Exception:
            continue
        if option.is_sweep_override():
            found.append(option.key_or_group)
    return tuple(found)
