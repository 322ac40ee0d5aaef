"""DAM4SAM's memory: a recent part for accuracy, and anchors taken when a distractor was told apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.interfaces import MemoryPolicy
from framework.types import Entry, Outcome, Query, Read
from policies.components.bank import (
    POINTERS,
    SLOTS,
    Bank,
    at_anchor,
    by_rank,
    last,
    pointers_by_age,
    pointers_only_except,
    seen_span,
    span,
)
from policies.components.mask_sizes import hypotheses, relative_size, remembered
from policies.components.regions import box_test, distractor_regions, foreground


@dataclass(frozen=True, slots=True)
class DamState:
    """Anchors are the prompts and the distractor-resolving memories; `sizes` are in video pixels."""

    bank: Bank = Bank()
    sizes: tuple[int, ...] = ()
    admitted: int | None = None
    """Frame of the last distractor-resolving memory."""


@dataclass(frozen=True)
class Dam4Sam(MemoryPolicy[DamState]):
    """Distractor-aware memory (Videnovic et al., CVPR 2025, arXiv:2411.17576, section 3). Every part can be varied.

    Recent appearance memory: the last frame and, before it, frames whose number is a multiple of `interval`, all of
    them with the target in view (`visible_only`), at slots that count ranks; without `last`, multiples only.

    Distractor resolving memory: `anchors` anchors, the first prompt included (1 switches it off). A frame is admitted,
    encoded as if its mask were a prompt and read from the frame after next on, if

    * tracking is reliable: predicted IoU above `min_iou`, size within `size_change` of the typical size;
    * the last admission is more than `gap` frames ago;
    * a rival was near (`introspection`): the box around the chosen mask and the largest region that another hypothesis
      adds has an IoU of at most `max_overlap` with the chosen mask's own box.

    ``slots`` memories are read in all. The paper's ablations: ``anchors=1`` is RAM only; ``interval=1
    visible_only=false`` is DRM beside SAM2's own recent memory; ``introspection=false`` or ``min_iou=0
    size_change=inf`` admit without that test.

    Published with ``quirks=True``: pointer distances are divided by the frames seen so far rather than by the length
    of the video, so positions shift during the first 15 frames.
    """

    slots: int = SLOTS + 1
    pointers: int = POINTERS
    interval: int = 5
    visible_only: bool = True
    last: bool = True
    anchors: int = 4
    introspection: bool = True
    min_iou: float = 0.8
    size_change: float = 0.2
    gap: int = 5
    max_overlap: float = 0.7
    quirks: bool = False

    def __post_init__(self) -> None:
        if self.slots < 1 or self.pointers < 0 or self.interval < 1 or self.anchors < 1:
            raise ValueError("dam4sam needs slots >= 1, pointers >= 0, interval >= 1 and anchors >= 1")

    def init(self) -> DamState:
        return DamState()

    def read(self, state: DamState, query: Query) -> Read:
        now, bank = query.frame, state.bank
        anchors = self._anchors(bank.anchors, now)
        waiting = [anchor for anchor in bank.anchors if anchor not in anchors]
        recent = self._recent(bank.recent, [a for a in waiting if a.frame == now - 1], self.slots - len(anchors))
        reach = (seen_span if self.quirks else span)(query, self.pointers)
        others = sorted((*waiting, *bank.recent), key=lambda entry: entry.frame)
        return Read(
            spatial=(*at_anchor(anchors), *by_rank(recent)),
            pointers=(*((a, abs(now - a.frame)) for a in anchors), *pointers_by_age(others, query, reach)),
            pointer_span=reach,
        )

    def write(self, state: DamState, entry: Entry, outcome: Outcome) -> DamState:
        if entry.scores.prompted:
            return replace(state, bank=state.bank.anchor(entry))
        sizes, admit = self._judge(state, entry, outcome)
        if admit:
            return DamState(self._settled(state.bank.anchor(entry.encode_as_prompt()), entry.frame), sizes, entry.frame)
        visible = not self.visible_only or entry.scores.area > 0
        bank = self._with_recent(self._settled(state.bank, entry.frame), entry, visible)
        return replace(state, bank=bank, sizes=sizes)

    def entries(self, state: DamState) -> Sequence[Entry]:
        return state.bank.entries()

    def _anchors(self, anchors: Sequence[Entry], now: int) -> list[Entry]:
        """The latest before, the first prompt and the nearest others; one of the last frame waits for a frame."""
        first, others = anchors[:1], [anchor for anchor in anchors[1:] if anchor.frame != now - 1]
        others.sort(key=lambda anchor: abs(now - anchor.frame))
        others = others[: self.anchors - 1]
        latest = [anchor for anchor in others if anchor.frame < now][:1]
        return [*latest, *first, *(anchor for anchor in others if anchor not in latest)]

    def _recent(self, known: Sequence[Entry], fresh: Sequence[Entry], count: int) -> Sequence[Entry]:
        """Oldest first: the last frame in view (`fresh` is a waiting anchor) after the spaced ones before it."""
        whole = [entry for entry in known if entry.features is not None]
        newest = [*whole, *fresh][-1:] if self.last else []
        spaced = [e for e in whole if e.frame % self.interval == 0 and (not newest or e.frame < newest[0].frame)]
        return last([*spaced, *newest], max(count, 0))

    def _settled(self, bank: Bank, now: int) -> Bank:
        """Without the anchors that are too old ever to be read again; they leave their pointer."""
        past = sorted((anchor for anchor in bank.anchors[1:] if anchor.frame <= now), key=lambda old: old.frame)
        left = past[: max(len(past) - self.anchors, 0)]
        if not left:
            return bank
        recent = (*bank.recent, *(old.pointer_only() for old in left))
        kept = tuple(anchor for anchor in bank.anchors if anchor not in left)
        return Bank(kept, tuple(sorted(recent, key=lambda old: old.frame)))

    def _with_recent(self, bank: Bank, entry: Entry, visible: bool) -> Bank:
        """Keeps the newest frame and the latest spaced ones whole, and the pointers within reach."""
        known = (*bank.recent, entry) if visible else bank.recent
        whole = [old for old in known if old.features is not None]
        spaced = last([old for old in whole if old.frame % self.interval == 0], self.slots)
        return bank.keep(pointers_only_except(known, {*spaced, *whole[-1:]}, entry.frame - self.pointers + 1))

    def _judge(self, state: DamState, entry: Entry, outcome: Outcome) -> tuple[tuple[int, ...], bool]:
        """Sizes with this frame's, and whether the frame becomes an anchor.

        All masks are judged at video size, the chosen one as it is shown.
        """
        logits = hypotheses(outcome)
        if outcome.shown is not None:
            logits = logits.copy()
            logits[outcome.choice] = outcome.shown.detach().float().cpu().numpy()
        chosen = foreground(logits[outcome.choice], outcome.size)
        if chosen is None:
            return remembered(state.sizes, 0), False
        sizes = remembered(state.sizes, chosen.area)
        typical = relative_size(sizes)
        reliable = (
            self.anchors > 1
            and entry.scores.iou > self.min_iou
            and typical is not None
            and 1 - self.size_change <= typical <= 1 + self.size_change
            and (state.admitted is None or entry.frame - state.admitted > self.gap)
        )
        found = distractor_regions(logits, outcome.choice, chosen)
        return sizes, reliable and (not self.introspection or box_test(chosen, found, self.max_overlap))
