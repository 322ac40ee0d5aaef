"""SAM 3's memory: the most recent frames that were good enough, and always the last one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read, Reason
from policies.components.anchors import closest_first
from policies.components.bank import POINTERS, SLOTS, Bank, at_anchor, keep_pointers, last, pointers_of_anchors, span
from policies.components.gates import visible_iou


@dataclass(frozen=True, slots=True)
class Sam3State:
    """`bank` holds the prompts and, oldest first, the tracked frames whose score is above the threshold."""

    bank: Bank = Bank()
    newest: Entry | None = None
    """Last tracked frame, whatever its score."""


@dataclass(frozen=True)
class Sam3(MemoryPolicy[Sam3State]):
    """Memory selection of SAM 3's tracker (Carion et al., 2025, arXiv:2511.16719) as its released code has it.

    A list of frames is read: back from t-1 in steps of `stride` those whose `visible_iou` is above `threshold`,
    `pointers` at most, and in any case t-1 itself, whatever its score. The last `slots` of them are spatial memories;
    slots and pointer distances count ranks in the list. Of the prompts at most `max_anchors` are read: the closest
    before, the closest after and then the nearest.

    Published with ``quirks=True``: the pointer of the oldest frame of the list is never read; a prompt on t-1 takes
    the first rank, where nothing is read; and frame 0 is read as t-1 only, which `first_frame` decides by itself.

    Every object has a list of its own, which is SAM3-DMS (arXiv:2601.09699). Released, objects that were prompted on
    one frame share a list made from the means of their two factors: another rule, under which what is read for one
    object depends on the others. For one object all three are the same.
    """

    slots: int = SLOTS
    pointers: int = POINTERS
    stride: int = 1
    max_anchors: int = 4
    threshold: float = 0.01
    quirks: bool = False
    first_frame: bool | None = None
    """Whether a tracked frame 0 is listed after frame 1; None: unless `quirks`."""

    def __post_init__(self) -> None:
        if self.slots < 0 or self.stride < 1 or self.pointers < 0 or self.max_anchors < 2:
            raise ValueError("sam3 needs slots >= 0, stride >= 1, pointers >= 0 and max_anchors >= 2")

    def init(self) -> Sam3State:
        return Sam3State()

    def read(self, state: Sam3State, query: Query) -> Read:
        anchors = closest_first(state.bank.anchors, query.frame, self.max_anchors)
        listed = self.listed(state, query)
        ranks = list(enumerate(reversed(listed)))
        reach = min(span(query, self.pointers), len(listed) - 1 if self.quirks else len(listed))
        spatial = [(entry, rank) for rank, entry in ranks[: self.slots] if entry is not None]
        pointers = ((entry, rank + 1) for rank, entry in ranks[: max(reach, 0)] if entry is not None)
        return Read(
            spatial=(*at_anchor(anchors), *reversed(spatial)),
            pointers=(*pointers_of_anchors(anchors, query), *pointers),
            pointer_span=span(query, self.pointers),
        )

    def listed(self, state: Sam3State, query: Query) -> list[Entry | None]:
        """Frames of the list, oldest first; None stands for a frame t-1 that was not tracked."""
        before = query.frame - 1
        good = [entry for entry in state.bank.recent if entry.frame <= before]
        good = [entry for entry in good if (before - entry.frame) % self.stride == 0]
        found: list[Entry | None] = [*last(good, span(query, self.pointers))]
        if good and good[-1].frame == before:
            return found
        if state.newest is not None and state.newest.frame == before:
            return [*found, state.newest]
        return [*found, None] if self.quirks and before >= 0 else found

    def write(self, state: Sam3State, entry: Entry, outcome: Outcome) -> Sam3State:
        if entry.scores.prompted:
            superseded = state.newest is not None and state.newest.frame == entry.frame
            return Sam3State(state.bank.anchor(entry), None if superseded else state.newest)
        listable = entry.frame > 0 or (not self.quirks if self.first_frame is None else self.first_frame)
        if not listable or visible_iou(outcome) <= self.threshold:
            return replace(state, newest=entry)
        step, known = entry.frame % self.stride, (*state.bank.recent, entry)
        together = keep_pointers([e for e in known if e.frame % self.stride == step], self.slots, self.pointers)
        others = [e for e in known if e.frame % self.stride != step]
        return Sam3State(state.bank.keep(sorted([*others, *together], key=lambda e: e.frame)), entry)

    def entries(self, state: Sam3State) -> Sequence[Entry]:
        held = state.bank.entries()
        return held if state.newest is None or state.newest in held else (*held, state.newest)

    def explain(self, state: Sam3State, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return [Reason("list", "presence times best predicted IoU", visible_iou(outcome), ">", self.threshold)]
