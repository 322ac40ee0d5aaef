"""How far an evaluation is: sequences done, frames per second, time left."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console

from framework.evaluation.sequence import ProgressListener
from framework.report.progress import WorkProgress


class SequenceProgress(ProgressListener):
    """Use as a context manager around `evaluate`, as its listener. Failures are printed as they happen.

    A terminal has a bar; a notebook or a log file gets a line every half minute.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = WorkProgress("sequences", rated="frames", console=console, clock=clock)
        self._finished, self._frames = 0, 0

    def __enter__(self) -> "SequenceProgress":
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)

    def begin(self, total: int, finished: int) -> None:
        self._finished = finished
        self._progress.restart(total, finished)
        if finished:
            self._progress.print(f"{finished} of {total} sequences are on disk already")

    def frame(self, sequence: str, index: int, length: int) -> None:
        self._frames += 1
        within = 0.999 * (index + 1) / length  # so that the count of finished sequences stays whole
        self._progress.update(self._finished + within, self._frames, sequence)

    def sequence(self, sequence: str, failure: str | None) -> None:
        self._finished += 1
        self._progress.update(self._finished, self._frames)
        if failure:
            self._progress.print(f"{sequence} failed: {' '.join(failure.split())}")

    def elsewhere(self, sequence: str, length: int, failure: str | None) -> None:
        self._frames += length
        self.sequence(sequence, failure)

    def waiting(self, sequences: int) -> None:
        self._progress.update(self._finished, self._frames, f"waiting for {sequences} tracked elsewhere")
