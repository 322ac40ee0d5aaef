"""SAM2Long's memory: frames that scored well, weighted by how surely the object was seen on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read, Reason
from policies.components.bank import (
    POINTERS,
    SLOTS,
    Bank,
    at_anchor,
    by_rank,
    last,
    passing,
    pointers_by_rank,
    pointers_of_anchors,
    pointers_only_except,
    span,
)


@dataclass(frozen=True)
class Sam2Long(MemoryPolicy[Bank]):
    """Object-aware memory of one pathway (Ding et al., 2024, arXiv:2410.16268, section 3.3), for `sam2long_beam`.

    Reads the prompts and the last `slots` frames with predicted IoU above `min_iou` and a positive object score;
    frame t-1 is always among them. Slots and pointer distances count ranks in that list. Keys of memories and, apart
    from them, of pointers are scaled by `low` ... `high` in the order of their object scores; a prompt counts as
    `anchor_presence`.

    Published with ``quirks=True``: the pointer of the oldest of the frames is never read.
    """

    slots: int = SLOTS
    pointers: int = POINTERS
    min_iou: float = 0.1
    low: float = 0.95
    high: float = 1.05
    anchor_presence: float = 10.0
    quirks: bool = False

    def __post_init__(self) -> None:
        if self.slots < 0 or self.pointers < 0:
            raise ValueError("sam2long needs slots >= 0 and pointers >= 0")

    def init(self) -> Bank:
        return Bank()

    def read(self, state: Bank, query: Query) -> Read:
        recent = self._listed(state, query)
        spatial = (*at_anchor(state.anchors), *by_rank(last(recent, self.slots)))
        reach = min(self.pointers, len(recent) - 1 if self.quirks else len(recent))
        pointers = (*pointers_of_anchors(state.anchors, query), *pointers_by_rank(recent, query, reach))
        gain = None
        if len(spatial) > 1:
            gain = torch.cat([self._gain([entry for entry, _ in items]) for items in (spatial, pointers)])
        return Read(spatial, pointers, span(query, self.pointers), gain)

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        if entry.scores.prompted:
            return state.anchor(entry)
        trusted = [known for known in (*state.recent, entry) if self._trusts(known)]
        held = last(trusted, max(self.slots, self.pointers))
        newest = () if self._trusts(entry) and held else (entry,)
        return state.keep(pointers_only_except((*held, *newest), {*last(trusted, self.slots), entry}, oldest=0))

    def entries(self, state: Bank) -> Sequence[Entry]:
        return state.entries()

    def explain(self, state: Bank, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return passing(entry.scores, self.min_iou, 0.0, None)

    def _listed(self, state: Bank, query: Query) -> list[Entry]:
        """Trusted frames and the last one, oldest first."""
        last = query.frame - 1
        return [entry for entry in state.recent if self._trusts(entry) or entry.frame == last]

    def _trusts(self, entry: Entry) -> bool:
        return entry.scores.iou > self.min_iou and entry.scores.presence > 0

    def _gain(self, entries: Sequence[Entry]) -> Float[Tensor, " n"]:
        """Weights by rank of the object score, the surest entry the largest."""
        presence = [self.anchor_presence if e.scores.prompted else e.scores.presence for e in entries]
        order = sorted(range(len(entries)), key=presence.__getitem__)
        return torch.linspace(self.low, self.high, len(entries))[[order.index(i) for i in range(len(entries))]]
