"""Which of many conditioning memories are read."""

from collections.abc import Sequence

from framework.types import Entry
from policies.components.bank import Bank


def closest_first(anchors: Sequence[Entry], now: int, count: int) -> Sequence[Entry]:
    """At most `count`, as SAM2 reads them: the closest before `now`, the closest after, then by distance."""
    if len(anchors) <= count:
        return anchors
    before = sorted((anchor for anchor in anchors if anchor.frame < now), key=lambda anchor: -anchor.frame)[:1]
    after = sorted((anchor for anchor in anchors if anchor.frame >= now), key=lambda anchor: anchor.frame)[:1]
    rest = [anchor for anchor in anchors if anchor not in before and anchor not in after]
    rest.sort(key=lambda anchor: abs(anchor.frame - now))
    return [*before, *after, *rest[: count - len(before) - len(after)]]


def latest_first(anchors: Sequence[Entry], now: int, count: int) -> Sequence[Entry]:
    """At most `count`, as DAM4SAM reads them: the latest before `now`, the first prompt, then the nearest others.

    An anchor of the last frame waits for a frame.
    """
    first, others = anchors[:1], [anchor for anchor in anchors[1:] if anchor.frame != now - 1]
    others.sort(key=lambda anchor: abs(now - anchor.frame))
    others = others[: count - 1]
    latest = [anchor for anchor in others if anchor.frame < now][:1]
    return [*latest, *first, *(anchor for anchor in others if anchor not in latest)]


def without_outdated(bank: Bank, now: int, count: int) -> Bank:
    """Without the anchors that are too old for `latest_first` ever to read them again; they leave their pointer."""
    past = sorted((anchor for anchor in bank.anchors[1:] if anchor.frame <= now), key=lambda anchor: anchor.frame)
    outdated = past[: max(len(past) - count, 0)]
    if not outdated:
        return bank
    recent = (*bank.recent, *(anchor.pointer_only() for anchor in outdated))
    kept = tuple(anchor for anchor in bank.anchors if anchor not in outdated)
    return Bank(kept, tuple(sorted(recent, key=lambda entry: entry.frame)))
