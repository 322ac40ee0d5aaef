"""The memory bank most policies keep: conditioning memories apart from recent ones, and the reads made of it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from framework.types import ANCHOR, Entry, Query, Read, Reason, Scores

T = TypeVar("T")
SLOTS = 6
"""Temporal slots of a SAM2 memory beside the anchors."""
POINTERS = 15
"""Object pointers of tracked frames that SAM2 reads at most."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Remembered observations of one object."""

    anchors: tuple[Entry, ...] = ()
    """Conditioning memories, in the order of prompting."""
    recent: tuple[Entry, ...] = ()
    """Tracked frames, oldest first; older ones may be pointers only."""

    def anchor(self, entry: Entry) -> "Bank":
        """With one more conditioning memory; a newer one of the same frame replaces the older, and the tracked one."""
        anchors = tuple(known for known in self.anchors if known.frame != entry.frame)
        recent = tuple(known for known in self.recent if known.frame != entry.frame)
        return Bank((*anchors, entry), recent)

    def keep(self, recent: Sequence[Entry]) -> "Bank":
        """With other recent memories."""
        return replace(self, recent=tuple(recent))

    def entries(self) -> tuple[Entry, ...]:
        """Everything held."""
        return (*self.anchors, *self.recent)


def span(query: Query, pointers: int = POINTERS) -> int:
    """How far back SAM2 reads pointers, by which it divides their distances: min(video length, 16) - 1."""
    return pointers if query.length is None else min(max(query.length - 1, 1), pointers)


def seen_span(query: Query, pointers: int = POINTERS) -> int:
    """The same where the video is taken to end with the current frame, as published online wrappers do."""
    return min(max(query.frame, 1), pointers)


def at_anchor(anchors: Sequence[Entry]) -> tuple[tuple[Entry, int], ...]:
    """Anchors at their slot."""
    return tuple((entry, ANCHOR) for entry in anchors)


def by_rank(recent: Sequence[Entry]) -> tuple[tuple[Entry, int], ...]:
    """Recent memories, oldest first, at slots that count ranks: the newest is 0."""
    return tuple((entry, len(recent) - 1 - rank) for rank, entry in enumerate(recent))


def pointers_of_anchors(anchors: Sequence[Entry], query: Query) -> tuple[tuple[Entry, int], ...]:
    """Pointers of conditioning memories that are not in the future."""
    return tuple((entry, query.frame - entry.frame) for entry in anchors if entry.frame <= query.frame)


def pointers_by_age(recent: Sequence[Entry], query: Query, reach: int) -> tuple[tuple[Entry, int], ...]:
    """Pointers of frames at most `reach` ago, newest first, with their true distance."""
    return tuple(
        (entry, query.frame - entry.frame) for entry in reversed(recent) if 1 <= query.frame - entry.frame <= reach
    )


def pointers_by_rank(recent: Sequence[Entry], query: Query, reach: int) -> tuple[tuple[Entry, int], ...]:
    """Pointers of the last `reach` memories, newest first, with their rank as distance, whatever their frames."""
    return tuple((entry, rank) for rank, entry in enumerate(reversed(last(recent, reach)), start=1))


def read_bank(
    bank: Bank,
    spatial: Sequence[tuple[Entry, int]],
    query: Query,
    pointers: int = POINTERS,
    distances: Callable[[Sequence[Entry], Query, int], tuple[tuple[Entry, int], ...]] = pointers_by_age,
) -> Read:
    """The bank's anchors and `spatial` memories (entry, slot); pointers of both its parts, at most `pointers` back.

    Pointers of recent entries are read at the distance that `distances` gives them.
    """
    reach = span(query, pointers)
    return Read(
        spatial=(*at_anchor(bank.anchors), *spatial),
        pointers=(*pointers_of_anchors(bank.anchors, query), *distances(bank.recent, query, reach)),
        pointer_span=reach,
    )


def passes(scores: Scores, min_iou: float, min_presence: float, min_motion: float | None) -> bool:
    """Whether mask, object score and, where it was asked and spoke, the motion model are above their thresholds."""
    moved_well = min_motion is None or scores.motion is None or scores.motion > min_motion
    return scores.iou > min_iou and scores.presence > min_presence and moved_well


def passing(scores: Scores, min_iou: float, min_presence: float, min_motion: float | None) -> list[Reason]:
    """What `passes` goes by."""
    asked = [("predicted IoU", scores.iou, min_iou), ("object score", scores.presence, min_presence)]
    if min_motion is not None and scores.motion is not None:
        asked.append(("agreement with the motion model", scores.motion, min_motion))
    return [Reason("trust", name, value, ">", threshold) for name, value, threshold in asked]


def spaced(recent: Sequence[Entry], stride: int, count: int) -> list[Entry]:
    """At most `count` from the newest back, newest first, each more than `stride` frames before the one it follows."""
    found: list[Entry] = []
    for entry in reversed(recent):
        if len(found) < count and (not found or entry.frame < found[-1].frame - stride):
            found.append(entry)
    return found


def last(recent: Sequence[T], count: int) -> Sequence[T]:
    """The last `count`, which may be 0."""
    return recent[max(len(recent) - count, 0) :]


def keep_pointers(recent: Sequence[Entry], spatial: int, pointers: int) -> tuple[Entry, ...]:
    """The last `pointers` entries, of which the last `spatial` keep their spatial memory."""
    kept = last(recent, max(spatial, pointers))
    whole = len(kept) - spatial
    return tuple(
        entry.pointer_only() if index < whole and entry.features is not None else entry
        for index, entry in enumerate(kept)
    )


def pointers_only_except(entries: Sequence[Entry], whole: Collection[Entry], oldest: int) -> tuple[Entry, ...]:
    """Entries in `whole` as they are, others from frame `oldest` on for their pointer alone."""
    return tuple(
        entry if entry in whole or entry.features is None else entry.pointer_only()
        for entry in entries
        if entry in whole or entry.frame >= oldest
    )
