"""Published policies and SAM2Long's beam where they can be varied or differ from what was published."""

from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest
import torch

from framework.ops.rle import contour
from framework.types import ANCHOR, Candidates, Cue, Entry, FrameEncoder, Outcome, Query, Read, Scores, upsample
from policies.components.distractor_tests import BoxTest, ContourTest
from policies.components.mask_sizes import HISTORY, relative_size, remembered
from policies.components.regions import foreground
from policies.dam4sam import Dam4Sam
from policies.expected_iou import ExpectedIou
from policies.him2sam import Him2Sam
from policies.rmem import RMem, Tried
from policies.sam2long import Sam2Long
from policies.sam2long_beam import Beam
from policies.samurai import Samurai

GRID, SIZE = 32, (90, 160)
QUERY = Query(0, torch.zeros(1, 1, 1), None)


def rectangle(*boxes):
    logits = torch.full((GRID, GRID), -8.0)
    for x0, y0, x1, y1 in boxes:
        logits[y0:y1, x0:x1] = 8.0
    return logits


TARGET, FAR = (4, 4, 12, 12), (22, 20, 30, 28)
PLAIN = [rectangle(TARGET)] * 3
DISTRACTED = [rectangle(TARGET), rectangle(TARGET, FAR), rectangle(TARGET)]
GONE = [rectangle()] * 3


def live(policy, script, frames, state=None, start=0):
    """Runs frames start ... frames-1; `script(t)` gives (masks, iou, presence, motion). Returns the last state."""
    state = policy.init() if state is None else state
    for t in range(start, frames):
        masks, iou, presence, motion = script(t)
        logits = torch.stack(masks)[None]
        scores = Scores(iou, presence, motion, int((logits[0, 0] > 0).sum()), t == 0)
        ious = torch.tensor([[iou, 0.5, 0.4]])
        candidates = Candidates(logits, ious, torch.zeros(1, 3, 4), torch.tensor([presence]))
        read = policy.read(state, replace(QUERY, frame=t)) if t else Read()
        shares = torch.linspace(1, 2, len(read.spatial) + len(read.pointers)) if policy.measures and t else None
        attention = None if shares is None else shares[:, None, None]
        outcome = Outcome(
            t, candidates, 0, None, scores, SIZE, read=read, attention=attention, embedding=torch.zeros(1, 1, 1)
        )
        encoder = FrameEncoder(lambda t=t: f"again {t}", lambda mask: (torch.zeros(4), "mask"))
        state = policy.write(state, Entry(t, torch.zeros(4), t, scores, encoder), outcome)
    return state


def reads(policy, state, frame):
    read = policy.read(state, replace(QUERY, frame=frame))
    return [(e.frame, slot) for e, slot in read.spatial], [(e.frame, ago) for e, ago in read.pointers]


def plain(t):
    return PLAIN, 0.95, 5.0, None


def distracted(t):
    return (DISTRACTED if t == 13 else PLAIN), 0.95, 5.0, None


def flickering(t):
    """Out of view on frames 14 to 18."""
    return (GONE, 0.3, -5.0, None) if 14 <= t <= 18 else (PLAIN, 0.95, 5.0, None)


# ------------------------------------------------------------------------------------------------------- DAM4SAM


def test_dam_reads_the_last_frame_and_spaced_ones():
    state = live(Dam4Sam(), flickering, 23)
    spatial, pointers = reads(Dam4Sam(), state, 23)
    assert spatial == [(0, ANCHOR), (5, 3), (10, 2), (20, 1), (22, 0)]
    assert pointers == [(0, 23)] + [(t, 23 - t) for t in (22, 21, 20, 19, 13, 12, 11, 10, 9, 8)]


def test_dam_promotes_a_frame_with_a_distractor():
    policy = Dam4Sam()
    state = live(policy, distracted, 14)
    assert state.admitted == 13
    assert reads(policy, state, 14)[0] == [(0, ANCHOR), (5, 2), (10, 1), (13, 0)], "waits for a frame"
    state = live(policy, distracted, 15, state, 14)
    assert reads(policy, state, 15)[0] == [(13, ANCHOR), (0, ANCHOR), (5, 2), (10, 1), (14, 0)]
    anchor = next(e for e, slot in policy.read(state, replace(QUERY, frame=15)).spatial if e.frame == 13)
    assert anchor.features == "again 13"


@pytest.mark.parametrize(
    ("changed", "admitted"),
    [
        ({}, 13),
        ({"anchors": 1}, None),
        ({"min_iou": 0.97}, None),
        ({"size_change": -0.1}, None),
        ({"max_overlap": 0.05}, None),
        ({"gap": 30}, 13),
        ({"introspection": False}, 14),
    ],
    ids=str,
)
def test_dam_parts_switch_one_by_one(changed, admitted):
    state = live(Dam4Sam(**changed), distracted, 15)
    assert state.admitted == admitted


def test_dam_without_its_recent_memory_keeps_every_frame():
    policy = Dam4Sam(interval=1, visible_only=False)
    assert reads(policy, live(policy, flickering, 18), 18)[0] == [
        (0, ANCHOR),
        *((t, 17 - t) for t in range(12, 18)),
    ]
    spaced = Dam4Sam(last=False)
    assert reads(spaced, live(spaced, plain, 18), 18)[0] == [(0, ANCHOR), (5, 2), (10, 1), (15, 0)]


def test_dam_reads_the_latest_anchor_first_and_the_nearest_after():
    policy = Dam4Sam()
    state = prompted(policy, 0, 60, 90, 30, 20, 40, 50)
    assert [frame for frame, slot in reads(policy, state, 26)[0] if slot == ANCHOR] == [20, 0, 30, 40]
    assert [frame for frame, slot in reads(policy, state, 10)[0] if slot == ANCHOR] == [0, 20, 30, 40]
    assert [frame for frame, slot in reads(policy, state, 31)[0] if slot == ANCHOR] == [20, 0, 40, 50], "30 waits"


def test_dam_forgets_no_prompt_of_a_later_frame():
    """However many anchors are admitted before it is reached; those behind go."""

    def often(t):
        return (DISTRACTED if t % 6 == 1 else PLAIN), 0.95, 5.0, None

    policy = Dam4Sam()
    state = live(policy, often, 51, prompted(policy, 0, 200, 100), 1)
    assert [anchor.frame for anchor in state.bank.anchors] == [0, 200, 100, 31, 37, 43, 49]
    assert not {7, 13, 19, 25} & {entry.frame for entry in policy.entries(state)}


def prompted(policy, *frames):
    """A state with prompts on these frames."""
    state, scores = policy.init(), Scores(1.0, 10.0, None, 64, True)
    given = Candidates(PLAIN[0][None, None], torch.ones(1, 1), torch.zeros(1, 1, 4), torch.tensor([10.0]))
    for t in frames:
        outcome = Outcome(t, given, 0, None, scores, SIZE, embedding=torch.zeros(1, 1, 1))
        state = policy.write(state, Entry(t, torch.zeros(4), t, scores), outcome)
    return state


def test_dam_measures_the_mask_as_it_is_shown():
    """Holes that the tracker fills count as foreground, and as none of a distractor's."""
    holed = rectangle(TARGET)
    holed[7:9, 7:9] = -8.0
    shown = rectangle(TARGET)
    scores = Scores(0.95, 5.0, None, 64, False)
    masks = torch.stack([holed, shown, holed])[None]
    candidates = Candidates(masks, torch.tensor([[0.95, 0.5, 0.4]]), torch.zeros(1, 3, 4), torch.tensor([5.0]))
    policy, entry = Dam4Sam(), Entry(1, torch.zeros(4), 1, scores)
    for filled, expected in ((shown, shown), (None, holed)):
        outcome = Outcome(1, candidates, 0, None, scores, SIZE, shown=filled, embedding=torch.zeros(1, 1, 1))
        sizes = policy.write(prompted(policy, 0), entry, outcome).sizes
        assert sizes == (int((upsample(expected[None], SIZE) > 0).sum()),)
    assert (candidates.logits[0, 0] == holed).all()


def test_dam_span_follows_the_video_unless_as_published():
    state = live(Dam4Sam(), plain, 5)
    assert Dam4Sam().read(state, replace(QUERY, frame=5)).pointer_span == 15
    assert Dam4Sam(quirks=True).read(state, replace(QUERY, frame=5)).pointer_span == 5


# -------------------------------------------------------------------------------------------- SAMURAI and HiM2SAM


def test_samurai_asks_mask_object_and_motion():
    def script(t):
        faults = {5: (0.4, 5.0, None), 6: (0.9, -0.5, None), 7: (0.9, 5.0, 0.0), 8: (0.9, 5.0, 0.2)}
        return (PLAIN, *faults.get(t, (0.9, 5.0, None)))

    policy = Samurai(slots=4)
    assert reads(policy, live(policy, script, 9), 9)[0] == [(0, ANCHOR), (2, 3), (3, 2), (4, 1), (8, 0)]
    assert reads(policy, live(policy, script, 8), 8)[0] == [(0, ANCHOR), (2, 3), (3, 2), (4, 1), (7, 0)], "t-1 always"
    blind = Samurai(slots=4, min_motion=None)
    assert reads(blind, live(blind, script, 8), 8)[0][-1] == (7, 0)
    assert reads(blind, live(blind, script, 9), 9)[0] == [(0, ANCHOR), (3, 3), (4, 2), (7, 1), (8, 0)]


def test_samurai_selects_frame_1_unless_as_published():
    for quirks, first in ((False, 1), (True, 2)):
        policy = Samurai(quirks=quirks)
        assert reads(policy, live(policy, plain, 5), 5)[0][1][0] == first


def test_him_spaces_the_recent_and_keeps_order():
    state = live(Him2Sam(), plain, 20)
    spatial, pointers = reads(Him2Sam(), state, 20)
    assert spatial == [(0, ANCHOR), (19, 0), (16, 1), (13, 2), (10, 3), (7, 4), (4, 5)]
    assert pointers[:3] == [(0, 20), (19, 1), (18, 2)]
    spatial, pointers = reads(Him2Sam(quirks=True), state, 20)
    assert spatial == [(0, ANCHOR), (19, 5), (16, 4), (13, 3), (10, 2), (7, 1), (4, 0)]
    assert pointers[:3] == [(0, 19), (18, 1), (17, 2)], "counts from frame 19"


@pytest.mark.parametrize("test", [ContourTest(), BoxTest()], ids=lambda test: type(test).__name__)
def test_him_keeps_a_frame_with_a_distractor(test):
    policy = Him2Sam(distractor_test=test)
    state = live(policy, distracted, 20)
    assert [entry.frame for entry in state.long] == [13]
    spatial, _ = reads(policy, state, 20)
    assert spatial[-1] == (13, ANCHOR) and len(spatial) == 7 and 13 not in [frame for frame, _ in spatial[:-1]]
    assert not live(replace(policy, distractor_test=None), distracted, 20).long
    assert not live(replace(policy, distractor_test=replace(test, min_iou=0.96)), distracted, 20).long


def test_him_contour_asks_for_a_clear_lead_and_the_motion_model():
    def script(t, motion=None):
        return (*distracted(t)[:3], motion)

    assert live(Him2Sam(), lambda t: script(t, 0.9), 14).long
    assert not live(Him2Sam(), lambda t: script(t, 0.7), 14).long
    assert not live(Him2Sam(distractor_test=ContourTest(lead=2.0)), script, 14).long


def test_him_asks_the_motion_score_unless_as_published():
    def script(t):
        return PLAIN, 0.9, 5.0, (0.0 if t == 7 else 0.9)

    for changed, newest in (({}, 6), ({"min_motion": None}, 7), ({"quirks": True}, 7)):
        policy = Him2Sam(**changed)
        assert reads(policy, live(policy, script, 8), 8)[0][1][0] == newest


def test_him_streams_as_published_with_the_span_of_the_frames_seen():
    for quirks, length, expected in ((True, None, 5), (True, 100, 15), (False, None, 15)):
        policy = Him2Sam(quirks=quirks)
        read = policy.read(live(policy, plain, 5), replace(QUERY, frame=5, length=length))
        assert read.pointer_span == expected


def test_him_box_overlap_as_published_takes_nearly_every_frame():
    assert not live(Him2Sam(distractor_test=BoxTest()), plain, 10).long
    assert live(Him2Sam(distractor_test=BoxTest(quirks=True)), plain, 10).long


def test_samurai_delayed_leaves_out_the_last_frame():
    policy = Samurai(min_motion=None, quirks=True, delayed=True)
    assert reads(policy, live(policy, plain, 10), 10)[0] == [
        (0, ANCHOR),
        *((t, 8 - t) for t in range(3, 9)),
    ]
    assert reads(policy, live(policy, plain, 2), 2)[0] == [(0, ANCHOR), (1, 0)]


# ------------------------------------------------------------------------------------------------------- SAM2Long


def test_sam2long_weighs_by_object_score():
    def script(t):
        return PLAIN, 0.9, float([0, 3, 20, 1, 2][t]), None

    policy = Sam2Long()
    state = live(policy, script, 5)
    read = policy.read(state, replace(QUERY, frame=5))
    assert [(e.frame, slot) for e, slot in read.spatial] == [(0, ANCHOR), (1, 3), (2, 2), (3, 1), (4, 0)]
    assert [(e.frame, ago) for e, ago in read.pointers] == [(0, 5), (4, 1), (3, 2), (2, 3), (1, 4)]
    assert read.gain[:5].tolist() == pytest.approx([1.025, 1.0, 1.05, 0.95, 0.975])
    assert read.gain[5:].tolist() == pytest.approx([1.025, 0.975, 0.95, 1.05, 1.0])
    published = replace(policy, quirks=True).read(state, replace(QUERY, frame=5))
    assert [e.frame for e, _ in published.pointers] == [0, 4, 3, 2], "never the oldest"
    assert policy.read(live(policy, script, 1), replace(QUERY, frame=1)).gain is None


def row(iou, presence):
    count = len(iou)
    return Candidates(
        torch.zeros(1, count, 2, 2), torch.tensor([iou]), torch.zeros(1, count, 4), torch.tensor([presence])
    )


def picked(picks):
    return [(pick.row, pick.mask) for pick in picks]


def test_beam_starts_as_twins_and_keeps_the_best():
    beam = Beam()
    picks = beam.select([0.0], [row([0.5, 0.9, 0.4], 5.0)], [None])
    assert picked(picks) == [(0, 1)] * 3 and [pick.total for pick in picks] == [0, 0, 0]
    picks = beam.select(
        [-0.1, -0.5, -9.0],
        [row([0.9, 0.2, 0.1], 5.0), row([0.8, 0.7, 0.1], 0.1), row([1.0, 1.0, 1.0], 0.1)],
        [None] * 3,
    )
    assert picked(picks) == [(0, 0), (1, 0), (1, 1)]
    assert picks[0].total == pytest.approx(-0.1 + log(0.9 + 1e-5), abs=1e-6)


def test_beam_stays_different_when_unsure():
    beam, twin = Beam(), row([0.9, 0.899, 0.4], 1.0)
    assert picked(beam.select([0.0, 0.0, 0.0], [twin] * 3, [None] * 3)) == [(0, 0), (0, 2), (1, 0)]
    sure = row([0.9, 0.899, 0.4], 3.0)
    assert picked(beam.select([0.0, 0.0, 0.0], [sure] * 3, [None] * 3)) == [(0, 0), (1, 0), (2, 0)]
    signs = [row([0.9, 0.5, 0.4], 1.0), row([0.9, 0.5, 0.4], -1.0)]
    assert picked(Beam(width=2).select([0.0, 0.0], signs, [None] * 2)) == [(0, 0), (1, 0)], "seen and absent differ"


def test_beam_listens_to_the_motion_model():
    picks = Beam(width=1).select([0.0, 0.0], [row([0.9, 0.8, 0.1], 5.0)] * 2, [None, Cue((0.0, 1.0, 0.0), 0.4)])
    assert picked(picks) == [(0, 0)]
    picks = Beam(width=1).select([0.0], [row([0.9, 0.8, 0.1], 5.0)], [Cue((0.0, 1.0, 0.0), 0.4)])
    assert picked(picks) == [(0, 1)] and picks[0].motion == 1.0


# ------------------------------------------------------------------------------------------------ RMem and expected IoU


def test_rmem_evicts_the_lowest_bound():
    policy = RMem(slots=3)
    state = live(policy, plain, 4)
    assert [memory.entry.frame for memory in state.tried] == [1, 2, 3]
    assert [memory.reads for memory in state.tried] == [2, 1, 0]
    share = 1.2 / (1 + 1.2 + 1.4)  # of what anchor, frame 1 and frame 2 received of six items on frame 3
    assert state.tried[0].mass == pytest.approx(0.8 * 0.2 * (4 / 3) / (1 + 4 / 3) + 0.2 * share)
    after = live(policy, plain, 5, state, 4)
    read = [memory.mass + 1.5 * sqrt(log(6) / (memory.reads + 8)) for memory in measured(policy, state)]
    gone = {1, 2, 3, 4} - {memory.entry.frame for memory in after.tried}
    assert gone == {1 + int(np.argmin(read))} and len(after.tried) == 3
    assert reads(policy, after, 5)[0][0] == (0, ANCHOR)


def measured(policy, state):
    items = policy.read(state, replace(QUERY, frame=4))
    shares = torch.linspace(1, 2, len(items.spatial) + len(items.pointers))[: len(items.spatial)]
    shares = (shares / shares.sum())[1:].tolist()
    return [
        replace(memory, mass=0.8 * memory.mass + 0.2 * share, reads=memory.reads + 1)
        for memory, share in zip(state.tried, shares, strict=True)
    ]


def test_expected_iou_multiplies_presence_and_iou():
    def script(t):
        return (PLAIN, *{2: (0.95, -3.0, None), 3: (0.45, 9.0, None), 4: (0.8, 1.0, None)}.get(t, (0.9, 5.0, None)))

    policy = ExpectedIou()
    assert [frame for frame, _ in reads(policy, live(policy, script, 6), 6)[0]] == [0, 1, 4, 5]
    assert 0.8 / (1 + np.exp(-1.0)) > 0.5


# ----------------------------------------------------------------------------------------------------------- parts


def test_a_mask_that_fills_the_frame_has_no_contour():
    everywhere = [rectangle((0, 0, GRID, GRID)), rectangle(TARGET), rectangle()]
    assert len(contour(foreground(everywhere[0].numpy(), (128, 128)).rle, 128, 128)) == 0
    for policy in (Him2Sam(), Him2Sam(distractor_test=BoxTest()), Dam4Sam()):
        state = live(policy, lambda t: (everywhere, 0.95, 5.0, None), 20)
        assert reads(policy, state, 20)[0][0] == (0, ANCHOR)


def test_what_was_read_seldom_is_given_a_bonus():
    """Upper bounds mass + bonus sqrt(log(reads of all) / (own reads + prior)), the newest memory not asked."""
    policy = RMem(slots=3, bonus=0.5, prior=1.0)
    entries = [Entry(frame, torch.zeros(1), None, Scores(0.9, 5.0, None, 1, False)) for frame in range(4)]
    tried = [
        Tried(entry, mass, reads)
        for entry, mass, reads in zip(entries, (0.3, 0.5, 0.2, 0.0), (1, 20, 3, 0), strict=True)
    ]
    # log 24 = 3.178: .3 + .5 sqrt(3.178 / 2) = .930, .5 + .5 sqrt(3.178 / 21) = .695, .2 + .5 sqrt(3.178 / 4) = .646
    assert np.round(policy._bounds(tried), 3).tolist() == [0.930, 0.695, 0.646]
    tried[1] = replace(tried[1], mass=0.4)  # .595
    assert np.round(policy._bounds(tried), 3).tolist() == [0.930, 0.595, 0.646]


def test_relative_size():
    assert relative_size([5]) is None and relative_size([5, 0]) is None and relative_size([0, 5]) == 1
    assert relative_size([4, 1]) == 0.4
    assert relative_size([10] * 9 + [0, 15]) == 1.5
    assert relative_size([1000] * 20 + [10] * 9 + [20]) == 2
    assert len(remembered(range(HISTORY), 1)) == HISTORY
