"""SAMURAI's memory: the most recent frames that mask, object score and motion model all trust."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read, Reason
from policies.components.bank import (
    POINTERS,
    SLOTS,
    Bank,
    by_rank,
    last,
    passes,
    passing,
    pointers_only_except,
    read_bank,
)


@dataclass(frozen=True)
class Samurai(MemoryPolicy[Bank]):
    """Motion-aware memory selection (Yang et al., 2024, arXiv:2411.11922, section 4.2).

    Reads the prompts and the last `slots` frames with predicted IoU above `min_iou`, object score above `min_presence`
    (a logit) and, where the motion model spoke, agreement above `min_motion` (None does not ask); frame t-1 is always
    among them. Slots count ranks. Pointers are those of the last frames, unselected. To be used with
    `motion.kalman.Kalman` and a presence threshold of -1.

    Published with ``quirks=True``: frame 1 is never selected, and is read as t-1 only. HiM2SAM's file for LaSOT and
    base+ has this bank with ``delayed=True``: from frame 3 on, frame t-1 is not read.
    """

    slots: int = SLOTS
    pointers: int = POINTERS
    min_iou: float = 0.5
    min_presence: float = 0.0
    min_motion: float | None = 0.0
    quirks: bool = False
    delayed: bool = False

    def __post_init__(self) -> None:
        if self.slots < 0 or self.pointers < 0:
            raise ValueError("samurai needs slots >= 0 and pointers >= 0")

    def init(self) -> Bank:
        return Bank()

    def read(self, state: Bank, query: Query) -> Read:
        newest = query.frame - 1
        if self.delayed and query.frame > 2:
            recent = self._trusted(entry for entry in state.recent if entry.frame < newest)
        else:
            trusted = self._trusted(state.recent)
            recent = [*trusted, *(e for e in state.recent[-1:] if e.frame == newest and e not in trusted)]
        return read_bank(state, by_rank(last(recent, self.slots)), query, self.pointers)

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        if entry.scores.prompted:
            return state.anchor(entry)
        known = (*state.recent, entry)
        readable = {*last(self._trusted(known), self.slots + self.delayed), entry}
        return state.keep(pointers_only_except(known, readable, entry.frame - self.pointers + 1))

    def entries(self, state: Bank) -> Sequence[Entry]:
        return state.entries()

    def explain(self, state: Bank, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        first = [Reason("trust", "frame", entry.frame, ">=", 2)] if self.quirks else []
        return [*first, *passing(entry.scores, self.min_iou, self.min_presence, self.min_motion)]

    def _trusted(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those that are read even when they are no longer the last one, and still have their spatial memory."""
        first = 2 if self.quirks else 0
        asked = self.min_iou, self.min_presence, self.min_motion
        whole = (entry for entry in entries if entry.features is not None)
        return [entry for entry in whole if entry.frame >= first and passes(entry.scores, *asked)]
