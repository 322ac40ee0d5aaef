"""What policies say they decided by is what they decided by."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra

from framework.config.checks import build
from framework.diagnostics.synthetic import FRAMES, SyntheticNetwork, Video, tracked
from framework.interfaces import MemoryPolicy
from framework.tracker import Tracker
from framework.types import ANCHOR, Entry, MemoryUse, Outcome, Read, Reason, Scores, all_hold
from policies.dam4sam import Dam4Sam
from policies.every_nth import EveryNth
from policies.evict_oldest import EvictOldest
from policies.expected_iou import ExpectedIou, expected_iou
from policies.gated import Gated
from policies.him2sam import Him2Sam
from policies.learned_write_gate import LearnedWriteGate
from policies.prompt_bias import PromptBias
from policies.random import Random
from policies.rmem import RMem
from policies.sam2 import Sam2
from policies.sam2long import Sam2Long
from policies.sam3 import Sam3
from policies.samurai import Samurai
from policies.skip_absent import SkipAbsent
from policies.spread import Spread
from policies.surgical_sam2 import SurgicalSam2

NAMES = sorted(path.stem for path in (Path(__file__).parents[3] / "conf/policy").glob("*.yaml"))
SILENT = {"keep_first", "no_memory", "oracle_gate", "oracle_masks"}
"""What decides nothing, and what decides by the truth."""
VIDEO = Video(0, FRAMES, lost=14, found=18)


def live(policy: MemoryPolicy) -> dict[int, MemoryUse]:
    """By tracked frame; the target is out of view on frames 14 to 17."""
    frames = tracked(Tracker(SyntheticNetwork(VIDEO), policy), {1})
    return {frame: tracks[1].memory for frame, tracks in enumerate(frames) if frame}


def those(use: MemoryUse, decision: str) -> list[Reason]:
    return [reason for reason in use.reasons if reason.decision == decision]


@pytest.mark.parametrize(
    "policy",
    [
        SkipAbsent(),
        Spread(),
        EveryNth(),
        ExpectedIou(),
        EvictOldest(),
        Random(slots=3),
        LearnedWriteGate(threshold=0.0),
    ],
    ids=lambda policy: type(policy).__name__,
)
def test_a_frame_is_remembered_where_all_numbers_speak_for_it(policy: MemoryPolicy) -> None:
    found = live(policy)
    verdicts = {frame: all_hold(those(use, "remember")) for frame, use in found.items()}
    assert all(those(use, "remember") for use in found.values())
    assert verdicts == {frame: frame in use.held for frame, use in found.items()}
    assert len(set(verdicts.values())) == 2, "some frames are remembered and some are not"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SILENT])
def test_every_published_and_learned_policy_names_its_numbers(name: str) -> None:
    GlobalHydra.instance().clear()
    with initialize_config_module(config_module="conf", version_base="1.3"):
        policy = build(compose("evaluate", overrides=[f"policy={name}"]).policy)
    reasons = [reason for use in live(policy).values() for reason in use.reasons]
    assert reasons and all(reason.decision and reason.name for reason in reasons)


def test_the_numbers_are_those_of_the_frame() -> None:
    frames = tracked(Tracker(SyntheticNetwork(VIDEO), ExpectedIou(threshold=0.6)), {1})
    for frame, tracks in enumerate(frames[1:], 1):
        entry = Entry(frame, torch.zeros(1), None, tracks[1].scores)
        want = Reason("remember", "expected IoU", expected_iou(entry), ">", 0.6)
        assert tracks[1].memory.reasons == (want,)
    assert frames[0][1].memory.reasons == (), "a prompt is not decided on"


def test_a_frame_becomes_an_anchor_of_dam4sam_where_all_numbers_speak_for_it() -> None:
    found = live(Dam4Sam(max_overlap=1.0, gap=3))
    admitted = [frame for frame, use in found.items() if all_hold(those(use, "anchor"))]
    anchors = {frame for use in found.values() for frame, slot in use.spatial if slot == ANCHOR}
    assert admitted and {*admitted, 0} >= anchors > {0} and {frame for frame in admitted if frame < 20} <= anchors
    gaps = [reason for use in found.values() for reason in those(use, "anchor") if "since" in reason.name]
    assert gaps[0].value == 1 and {reason.threshold for reason in gaps} == {3}
    overlaps = [reason for frame in admitted for reason in those(found[frame], "anchor") if "box" in reason.name]
    assert len(overlaps) == len(admitted) and all(0 < reason.value <= reason.threshold == 1.0 for reason in overlaps)
    away = those(found[14], "remember")
    assert away == [Reason("remember", "cells of the mask", 0, ">", 0)] and 14 not in found[14].held


def test_him2sam_says_why_a_frame_is_long_term_and_whether_it_is_trusted() -> None:
    found = live(Him2Sam())
    assert [reason.name for reason in those(found[1], "trust")] == ["predicted IoU", "object score"]
    assert not all_hold(those(found[14], "trust")) and not all_hold(those(found[14], "anchor"))
    assert all(those(use, "anchor") for use in found.values())
    assert not those(live(Him2Sam(distractor_test=None))[1], "anchor")


@pytest.mark.parametrize("policy", [Samurai(), Sam2Long(), Gated()], ids=lambda policy: type(policy).__name__)
def test_what_is_trusted_is_read_later(policy: MemoryPolicy) -> None:
    found = live(policy)
    read = {frame for use in [found[22], found[23]] for frame, slot in use.spatial if slot != ANCHOR}
    trusted = [frame for frame, use in found.items() if all_hold(those(use, "trust"))]
    assert read - {21, 22} == set(trusted[-8:]) & read - {21, 22} and not {14, 15, 16, 17} & {*trusted}


def test_sam2_and_sam3_say_their_rule() -> None:
    found = live(Sam2(slots=2, pointers=4))
    for frame, use in found.items():
        oldest = min(use.held[1:])
        assert use.reasons == (Reason("keep", "age of the oldest", frame - oldest, "<", 4, oldest),)
    assert [all_hold(use.reasons) for f, use in live(Sam3()).items() if f in (13, 14, 18)] == [True, False, True]


def test_rmem_forgets_the_memory_with_the_lowest_bound() -> None:
    found = live(RMem(slots=4))
    evictions = 0
    for frame, use in found.items():
        lowest = [reason.frame for reason in use.reasons if reason.holds]
        if use.reasons:
            evictions += 1
            read = {index for index, slot in use.spatial if slot != ANCHOR}
            now = {index for index, slot in found[frame + 1].spatial if slot != ANCHOR} if frame < 23 else None
            assert len(use.reasons) == 4 and len(lowest) == 1 and (now is None or read - now == {*lowest})
            assert sum(use.attention) == pytest.approx(1) and len(use.attention) == len(use.spatial) + len(use.pointers)
    assert evictions == 19


def test_surgical_sam2_prunes_what_is_most_like_the_newest() -> None:
    found = live(SurgicalSam2())
    for frame, use in found.items():
        pruned = [reason.frame for reason in use.reasons if reason.holds]
        between = [*range(max(frame - 5, 1), frame + 1)][1:-1]  # of the last six, less the oldest and the newest
        assert [reason.frame for reason in use.reasons] == between
        if frame < 23:
            read = {index for index, slot in found[frame + 1].spatial if slot != ANCHOR}
            assert len(pruned) == min(2, len(use.reasons)) and read.isdisjoint(pruned)
            assert read | {*pruned} == {*range(max(frame - 5, 1), frame + 1)}


def test_a_rule_that_was_replaced_is_not_told_as_another() -> None:
    @dataclass(frozen=True)
    class Never(SkipAbsent):
        def keeps(self, entry: Entry, outcome: Outcome) -> bool:
            return False

    assert all(not use.reasons for use in live(Never()).values())


def test_weights_are_recorded_by_item_and_survive_json() -> None:
    found = live(PromptBias(bias=-2.0))
    assert found[3].bias == (-2.0, 0.0, 0.0, -2.0, 0.0, 0.0) and found[3].gain == ()
    assert found[3].reasons == live(SkipAbsent())[3].reasons
    unread = live(PromptBias(bias=-float("inf")))[3]
    assert unread.bias == (None, 0.0, 0.0, None, 0.0, 0.0)
    assert len(live(Sam2Long())[5].gain) == 10


def test_a_bound_at_infinity_is_left_out() -> None:
    scores = Scores(0.5, 1.0, None, 3, False)
    entry = Entry(4, torch.zeros(1), None, scores)
    bounds = [Reason("anchor", "size", 1.0, "<=", threshold) for threshold in (float("inf"), 1.5)]
    assert MemoryUse.after(Read(), [entry], None, bounds).reasons == (bounds[1],)


@pytest.mark.parametrize(
    ("relation", "held"), [(">", "001"), (">=", "011"), ("<", "100"), ("<=", "110"), ("==", "010")]
)
def test_relations(relation: str, held: str) -> None:
    assert "".join(str(int(Reason("", "", value, relation, 2).holds)) for value in (1, 2, 3)) == held  # type: ignore[arg-type]
