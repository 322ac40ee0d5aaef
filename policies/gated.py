"""A family of memories: which frames are candidates, how many, which of them are read, and where."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read, Reason
from policies.components.anchors import closest_first
from policies.components.bank import (
    POINTERS,
    SLOTS,
    Bank,
    by_rank,
    last,
    pointers_by_age,
    pointers_by_rank,
    pointers_only_except,
    read_bank,
)
from policies.components.gates import Gate, Thresholds
from policies.components.rankings import Candidate, Ranking
from policies.components.shots import Histogram, colours, distance


@dataclass(frozen=True, slots=True)
class GatedState:
    """`bank` holds the prompts and, as pointers, the last frames."""

    bank: Bank = Bank()
    candidates: tuple[Candidate, ...] = ()
    """Oldest first."""
    newest: Candidate | None = None
    """Last tracked frame, a candidate or not."""
    prompt: Candidate | None = None
    """The first one."""
    colours: Histogram | None = None
    """Of the last frame."""
    new_shot: bool = False
    """No frame of this shot is a candidate yet."""


@dataclass(frozen=True)
class Gated(MemoryPolicy[GatedState]):
    """Reads the prompts and at most `slots` candidates, each choice of which is an option.

    The last `candidates` frames that `gate` admits are candidates, and with `last` frame t-1 is one in any case. Of
    these the newest are read or, with `best_by`, the newest one and of the others those that it ranks highest, in the
    order of time. Slots count ranks or, with `slots_by_age`, frames. Pointers are those of the last frames or, with
    `pointers_of_candidates`, of the last candidates, whose distances count ranks.

    With `shot_change` the gate is asked until it has admitted one frame of each shot: a shot begins where the colour
    histogram is further than that from the last frame's (SeC's trigger, arXiv:2507.15852, at .35).

    As it is by default it is SAMURAI's memory; with ``gate=VisibleIou() pointers_of_candidates=true max_anchors=4`` SAM
    3's, with the gate at ``min_iou=.1 min_motion=null`` and those pointers SAM2Long's but for its gain. `policy=samite`
    and `policy=samosa` are others. `max_anchors` is as in `policies.sam2.Sam2`, but anchors that are left out are not
    read at all.
    """

    gate: Gate = Thresholds()
    best_by: Ranking | None = None
    slots: int = SLOTS
    pointers: int = POINTERS
    candidates: int = 15
    last: bool = True
    slots_by_age: bool = False
    pointers_of_candidates: bool = False
    max_anchors: int | None = None
    shot_change: float | None = None

    def __post_init__(self) -> None:
        few = self.max_anchors is not None and self.max_anchors < 2
        if self.slots < 0 or self.pointers < 0 or self.candidates < self.slots or few:
            raise ValueError("gated needs slots >= 0, pointers >= 0, candidates >= slots and max_anchors >= 2 or null")
        if self.shot_change is not None and not 0 <= self.shot_change <= 1:
            raise ValueError("gated needs shot_change between 0 and 1, or null")

    def init(self) -> GatedState:
        return GatedState()

    def read(self, state: GatedState, query: Query) -> Read:
        listed = list(state.candidates)
        if self.last and state.newest is not None and state.newest.entry.frame == query.frame - 1:
            listed += [state.newest] if state.newest not in listed else []
        if self.slots_by_age:
            listed = [each for each in listed if query.frame - each.entry.frame <= self.slots]
        read = [candidate.entry for candidate in self._chosen(listed, state.prompt)]
        slotted = [(entry, query.frame - 1 - entry.frame) for entry in read] if self.slots_by_age else by_rank(read)
        most = query.max_anchors if self.max_anchors is None else self.max_anchors
        anchors = state.bank.anchors if most is None else closest_first(state.bank.anchors, query.frame, most)
        if not self.pointers_of_candidates:
            return read_bank(Bank(tuple(anchors), state.bank.recent), slotted, query, self.pointers, pointers_by_age)
        listed_bank = Bank(tuple(anchors), tuple(candidate.entry for candidate in listed))
        return read_bank(listed_bank, slotted, query, self.pointers, pointers_by_rank)

    def write(self, state: GatedState, entry: Entry, outcome: Outcome) -> GatedState:
        seen = Candidate(entry, None if self.best_by is None else self.best_by.look(outcome))
        state = self._watched(state, outcome)
        if entry.scores.prompted:
            others = tuple(candidate for candidate in state.candidates if candidate.entry.frame != entry.frame)
            newest = None if state.newest is None or state.newest.entry.frame == entry.frame else state.newest
            bank, prompt = state.bank.anchor(entry), state.prompt or seen
            return replace(state, bank=bank, candidates=others, newest=newest, prompt=prompt, new_shot=False)
        recent = pointers_only_except((*state.bank.recent, entry), (), entry.frame - self.pointers + 1)
        state = replace(state, bank=state.bank.keep(recent), newest=seen)
        if (self.shot_change is not None and not state.new_shot) or not self.gate.admits(entry, outcome):
            return state
        return replace(state, candidates=self._kept((*state.candidates, seen)), new_shot=False)

    def entries(self, state: GatedState) -> Sequence[Entry]:
        candidates = [candidate.entry for candidate in state.candidates]
        newest = [] if state.newest is None or state.newest in state.candidates else [state.newest.entry]
        return (*state.bank.entries(), *candidates, *newest)

    def explain(self, state: GatedState, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return self.gate.explain(entry, outcome)

    def _chosen(self, listed: Sequence[Candidate], prompt: Candidate | None) -> Sequence[Candidate]:
        """Those that are read, oldest first."""
        if self.best_by is None or len(listed) <= self.slots:
            return last(listed, self.slots)
        *others, newest = listed
        values = self.best_by.values(others, newest, prompt)
        best = sorted(range(len(others)), key=lambda index: -values[index])[: max(self.slots - 1, 0)]
        return last([*(others[index] for index in sorted(best)), newest], self.slots)

    def _kept(self, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """The last ones; without a ranking those that will not be read again leave their pointer."""
        kept = last(candidates, self.candidates)
        if self.best_by is not None:
            return tuple(kept)
        old = [
            c if c.entry.features is None else replace(c, entry=c.entry.pointer_only())
            for c in kept[: -self.slots or None]
        ]
        return (*old, *last(kept, self.slots))

    def _watched(self, state: GatedState, outcome: Outcome) -> GatedState:
        """With the colours of this frame, and whether they are those of another shot."""
        if self.shot_change is None or outcome.features is None:
            return state
        now = colours(outcome.features)
        changed = state.colours is not None and distance(state.colours, now) > self.shot_change
        return replace(state, colours=now, new_shot=state.new_shot or changed)
