"""SAM2's own memory: the prompts and the most recent frames (Ravi et al. 2024, arXiv:2408.00714, section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read, Reason
from policies.components.anchors import closest_first
from policies.components.bank import POINTERS, SLOTS, Bank, read_bank


@dataclass(frozen=True)
class Sam2(MemoryPolicy[Bank]):
    """Reads every prompted frame as an anchor and frames t-1 ... t-`slots` at slots by their true distance.

    With `stride` r > 1 the slots after the first hold frames that are multiples of r. `max_anchors` limits the anchors
    read to the closest before, the closest after and then the nearest; the others count as ordinary frames. None: as
    many as the network reads by itself, which is all for SAM 2 and four for SAM 3.
    Frames on which the object is absent are kept, and leave their slot to no one else.
    """

    slots: int = SLOTS
    stride: int = 1
    pointers: int = POINTERS
    max_anchors: int | None = None

    def __post_init__(self) -> None:
        few = self.max_anchors is not None and self.max_anchors < 2
        if self.slots < 0 or self.stride < 1 or self.pointers < 0 or few:
            raise ValueError("sam2 needs slots >= 0, stride >= 1, pointers >= 0 and max_anchors >= 2 or null")

    def init(self) -> Bank:
        return Bank()

    def read(self, state: Bank, query: Query) -> Read:
        anchors = state.anchors
        most = query.max_anchors if self.max_anchors is None else self.max_anchors
        if most is not None:
            anchors = tuple(closest_first(anchors, query.frame, most))
        others = sorted((*(a for a in state.anchors if a not in anchors), *state.recent), key=lambda e: e.frame)
        at = {entry.frame: entry for entry in others}
        slots = [(at[frame], slot) for slot, frame in enumerate(self._frames(query.frame)) if frame in at]
        return read_bank(Bank(anchors, tuple(others)), slots[::-1], query, self.pointers)

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        if entry.scores.prompted:
            return state.anchor(entry)
        now = entry.frame
        within = [old for old in state.recent if now - old.frame < self._reach]
        readable = {frame for ahead in range(1, self.stride + 1) for frame in self._frames(now + ahead)}
        kept = (old if old.frame in readable else old.pointer_only() for old in within)
        return state.keep((*kept, entry))

    def entries(self, state: Bank) -> Sequence[Entry]:
        return state.entries()

    def explain(self, state: Bank, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        ages = ((old.frame, entry.frame - old.frame) for old in state.recent[:1])
        return [Reason("keep", "age of the oldest", age, "<", self._reach, frame) for frame, age in ages]

    @property
    def _reach(self) -> int:
        """Frames after which one is forgotten."""
        return max(self.pointers, self.stride * self.slots)

    def _frames(self, now: int) -> list[int]:
        """Frames wanted at slots 0, 1, ..."""
        last = (now - 2) // self.stride * self.stride
        return [now - 1, *(last - back * self.stride for back in range(self.slots - 1))][: self.slots]
