"""Where a plug-in raised an exception is said in the words of its own file."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from framework.errors import PlugInFault, reason
from framework.tracker import Tracker, lockstep
from framework.types import ANCHOR, Entry, Frame, Prompt, Read, Scores
from tests.fakes.squares import Latest, SquareNetwork, Squares

MINE = """
from dataclasses import dataclass, replace

from framework.defaults import Greedy, NoMotion
from framework.interfaces import Wrapped
from policies.skip_absent import SkipAbsent


@dataclass(frozen=True)
class Sure(SkipAbsent):
    def keeps(self, entry, outcome):
        return {}["x"]  # here: write


@dataclass(frozen=True)
class Far(SkipAbsent):
    def read(self, state, query):  # here: read
        read = super().read(state, query)
        return replace(read, spatial=tuple((entry, 99) for entry, _ in read.spatial))


@dataclass(frozen=True)
class Around(Wrapped):
    pass


@dataclass(frozen=True)
class Scoring(NoMotion):
    def score(self, state, features, candidates):
        raise KeyError("y")  # here: score


@dataclass(frozen=True)
class Updating(NoMotion):
    def update(self, state, features, outcome):
        return 1 / 0  # here: update


@dataclass(frozen=True)
class Selecting(Greedy):
    def select(self, totals, candidates, cues):
        return totals[5]  # here: select
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE)
    spec = importlib.util.spec_from_file_location("mine", tmp_path / "mine.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mine", module)
    spec.loader.exec_module(module)
    return module


def fault(tracker):
    """What an exception of a plug-in says where two objects are tracked."""
    video = Squares().videos[0]
    prompt = Prompt(mask=video.mask(0))
    frames = [Frame(video.frame(t), {7: prompt, 9: prompt} if t == 0 else {}) for t in range(4)]
    with pytest.raises(Exception) as raised:
        list(lockstep({"other": Tracker(tracker.network, Latest()), "it": tracker}, frames))
    return raised.value


def line(method):
    return 1 + next(at for at, text in enumerate(MINE.splitlines()) if text.endswith(f"# here: {method}"))


NETWORK = SquareNetwork()
CASES = {
    "a method of its own, called by what it extends": (
        lambda mine: Tracker(NETWORK, mine.Sure()),
        "KeyError: 'x' (Sure.write, mine.py:{write}, frame 1, object 7)",
    ),
    "a slot that the network has not": (
        lambda mine: Tracker(NETWORK, mine.Far()),
        "ValueError: the memory of frame 0 is read at slot 99; 0..15 or ANCHOR (Far.read, mine.py:{read}, frame 1, "
        "object 7)",
    ),
    "inside another": (
        lambda mine: Tracker(NETWORK, mine.Around(mine.Sure())),
        "KeyError: 'x' (Around.write, mine.py:{write}, frame 1, object 7)",
    ),
    "a motion model that scores": (
        lambda mine: Tracker(NETWORK, Latest(), mine.Scoring()),
        "KeyError: 'y' (Scoring.score, mine.py:{score}, frame 1, object 7)",
    ),
    "a motion model that updates": (
        lambda mine: Tracker(NETWORK, Latest(), mine.Updating()),
        "ZeroDivisionError: division by zero (Updating.update, mine.py:{update}, frame 0, object 7)",
    ),
    "a selector": (
        lambda mine: Tracker(NETWORK, Latest(), selector=mine.Selecting()),
        "IndexError: list index out of range (Selecting.select, mine.py:{select}, frame 1, object 7)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_exception_of_a_plug_in_says_where(case, mine):
    make, told = CASES[case]
    tracker = make(mine)
    error = fault(tracker)
    assert reason(error) == told.format(**{name: line(name) for name in ("write", "read", "score", "update", "select")})
    assert PlugInFault.of(error).plug_in in (tracker.policy, tracker.motion, tracker.selector)


def test_a_file_elsewhere_is_named_in_full(mine, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert f"({type(mine.Sure()).__name__}.write, {tmp_path}/mine.py:" in reason(fault(Tracker(NETWORK, mine.Sure())))


def test_any_other_exception_has_no_such_place():
    assert PlugInFault.of(ValueError("x")) is None and reason(ValueError("a\n b")) == "ValueError: a b"


ENTRY = Entry(3, torch.zeros(4), "memory", Scores(1.0, 1.0, None, 4, prompted=False))


def test_a_read_gives_each_entry_once_and_whole():
    again = replace(ENTRY)  # another one of the same frame
    assert Read(spatial=((ENTRY, ANCHOR), (again, 0)), pointers=((ENTRY, 1), (again, 2)))
    with pytest.raises(ValueError, match=r"^a read has an entry twice in spatial, which are of frames \[3, 3\]: give"):
        Read(spatial=((ENTRY, ANCHOR), (ENTRY, 0)))
    with pytest.raises(ValueError, match=r"^a read has an entry twice in pointers, "):
        Read(pointers=((ENTRY, 1), (ENTRY, 2)))
    with pytest.raises(ValueError, match=r"^the entry of frame 3 was kept for its pointer only: it has no memory$"):
        Read(spatial=((ENTRY.pointer_only(), 0),))
