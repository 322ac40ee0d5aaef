"""DAM4SAM's memory: a recent part for accuracy, and anchors taken where the target was told from a distractor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from framework.interfaces import MemoryPolicy
from framework.types import Entry, FrameNumber, Outcome, Query, Read, Reason, all_hold
from policies.components.anchors import latest_first, without_outdated
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
from policies.components.distractor_tests import BoxTest, Hypotheses
from policies.components.mask_sizes import remembered


@dataclass(frozen=True, slots=True)
class DamState:
    """Anchors are the prompts and the distractor-resolving memories; `sizes` are in video pixels."""

    bank: Bank = Bank()
    sizes: tuple[int, ...] = ()
    admitted: FrameNumber | None = None
    """Frame of the last distractor-resolving memory."""
    reasons: tuple[Reason, ...] = ()
    """For or against admitting the last frame."""


@dataclass(frozen=True)
class Dam4Sam(MemoryPolicy[DamState]):
    """Distractor-aware memory (Videnovic et al., CVPR 2025, arXiv:2411.17576, section 3). Every part can be varied.

    Recent appearance memory: the last frame and, before it, frames whose number is a multiple of `interval`, all of
    them with the target in view (`visible_only`), at slots that count ranks; without `last`, multiples only.

    Distractor resolving memory: `anchors` anchors, the first prompt included (1 switches it off). A frame is admitted,
    encoded as if its mask were a prompt and read from the frame after next on, if the last admission is more than `gap`
    frames ago and it passes `BoxTest` of `min_iou`, `size_change` and `max_overlap`, whose search for a distractor is
    the paper's `introspection`.

    `memories` are read in all. The paper's ablations: ``anchors=1`` is RAM only; ``interval=1 visible_only=false`` is
    DRM beside SAM2's own recent memory; ``introspection=false`` or ``min_iou=0 size_change=inf`` admit without that
    part of the test.

    Published with ``quirks=True``: pointer distances are divided by the frames seen so far rather than by the length
    of the video, so positions shift during the first 15 frames.
    """

    memories: int = SLOTS + 1
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
        if self.memories < 1 or self.pointers < 0 or self.interval < 1 or self.anchors < 1:
            raise ValueError("dam4sam needs memories >= 1, pointers >= 0, interval >= 1 and anchors >= 1")

    @property
    def slots(self) -> int:
        return self.memories - 1

    def init(self) -> DamState:
        return DamState()

    def read(self, state: DamState, query: Query) -> Read:
        now, bank = query.frame, state.bank
        anchors = latest_first(bank.anchors, now, self.anchors)
        waiting = [anchor for anchor in bank.anchors if anchor not in anchors]
        whole = [entry for entry in bank.recent if entry.features is not None]
        newest = [*whole, *(anchor for anchor in waiting if anchor.frame == now - 1)][-1:] if self.last else []
        spaced = [e for e in whole if e.frame % self.interval == 0 and (not newest or e.frame < newest[0].frame)]
        recent = last([*spaced, *newest], max(self.memories - len(anchors), 0))
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
        hypotheses = Hypotheses.as_shown(outcome)
        sizes, now = remembered(state.sizes, hypotheses.area), entry.frame
        reasons = tuple(self._judge(state, outcome, hypotheses, sizes))
        if all_hold(reasons):
            bank = without_outdated(state.bank.anchor(entry.encode_as_prompt()), now, self.anchors)
            return DamState(bank, sizes, now, reasons)
        bank = without_outdated(state.bank, now, self.anchors)
        known = (*bank.recent, entry) if entry.scores.area > 0 or not self.visible_only else bank.recent
        whole = [old for old in known if old.features is not None]
        spaced = last([old for old in whole if old.frame % self.interval == 0], self.memories)
        recent = pointers_only_except(known, {*spaced, *whole[-1:]}, now - self.pointers + 1)
        return DamState(bank.keep(recent), sizes, state.admitted, reasons)

    def entries(self, state: DamState) -> Sequence[Entry]:
        return state.bank.entries()

    def explain(self, state: DamState, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        if not self.visible_only or (state.reasons and all_hold(state.reasons)):
            return state.reasons
        return [*state.reasons, Reason("remember", "cells of the mask", entry.scores.area, ">", 0)]

    def _judge(
        self, state: DamState, outcome: Outcome, hypotheses: Hypotheses, sizes: Sequence[int]
    ) -> Sequence[Reason]:
        """The frame becomes an anchor if all of these hold."""
        asked = [Reason("anchor", "anchors", self.anchors, ">", 1)]
        if state.admitted is not None:
            asked.append(Reason("anchor", "frames since the last one", outcome.frame - state.admitted, ">", self.gap))
        if not all_hold(asked):
            return asked
        test = BoxTest(self.min_iou, self.size_change, self.max_overlap)
        judged = test.judge(outcome, hypotheses, sizes) if self.introspection else test.reliable(outcome, sizes)
        return [*asked[1:], *judged]
