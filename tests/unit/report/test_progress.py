"""How far long work is, where nobody draws bars: the clock is the test's own."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from framework.report.progress import INTERVAL, WorkProgress
from framework.report.sequence_progress import SequenceProgress


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    yield io.StringIO()


def shown(log: io.StringIO) -> list[str]:
    return log.getvalue().splitlines()


def test_a_log_file_has_a_line_every_half_minute(clock: Clock, log: io.StringIO) -> None:
    assert INTERVAL == 30.0
    with WorkProgress("frames", 400, description="clip", console=Console(file=log), clock=clock) as progress:
        for _ in range(100):
            clock.now += 0.5
            progress.advance()
        assert shown(log) == ["clip: 60 of 400 frames, 2.0 frames/s, 0:02:50 left"]
        clock.now += 29.5
        progress.advance()
    assert shown(log)[1:] == ["clip: 101 of 400 frames, 1.3 frames/s, 0:03:55 left"]


def test_a_terminal_has_a_bar_that_is_gone_in_the_end(clock: Clock, log: io.StringIO) -> None:
    console = Console(file=log, force_terminal=True, width=100)
    with WorkProgress("frames", 4, description="clip", console=console, clock=clock) as progress:
        clock.now += 60
        progress.advance()
        progress._bar.refresh()
    assert "1/4" in log.getvalue() and "clip: 1 of 4" not in log.getvalue()


def test_work_without_a_known_end_has_no_time_left(clock: Clock, log: io.StringIO) -> None:
    with WorkProgress("frames", None, description="camera0", console=Console(file=log), clock=clock) as progress:
        clock.now += 40
        progress.advance()
    assert shown(log) == ["camera0: 1 frames, 0.0 frames/s"]


def test_what_was_there_before_counts_for_no_rate(clock: Clock, log: io.StringIO) -> None:
    with WorkProgress("frames", 30, description="clip", console=Console(file=log), clock=clock) as progress:
        for _ in range(10):
            clock.now += 1
            progress.advance(made=False)
        for _ in range(10):
            clock.now += 4
            progress.advance()
    assert progress.rate == 0.25 and shown(log) == ["clip: 18 of 30 frames, 0.2 frames/s, 0:00:48 left"]


def test_an_evaluation_says_sequences_and_frames(
    clock: Clock, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(file=log)
    with SequenceProgress(console, clock) as progress:
        progress.begin(total=5, finished=1)
        clock.now += 20
        progress.frame("alpha", 0, 2)
        clock.now += 20
        progress.frame("alpha", 1, 2)
        progress.sequence("alpha", None)
        progress.sequence("beta", "no\n good")
        clock.now += 30
        progress.waiting(2)
    assert shown(log) == [
        "1 of 5 sequences are on disk already",
        "alpha: 1 of 5 sequences, 0.1 frames/s, 0:02:00 left",
        "beta failed: no good",
        "waiting for 2 tracked elsewhere: 3 of 5 sequences, 0.0 frames/s, 0:01:10 left",
    ]


def test_what_other_processes_track_counts(clock: Clock, log: io.StringIO) -> None:
    with SequenceProgress(Console(file=log), clock) as progress:
        progress.begin(4, 0)
        progress.frame("a", 0, 10)
        clock.now += 40
        progress.elsewhere("b", 159, None)
        progress.elsewhere("c", 10, "broke")
    assert shown(log) == ["a: 1 of 4 sequences, 4.0 frames/s, 0:02:00 left", "c failed: broke"]
