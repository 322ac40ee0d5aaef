"""Processes side by side on one folder of results."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from framework.errors import InputError
from framework.evaluation.comparison import Comparison
from framework.evaluation.evaluate import evaluate
from framework.evaluation.sequence import ProgressListener
from framework.evaluation.workers import number_of
from framework.tracker import Tracker
from tests.fakes.squares import First, Latest, Square, SquareNetwork, Squares

NETWORK = SquareNetwork()
TWO = {"latest": Tracker(NETWORK, Latest()), "first": Tracker(NETWORK, First())}
VIDEOS = Squares(tuple(Square(f"video{index}", 8, index % 3) for index in range(6)))
PATIENCE = 60.0
"""Seconds, after which something that should happen is taken not to."""


def table(comparison: Comparison) -> list[object]:
    return [(run.name, name, repr(v.scores)) for run in comparison.runs for name, v in run.videos.items()]


def wait_until(happened: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def owners(folder: Path) -> set[int]:
    """Process ids of all locks."""
    texts = []
    for lock in folder.rglob("*.lock"):
        try:
            texts.append(lock.read_text())
        except FileNotFoundError:
            continue
    return {json.loads(text)["pid"] for text in texts if text}


@dataclass
class Waits(ProgressListener):
    """On its first frame, until something happened that only another process can do."""

    happened: Callable[[], object]
    tracked: list[str] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)

    def frame(self, sequence: str, index: int, length: int) -> None:
        if not self.tracked:
            wait_until(self.happened)
        if index == 0:
            self.tracked.append(sequence)

    def sequence(self, sequence: str, failure: str | None) -> None:
        self.counted.append(sequence)


def test_another_process_does_its_part(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    listener = Waits(lambda: len(list(tmp_path.rglob("*.json.gz"))) >= 4)
    comparison = evaluate(TWO, VIDEOS, tmp_path, listener=listener, workers=2)
    assert sorted(listener.counted) == [video.name for video in VIDEOS.videos]
    assert 1 <= len(listener.tracked) <= 4  # the other one finished two before this one went on
    assert table(comparison) == table(evaluate(TWO, VIDEOS, tmp_path / "alone"))
    assert not list(tmp_path.rglob("*.lock")) and torch.get_num_threads() == threads


def test_a_process_that_is_killed_is_not_missed(tmp_path: Path) -> None:
    def killed() -> bool:
        others = owners(tmp_path) - {os.getpid()}
        for other in others:
            os.kill(other, signal.SIGKILL)
        return bool(others)

    comparison = evaluate(TWO, VIDEOS, tmp_path, listener=Waits(killed), workers=2)
    assert table(comparison) == table(evaluate(TWO, VIDEOS, tmp_path / "alone"))


def test_what_fails_in_another_process_ends_this_one(tmp_path: Path) -> None:
    broken = {"broken": Tracker(NETWORK, Latest(fails_on=1))}
    with pytest.raises(InputError, match="broken fails on video"):
        evaluate(broken, VIDEOS, tmp_path, workers=2)
    wait_until(lambda: not any(_lives(pid) for pid in owners(tmp_path) - {os.getpid()}))


@dataclass(frozen=True)
class Locked(Squares):
    lock: object = field(default_factory=threading.Lock, compare=False)


def test_what_cannot_be_handed_over_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"workers=2 hands work to other processes, and .*: give workers=1"):
        evaluate(TWO, Locked(), tmp_path, workers=2)
    assert not list(tmp_path.rglob("*.json.gz"))


SCRIPT = """
import sys, time
from pathlib import Path
from framework.evaluation.evaluate import evaluate
from framework.evaluation.sequence import ProgressListener
from tests.unit.evaluation.test_workers import TWO, VIDEOS

class Stays(ProgressListener):
    def frame(self, sequence, index, length):
        time.sleep(3600)

evaluate(TWO, VIDEOS, Path(sys.argv[1]), listener=Stays(), workers=2)
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_first_one_and_what_they_did_is_kept(tmp_path: Path, sent: signal.Signals) -> None:
    root = str(Path(__file__).parents[3])
    reset = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # of a shell's background job
    first = subprocess.Popen(
        [sys.executable, "-c", reset + SCRIPT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": root},
        stderr=subprocess.DEVNULL,
    )
    others: set[int] = set()

    def at_work() -> bool:
        others.update(owners(tmp_path) - {first.pid})
        return bool(others) and len(list(tmp_path.rglob("*.json.gz"))) >= 2

    wait_until(at_work)
    first.send_signal(sent)
    first.wait(PATIENCE)
    wait_until(lambda: not any(map(_lives, others)))
    finished = len(list(tmp_path.rglob("*.json.gz")))
    comparison = evaluate(TWO, VIDEOS, tmp_path)
    assert finished >= 2 and table(comparison) == table(evaluate(TWO, VIDEOS, tmp_path / "alone"))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("workers", "tasks", "number"), [(1, 9, 1), (4, 3, 3), (2, 0, 1), (3, 9, 3)])
def test_no_more_than_there_is_to_do(workers: int, tasks: int, number: int) -> None:
    assert number_of(workers, tasks) == number


def test_as_many_as_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.evaluation.workers.cpu_count", lambda: 5)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert number_of("auto", 9) == 5
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert number_of("auto", 9) == 2
    with pytest.raises(InputError, match="workers=0 must be 1 or more, or auto"):
        number_of(0, 9)
