"""SAMURAI's memory: the most recent frames that mask, object score and motion all vouch for."""

from collections.abc import Sequence
from dataclasses import dataclass

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read
from policies.components.bank import (
    POINTERS,
    SLOTS,
    Bank,
    at_anchor,
    by_rank,
    last,
    passes,
    pointers_by_age,
    pointers_of_anchors,
    pointers_only_except,
    span,
)


@dataclass(frozen=True)
class Samurai(MemoryPolicy[Bank]):
    """Motion-aware memory selection (Yang et al., 2024, arXiv:2411.11922, section 4.2).

    Reads the prompts and the last `slots` frames with predicted IoU above `min_iou`, object score above `min_presence`
    (a logit) and, where the motion model spoke, agreement above `min_motion` (None does not ask); frame t-1 is always
    among them. Slots count ranks. Pointers are those of the last frames, unselected. To be used with
    `motion.kalman.Kalman` and a presence threshold of -1.

    Published with ``quirks=True``: frame 1 is never selected, and is read as t-1 only.
    """

    slots: int = SLOTS
    pointers: int = POINTERS
    min_iou: float = 0.5
    min_presence: float = 0.0
    min_motion: float | None = 0.0
    quirks: bool = False

    def __post_init__(self) -> None:
        if self.slots < 0 or self.pointers < 0:
            raise ValueError("samurai needs slots >= 0 and pointers >= 0")

    def init(self) -> Bank:
        return Bank()

    def read(self, state: Bank, query: Query) -> Read:
        reach = span(query, self.pointers)
        return Read(
            spatial=(*at_anchor(state.anchors), *by_rank(self.recent(state, query))),
            pointers=(
                *pointers_of_anchors(state.anchors, query),
                *pointers_by_age(state.recent, query, reach),
            ),
            pointer_span=reach,
        )

    def recent(self, state: Bank, query: Query) -> Sequence[Entry]:
        """Frames to read beside the prompts, oldest first."""
        trusted = self.trusted(state.recent)
        newest = [entry for entry in state.recent[-1:] if entry.frame == query.frame - 1 and entry not in trusted]
        return last([*trusted, *newest], self.slots)

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        if entry.scores.prompted:
            return state.anchor(entry)
        known = (*state.recent, entry)
        readable = {*last(self.trusted(known), self.held), entry}
        return state.keep(pointers_only_except(known, readable, entry.frame - self.pointers + 1))

    def entries(self, state: Bank) -> Sequence[Entry]:
        return state.entries()

    def trusts(self, entry: Entry) -> bool:
        """Whether the frame may stay in memory when it is no longer the last one."""
        late = not self.quirks or entry.frame >= 2
        return late and passes(entry.scores, self.min_iou, self.min_presence, self.min_motion)

    def trusted(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those that are trusted and still have their spatial memory."""
        return [entry for entry in entries if entry.features is not None and self.trusts(entry)]

    @property
    def held(self) -> int:
        """Trusted frames to keep whole."""
        return self.slots
