"""Recent frames and older ones spread over the video: more memories than SAM2 reads, for a gate to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.types import Entry, Outcome, Query, Read
from policies.components.bank import Bank, at_anchor, last, pointers_only_except
from policies.skip_absent import SkipAbsent


@dataclass(frozen=True)
class Spread(SkipAbsent):
    """Beside the prompts and the last `slots` frames on which the object was seen, up to `older` frames before those.

    A frame that leaves the recent ones is kept when it is `interval` frames or more after the last one that was kept.
    Of too many, the one goes whose neighbours are closest in the ratio of their ages: what stays is dense lately and
    sparse long ago, however long the video. Older frames are read as anchors, since the network knows six slots.
    With ``older=0`` this is `SkipAbsent`.
    """

    presence: float = 1.0
    older: int = 5
    interval: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.older < 0 or self.interval < 1:
            raise ValueError("spread needs older >= 0 and interval >= 1")

    def read(self, state: Bank, query: Query) -> Read:
        read, prompts = super().read(state, query), len(state.anchors)
        older = at_anchor([entry for entry in self._left(state.recent) if entry.features is not None])
        return replace(read, spatial=(*read.spatial[:prompts], *older, *read.spatial[prompts:]))

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        if entry.scores.prompted:
            return state.anchor(entry)
        if not self.keeps(entry, outcome):
            return state
        seen = (*state.recent, entry)
        older = self._thinned([e for e in self._left(seen) if e.features is not None], entry.frame)
        oldest = min((pointed.frame for pointed in last(seen, self.pointers)), default=entry.frame)
        return state.keep(pointers_only_except(seen, {*last(seen, self.slots), *older}, oldest))

    def _left(self, seen: Sequence[Entry]) -> Sequence[Entry]:
        """Frames that are no longer among the recent ones."""
        return seen[: max(len(seen) - self.slots, 0)]

    def _thinned(self, left: Sequence[Entry], now: int) -> Sequence[Entry]:
        """At most `older` of the frames kept so far and the one that has just left the recent ones, oldest first."""
        if len(left) > 1 and left[-1].frame - left[-2].frame < self.interval:
            left = left[:-1]
        if len(left) <= self.older:
            return left
        age = [now - entry.frame for entry in left]
        worst = min(range(1, len(left) - 1), key=lambda i: age[i - 1] / age[i + 1], default=0)
        return (*left[:worst], *left[worst + 1 :])
