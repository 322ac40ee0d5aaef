"""The files a new plug-in begins with."""

from collections.abc import Mapping
from pathlib import Path

KINDS: Mapping[str, str] = {"policy": "policies", "motion": "motion"}
"""Kind -> package of this project's own."""

POLICY = '''"""Remembers the last frames on which the object was surely seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.interfaces import MemoryPolicy
from framework.types import ANCHOR, Entry, Outcome, Query, Read


@dataclass(frozen=True, slots=True)
class {name}Memory:
    """What is remembered of one object in one video. Make a new one instead of changing it."""

    prompts: tuple[Entry, ...] = ()
    recent: tuple[Entry, ...] = ()
    """Oldest first."""


@dataclass(frozen=True)
class {name}(MemoryPolicy[{name}Memory]):
    """Reads every prompt as an anchor and the last `count` frames whose predicted IoU was above `iou` (0..1)."""

    count: int = 6
    iou: float = 0.5

    @property
    def slots(self) -> int:
        return self.count

    def init(self) -> {name}Memory:
        return {name}Memory()

    def read(self, state: {name}Memory, query: Query) -> Read:
        anchors = [entry for entry in state.prompts if entry.frame < query.frame]
        newest_first = state.recent[::-1]
        spatial = [(entry, ANCHOR) for entry in anchors] + [(entry, slot) for slot, entry in enumerate(newest_first)]
        pointers = [(entry, query.frame - entry.frame) for entry in (*anchors, *newest_first)]
        return Read(tuple(spatial), tuple(pointers))

    def write(self, state: {name}Memory, entry: Entry, outcome: Outcome) -> {name}Memory:
        if entry.scores.prompted:
            return replace(state, prompts=(*(old for old in state.prompts if old.frame != entry.frame), entry))
        if entry.scores.presence <= 0 or entry.scores.iou <= self.iou:
            return state
        kept = (*state.recent, entry)
        return replace(state, recent=kept[max(len(kept) - self.count, 0) :])

    def entries(self, state: {name}Memory) -> Sequence[Entry]:
        return (*state.prompts, *state.recent)
'''
MOTION = '''"""The object is where its mask was last seen."""

from dataclasses import dataclass

from torch import Tensor

from framework.interfaces import MotionModel
from framework.types import Candidates, Cue, Features, Outcome


@dataclass(frozen=True)
class {name}(MotionModel[Tensor | None]):
    """Agreement is the IoU with the last mask; the state is that mask, bool [h w] on the mask-logit grid."""

    weight: float = 0.15

    def init(self) -> Tensor | None:
        return None

    def score(
        self, state: Tensor | None, features: Features, candidates: Candidates
    ) -> tuple[Tensor | None, Cue | None]:
        if state is None:
            return state, None
        masks = candidates.logits[0].detach() > 0
        both, either = ((masks & state).sum((1, 2)), (masks | state).sum((1, 2)))
        return state, Cue(tuple((both / either.clamp_min(1)).tolist()), self.weight)

    def update(self, state: Tensor | None, features: Features, outcome: Outcome) -> Tensor | None:
        mask = outcome.logits.detach() > 0
        return mask if mask.any() else state
'''
OPTIONS = {"policy": "count: 6\niou: 0.5\n", "motion": "weight: 0.15\n"}
TEST = '''"""{name} gives what every plug-in owes."""

import pytest

from engram import clauses_of
from {module} import {name}


@pytest.mark.parametrize("clause", clauses_of({name}()))
def test_contract(clause):
    clauses_of({name}())[clause]({name}())
'''


def plug_in_files(kind: str, name: str, package: str, tests: str) -> dict[Path, str]:
    """Path -> text of the files of `name`, in lower case with underscores: its code, its options and its test."""
    title = "".join(part.capitalize() for part in name.split("_"))
    code = {"policy": POLICY, "motion": MOTION}[kind].replace("{name}", title)
    module = f"{package}.{name}"
    return {
        Path(package, f"{name}.py"): code,
        Path("conf", kind, f"{name}.yaml"): f"_target_: {module}.{title}\n{OPTIONS[kind]}",
        Path(tests, f"test_{name}.py"): TEST.replace("{name}", title).replace("{module}", module),
    }
