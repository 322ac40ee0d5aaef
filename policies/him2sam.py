"""HiM2SAM's memory: long-term frames on which the target was told from a distractor, and spaced short-term ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read, Reason, all_hold
from policies.components.bank import (
    POINTERS,
    SLOTS,
    Bank,
    at_anchor,
    last,
    passes,
    passing,
    pointers_by_age,
    pointers_of_anchors,
    pointers_only_except,
    seen_span,
    spaced,
    span,
)
from policies.components.distractor_tests import ContourTest, DistractorTest, Hypotheses
from policies.components.mask_sizes import remembered


@dataclass(frozen=True, slots=True)
class HimState:
    """`sizes` are in pixels of the network's input."""

    bank: Bank = Bank()
    long: tuple[Entry, ...] = ()
    sizes: tuple[int, ...] = ()
    reasons: tuple[Reason, ...] = ()
    """For or against taking the last frame into long-term memory."""


@dataclass(frozen=True)
class Him2Sam(MemoryPolicy[HimState]):
    """Long- and short-term memory (Chen et al., 2025, arXiv:2507.07603, section 3.3); see `motion.hierarchical`.

    Long-term: the last `long` frames that `distractor_test` admitted (None admits none), at least `interval` frames
    apart, read as anchors.
    Short-term fills the rest of `slots`: back from t-1, frames more than `stride` apart with predicted IoU above
    `min_iou`, object score above `min_presence` and, where the motion model spoke, agreement above `min_motion` (None
    does not ask).

    Corrected here and published with ``quirks=True``:

    * short-term slots run backwards: the oldest frame is read as the newest; here the newest has slot 0;
    * pointers and their distances count from the newest short-term frame (or the newest long-term one), so what is
      newer is never read; here from the current frame;
    * `min_motion` is not asked, since motion scores are not kept;
    * when streaming, pointer distances are divided by the frames seen so far.

    Other published defects are options of the parts: most published files name a test that does not exist
    (``distractor_test: null``), box overlap counts all non-zero logits, and the file for LaSOT and base+ has another
    bank (`policies.samurai.Samurai`, delayed).
    """

    distractor_test: DistractorTest | None = ContourTest()
    slots: int = SLOTS
    pointers: int = POINTERS
    long: int = 1
    interval: int = 5
    stride: int = 2
    min_iou: float = 0.5
    min_presence: float = 0.0
    min_motion: float | None = 0.0
    quirks: bool = False

    def __post_init__(self) -> None:
        if min(self.slots, self.pointers, self.stride) < 0 or self.interval < 1 or not 0 <= self.long <= self.slots:
            raise ValueError("him2sam needs slots, pointers, stride >= 0, interval >= 1 and 0 <= long <= slots")

    def init(self) -> HimState:
        return HimState()

    def read(self, state: HimState, query: Query) -> Read:
        short, bank = self._short(state), state.bank
        slots = range(len(short) - 1, -1, -1) if self.quirks else range(len(short))
        online = self.quirks and query.length is None
        reach = (seen_span if online else span)(query, self.pointers)
        newest = [*state.long, *short[:1]][-1:] if self.quirks else []
        base = replace(query, frame=newest[0].frame) if newest else query
        return Read(
            spatial=(*at_anchor(bank.anchors), *zip(short, slots, strict=True), *at_anchor(state.long)),
            pointers=(*pointers_of_anchors(bank.anchors, base), *pointers_by_age(bank.recent, base, reach)),
            pointer_span=reach,
        )

    def write(self, state: HimState, entry: Entry, outcome: Outcome) -> HimState:
        if entry.scores.prompted:
            return replace(state, bank=state.bank.anchor(entry))
        sizes, reasons = self._judge(state, entry, outcome)
        long = tuple(last((*state.long, entry), self.long)) if reasons and all_hold(reasons) else state.long
        known = (*state.bank.recent, entry)
        trusted = self._trusted(known)
        readable = {*last(trusted, (self.slots - 1) * (self.stride + 1) + 1 + self.long)}
        bases = [entry.frame + 1]
        if self.quirks:
            bases += [base.frame for base in (*last(trusted, self.long + 1), *long)]
        near = {old for old in known for base in bases if 1 <= base - old.frame <= self.pointers}
        kept = [old for old in known if old in readable or old in near]
        return HimState(state.bank.keep(pointers_only_except(kept, readable, oldest=0)), long, sizes, reasons)

    def entries(self, state: HimState) -> Sequence[Entry]:
        return tuple(dict.fromkeys((*state.bank.entries(), *state.long)))

    def explain(self, state: HimState, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return [*state.reasons, *passing(entry.scores, *self._asked)]

    @property
    def _asked(self) -> tuple[float, float, float | None]:
        return self.min_iou, self.min_presence, None if self.quirks else self.min_motion

    def _trusted(self, entries: Sequence[Entry]) -> list[Entry]:
        asked = self._asked
        return [entry for entry in entries if entry.features is not None and passes(entry.scores, *asked)]

    def _short(self, state: HimState) -> list[Entry]:
        """Short-term frames, newest first."""
        known = [entry for entry in self._trusted(state.bank.recent) if entry not in state.long]
        return spaced(known, self.stride, self.slots - len(state.long))

    def _judge(self, state: HimState, entry: Entry, outcome: Outcome) -> tuple[tuple[int, ...], tuple[Reason, ...]]:
        """Sizes with this frame's, and what must hold for it to enter long-term memory; nothing without a test."""
        if self.distractor_test is None:
            return state.sizes, ()
        hypotheses = Hypotheses.as_predicted(outcome)
        sizes, gaps = remembered(state.sizes, hypotheses.area), (entry.frame - old.frame for old in state.long[-1:])
        due = [Reason("anchor", "frames since the last one", gap, ">=", self.interval) for gap in gaps]
        return sizes, (*due, *(self.distractor_test.judge(outcome, hypotheses, sizes) if all_hold(due) else ()))
