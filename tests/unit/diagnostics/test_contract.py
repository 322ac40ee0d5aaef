"""The contract refuses what breaks it, and says which clause and how."""

from dataclasses import dataclass, field, replace

import pytest

from framework.defaults import Greedy, NoMotion
from framework.diagnostics.contract import MOTION, POLICY, SELECTOR, ContractError, check_contract, clauses_of
from framework.errors import InputError, PlugInFault
from framework.interfaces import MemoryPolicy
from framework.types import ANCHOR, Cue, Read
from motion.constant_velocity import ConstantVelocity
from policies.skip_absent import SkipAbsent


@dataclass(frozen=True)
class Hoarding(SkipAbsent):
    def write(self, state, entry, outcome):
        return state.keep((*state.recent, entry)) if not entry.scores.prompted else state.anchor(entry)


@dataclass(frozen=True)
class Beyond(SkipAbsent):
    def read(self, state, query):
        return Read(tuple((entry, 7) for entry in state.anchors))


@dataclass(frozen=True)
class Twice(SkipAbsent):
    def read(self, state, query):
        return Read(tuple((replace(entry), ANCHOR) for entry in (*state.anchors, *state.anchors)))


@dataclass(frozen=True)
class Secretive(SkipAbsent):
    def entries(self, state):
        return state.anchors


@dataclass(frozen=True)
class Shared(SkipAbsent):
    frames: list = field(default_factory=list)

    def keeps(self, entry, outcome):
        self.frames.append(entry.frame)
        return len(self.frames) % 3 > 0


@dataclass
class Thawed(MemoryPolicy):
    def init(self):
        return ()

    def read(self, state, query):
        return Read()

    def write(self, state, entry, outcome):
        return ()

    def entries(self, state):
        return ()


@dataclass(frozen=True)
class InPlace(MemoryPolicy):
    def init(self):
        return []

    def read(self, state, query):
        return Read(tuple((entry, ANCHOR) for entry in state))

    def write(self, state, entry, outcome):
        state[:] = [entry]
        return state

    def entries(self, state):
        return tuple(state)


@dataclass(frozen=True)
class Looking(SkipAbsent):
    """Uses what an outcome always has."""

    def keeps(self, entry, outcome):
        return bool(outcome.embedding.norm() > 0) and outcome.embedding.shape == (8, 4, 4)


@dataclass(frozen=True)
class Wild(NoMotion):
    def score(self, state, features, candidates):
        return state, Cue((0.5, 1.5, 0.5), 0.2)


@dataclass(frozen=True)
class Silent(ConstantVelocity):
    def score(self, state, features, candidates):
        return super().score(state, features, candidates)[0], None


@dataclass(frozen=True)
class Wide(Greedy):
    def select(self, totals, candidates, cues):
        return [replace(super().select(totals[:1], candidates[:1], cues[:1])[0], mask=3)]


BROKEN = {
    Hoarding: "^it holds 2000 entries: 128 at most$",
    Beyond: r"^read on frame 1: slots \[7\]; 0..5 or ANCHOR$",
    Twice: r"^read on frame 1: spatial of frames \[0, 0\]; give each once$",
    Secretive: r"^frame 2 reads \[1\], which `entries` did not give$",
    Shared: "^it does not do the same twice over 120 frames$",
    Thawed: r"^its class can be changed: write @dataclass\(frozen=True\)$",
    InPlace: "^a state of frame 49 does not go on as the video did$",
    Wild: r"^cue of frame 1: agreements \(0.5, 1.5, 0.5, 0.5, 1.5, 0.5\); 0 to 1$",
    Silent: "^it abstains on every frame of a target in plain view$",
    Wide: "^picks of frame 1: mask 3 of 3$",
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_what_breaks_it_is_refused(kind):
    with pytest.raises(ContractError, match=BROKEN[kind]):
        check_contract(kind())


def test_what_holds_is_told():
    assert check_contract(Looking()) == list(POLICY)
    assert check_contract(ConstantVelocity()) == list(MOTION) and check_contract(NoMotion()) == list(MOTION)
    assert check_contract(Greedy()) == list(SELECTOR)


def test_a_plug_in_that_fails_says_where():
    @dataclass(frozen=True)
    class Failing(SkipAbsent):
        def keeps(self, entry, outcome):
            raise KeyError("x")

    with pytest.raises(KeyError) as raised:
        check_contract(Failing())
    assert PlugInFault.of(raised.value).startswith("Failing.write, ") and ", frame 1, " in PlugInFault.of(raised.value)


def test_nothing_else_has_a_contract():
    with pytest.raises(InputError, match=r"^int is no MemoryPolicy, MotionModel or Selector: give one of these$"):
        clauses_of(3)
