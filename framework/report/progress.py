"""How far long work is: a bar on a terminal, and elsewhere (a cluster's log file) a plain line now and then."""

import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

INTERVAL = 30.0
"""Seconds between two lines where the output is no terminal."""


class WorkProgress:
    """Counts what is done of `total` (None: no known end), from `done` on. Use it as a context manager.

    `unit` names what is counted, and `rated` what the rate counts where that is something finer. The bar is erased at
    the end.
    """

    def __init__(
        self,
        unit: str,
        total: int | None = None,
        done: int | float = 0,
        description: str = "",
        rated: str | None = None,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.unit, self.total, self.done = unit, total, done
        self.description = description or unit
        self.counted: int | float = 0
        """Of what the rate counts, since the beginning."""
        self._rated, self._clock = rated or unit, clock
        self._console = Console() if console is None else console
        self._first, self._began, self._said = done, clock(), clock()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", style="cyan"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        terminal = self._console.is_terminal
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not terminal, get_time=clock)
        self._task = self._bar.add_task(self.description, total=total, completed=int(done), rate="")

    def __enter__(self) -> "WorkProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def restart(self, total: int | None, done: int | float) -> None:
        """Counts anew: what came before was setting up."""
        self.total, self.done, self.counted = total, done, 0
        self._first, self._began, self._said = done, self._clock(), self._clock()
        self._bar.update(self._task, total=total, completed=done)

    def update(self, done: int | float, counted: int | None = None, description: str | None = None) -> None:
        """`done` in all; `counted` is what that took since the beginning, where the rate counts something finer."""
        self.done = done
        self.counted = done - self._first if counted is None else counted
        self.description = description or self.description
        self._bar.update(self._task, description=self.description, completed=done, rate=self._rate_text())
        if not self._console.is_terminal and self._clock() - self._said >= INTERVAL:
            self._said = self._clock()
            self.print(self.line())

    def advance(self, made: bool = True) -> None:
        """One more, which was `made` now, or before."""
        if made:
            self.update(self.done + 1)
        else:
            self.restart(self.total, self.done + 1)

    def print(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @property
    def rate(self) -> float:
        """Per second, since the beginning."""
        return self.counted / max(self._clock() - self._began, 1e-9)

    def line(self) -> str:
        """`clip: 120 of 400 frames, 12.3 frames/s, 0:00:23 left`."""
        of = "" if self.total is None else f" of {self.total}"
        parts = [f"{self.description}: {int(self.done)}{of} {self.unit}", self._rate_text()]
        made = self.done - self._first
        if self.total is not None and made > 0:
            seconds = (self.total - self.done) * (self._clock() - self._began) / made
            parts.append(f"{timedelta(seconds=round(seconds))} left")
        return ", ".join(parts)

    def _rate_text(self) -> str:
        return f"{self.rate:.1f} {self._rated}/s"
