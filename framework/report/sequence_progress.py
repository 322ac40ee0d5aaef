"""How far an evaluation is, live in the terminal: sequences done, frames per second, time left."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from framework.evaluation.sequence import ProgressListener


class SequenceProgress(ProgressListener):
    """Use as a context manager around `evaluate`. Failures are printed above the bar as they happen."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}", style="cyan"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True)
        self._task: TaskID | None = None
        self._finished, self._frames, self._began = 0, 0, time.monotonic()

    def __enter__(self) -> "SequenceProgress":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, total: int, finished: int) -> None:
        self._finished, self._began = finished, time.monotonic()
        self._task = self._progress.add_task("sequences", total=total, completed=finished, speed="")
        if finished:
            self._progress.print(f"{finished} of {total} sequences are on disk already")

    def frame(self, sequence: str, index: int, length: int) -> None:
        self._frames += 1
        speed = f"{self._frames / max(time.monotonic() - self._began, 1e-9):.1f} fps"
        within = 0.999 * (index + 1) / length  # so that the count of finished sequences stays whole
        self._show(description=sequence, completed=self._finished + within, speed=speed)

    def sequence(self, sequence: str, failure: str | None) -> None:
        self._finished += 1
        self._show(completed=self._finished)
        if failure:
            self._progress.print(f"{sequence} failed: {' '.join(failure.split())}", markup=False)

    def waiting(self, sequences: int) -> None:
        self._show(description=f"waiting for {sequences} tracked elsewhere")

    def _show(self, **state: object) -> None:
        if self._task is not None:
            self._progress.update(self._task, **state)  # type: ignore[arg-type]
