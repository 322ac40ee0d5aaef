"""Live progress over frames, with frames per second."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class Rate(ProgressColumn):
    """Frames per second of late."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} fps", style="cyan")


class Meter:
    """Counts frames on the terminal."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress, self._task = progress, task

    def advance(self) -> None:
        """One frame more."""
        self._progress.advance(self._task)

    @property
    def frames(self) -> int:
        return int(self._progress.tasks[0].completed)

    @property
    def rate(self) -> float:
        """Frames per second over the whole run so far."""
        return self.frames / max(self._progress.tasks[0].elapsed or 0.0, 1e-9)


@contextmanager
def frame_meter(name: str, length: int | None) -> Iterator[Meter]:
    """A progress bar over `length` frames (None: an endless source). It is erased at the end,
    and not drawn where the output is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    console = Console()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Meter(progress, progress.add_task(name, total=length))
