"""Published policies and SAM2Long's beam where they can be varied or differ from what was published."""

from dataclasses import replace
from math import log, sqrt

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree

from framework.runs import contour, largest, without
from framework.types import ANCHOR, Candidates, Cue, Entry, Lease, Outcome, Query, Scores, upsample
from policies.beam import Beam
from policies.dam4sam import Dam4Sam
from policies.distinction import BoxOverlap, ContourDistance
from policies.him2sam import Delayed, Him2Sam
from policies.masks import HISTORY, relative_size, remembered
from policies.regions import Corners, Region, foreground, reaches_beyond, rivals, told_apart
from policies.rmem import RMem
from policies.sam2long import Sam2Long
from policies.samurai import Samurai
from policies.score_gate import ScoreGate

GRID, SIZE = 32, (90, 160)
QUERY = Query(0, torch.zeros(1, 1, 1), None)


def rectangle(*boxes):
    logits = torch.full((GRID, GRID), -8.0)
    for x0, y0, x1, y1 in boxes:
        logits[y0:y1, x0:x1] = 8.0
    return logits


TARGET, FAR = (4, 4, 12, 12), (22, 20, 30, 28)
PLAIN = [rectangle(TARGET)] * 3
RIVALLED = [rectangle(TARGET), rectangle(TARGET, FAR), rectangle(TARGET)]
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
        items = policy.read(state, replace(QUERY, frame=t)) if policy.measures and t else None
        reading = None if items is None else torch.linspace(1, 2, len(items.spatial) + len(items.pointers))
        outcome = Outcome(t, candidates, 0, None, scores, SIZE, reading=reading)
        state = policy.write(state, Entry(t, torch.zeros(4), t, scores, Lease(lambda t=t: f"again {t}")), outcome)
    return state


def reads(policy, state, frame):
    read = policy.read(state, replace(QUERY, frame=frame))
    return [(e.frame, slot) for e, slot in read.spatial], [(e.frame, ago) for e, ago in read.pointers]


def plain(t):
    return PLAIN, 0.95, 5.0, None


def rivalled(t):
    return (RIVALLED if t == 13 else PLAIN), 0.95, 5.0, None


def flickering(t):
    """Out of view on frames 14 to 18."""
    return (GONE, 0.3, -5.0, None) if 14 <= t <= 18 else (PLAIN, 0.95, 5.0, None)


# ------------------------------------------------------------------------------------------------------- DAM4SAM


def test_dam_reads_the_last_frame_and_spaced_ones():
    state = live(Dam4Sam(), flickering, 23)
    spatial, pointers = reads(Dam4Sam(), state, 23)
    assert spatial == [(0, ANCHOR), (5, 3), (10, 2), (20, 1), (22, 0)]
    assert pointers == [(0, 23)] + [(t, 23 - t) for t in (22, 21, 20, 19, 13, 12, 11, 10, 9, 8)]


def test_dam_promotes_a_frame_told_apart_from_a_rival():
    policy = Dam4Sam()
    state = live(policy, rivalled, 14)
    assert state.admitted == 13
    assert reads(policy, state, 14)[0] == [(0, ANCHOR), (5, 2), (10, 1), (13, 0)], "waits for a frame"
    state = live(policy, rivalled, 15, state, 14)
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
    state = live(Dam4Sam(**changed), rivalled, 15)
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
        return (RIVALLED if t % 6 == 1 else PLAIN), 0.95, 5.0, None

    policy = Dam4Sam()
    state = live(policy, often, 51, prompted(policy, 0, 200, 100), 1)
    assert [anchor.frame for anchor in state.bank.anchors] == [0, 200, 100, 31, 37, 43, 49]
    assert not {7, 13, 19, 25} & {entry.frame for entry in policy.entries(state)}


def prompted(policy, *frames):
    """A state with prompts on these frames."""
    state, scores = policy.init(), Scores(1.0, 10.0, None, 64, True)
    given = Candidates(PLAIN[0][None, None], torch.ones(1, 1), torch.zeros(1, 1, 4), torch.tensor([10.0]))
    for t in frames:
        outcome = Outcome(t, given, 0, None, scores, SIZE)
        state = policy.write(state, Entry(t, torch.zeros(4), t, scores), outcome)
    return state


def test_dam_measures_the_mask_as_it_is_shown():
    """Holes that the tracker fills count as foreground, and as none of a rival's."""
    holed = rectangle(TARGET)
    holed[7:9, 7:9] = -8.0
    shown = rectangle(TARGET)
    scores = Scores(0.95, 5.0, None, 64, False)
    masks = torch.stack([holed, shown, holed])[None]
    candidates = Candidates(masks, torch.tensor([[0.95, 0.5, 0.4]]), torch.zeros(1, 3, 4), torch.tensor([5.0]))
    policy, entry = Dam4Sam(), Entry(1, torch.zeros(4), 1, scores)
    for filled, expected in ((shown, shown), (None, holed)):
        outcome = Outcome(1, candidates, 0, None, scores, SIZE, shown=filled)
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


@pytest.mark.parametrize("rule", [ContourDistance(), BoxOverlap()], ids=lambda rule: type(rule).__name__)
def test_him_keeps_a_frame_told_apart(rule):
    policy = Him2Sam(rule=rule)
    state = live(policy, rivalled, 20)
    assert [entry.frame for entry in state.long] == [13]
    spatial, _ = reads(policy, state, 20)
    assert spatial[-1] == (13, ANCHOR) and len(spatial) == 7 and 13 not in [frame for frame, _ in spatial[:-1]]
    assert not live(replace(policy, rule=None), rivalled, 20).long
    assert not live(replace(policy, rule=replace(rule, min_iou=0.96)), rivalled, 20).long


def test_him_contour_asks_for_a_clear_lead_and_the_motion_model():
    def script(t, motion=None):
        return (*rivalled(t)[:3], motion)

    assert live(Him2Sam(), lambda t: script(t, 0.9), 14).long
    assert not live(Him2Sam(), lambda t: script(t, 0.7), 14).long
    assert not live(Him2Sam(rule=ContourDistance(lead=2.0)), script, 14).long


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
    assert not live(Him2Sam(rule=BoxOverlap()), plain, 10).long
    assert live(Him2Sam(rule=BoxOverlap(quirks=True)), plain, 10).long


def test_him_delayed_leaves_out_the_last_frame():
    assert reads(Delayed(), live(Delayed(), plain, 10), 10)[0] == [
        (0, ANCHOR),
        *((t, 8 - t) for t in range(3, 9)),
    ]
    assert reads(Delayed(), live(Delayed(), plain, 2), 2)[0] == [(0, ANCHOR), (1, 0)]


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


# --------------------------------------------------------------------------------------------- RMem and score gate


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


def test_score_gate_multiplies_presence_and_iou():
    def script(t):
        return (PLAIN, *{2: (0.95, -3.0, None), 3: (0.45, 9.0, None), 4: (0.8, 1.0, None)}.get(t, (0.9, 5.0, None)))

    policy = ScoreGate()
    assert [frame for frame, _ in reads(policy, live(policy, script, 6), 6)[0]] == [0, 1, 4, 5]
    assert 0.8 / (1 + np.exp(-1.0)) > 0.5


# ----------------------------------------------------------------------------------------------------------- parts


SCALES = [(4, 4), (2, 8), (45 / 16, 5), (3.7, 1.3), (1, 1), (0.8, 2), (0.5, 0.5)]
"""Pixels of the frame per logit, down and across."""


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    grid=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
)
@example(seed=0, grid=(256, 256), size=(720, 1280))
@example(seed=0, grid=(64, 64), size=(97, 131))
@example(seed=0, grid=(256, 256), size=(90, 161))
def test_regions_are_what_upsampling_says(seed, grid, size):
    """Up to pixels whose value is rounding noise around zero."""
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.integers(-12, 9, grid) / 2 - random.integers(0, 5)).float()
    values = upsample(logits[None], size)[0].numpy()
    region = foreground(logits.numpy(), size)
    found = drawn(region, size)
    assert ((found == (values > 0)) | (np.abs(values) < 1e-5)).all()
    assert (region is None) == (not found.any())
    if region is not None:
        assert region.corners == around(found) and region.area == found.sum()
        other = random.random(size) < 0.5
        assert region.shared(other) == (found & other).sum()


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_regions_of_whole_logits_are_exact(scale):
    """Zeros between equal and opposite logits are background, as they are for torch."""
    logits, size = np.random.default_rng(0).integers(-2, 3, (40, 30)).astype(np.float32), (40 * scale, 30 * scale)
    values = upsample(torch.from_numpy(logits)[None], size)[0].numpy()
    assert (values == 0).any() and (drawn(foreground(logits, size), size) == (values > 0)).all()


def drawn(region, size):
    """Its mask; checks that runs are in order and apart."""
    found = np.zeros(size, dtype=bool)
    if region is not None:
        assert (region.runs[:, 1] < region.runs[:, 2]).all()
        (rows, starts), (later, ends) = region.runs[1:, :2].T, region.runs[:-1, ::2].T
        assert ((rows > later) | ((rows == later) & (starts > ends))).all()
        for row, start, end in region.runs:
            found[row, start:end] = True
    return found


def around(mask):
    y, x = np.nonzero(mask)
    return Corners(int(x.min()), int(y.min()), int(x.max()), int(y.max()))


def of(mask):
    """A mask as a region."""
    return foreground(np.where(mask, 1, -1).astype(np.float32), mask.shape)


def component(mask):
    """The largest one of a mask as OpenCV labels and measures it."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


def ring(mask):
    """Its contour as OpenCV draws it: the border of the frame is none."""
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0


def furthest(mask, chosen):
    """Squared directed Hausdorff distance of contours, a whole number; 0 if either is empty."""
    points, others = np.argwhere(ring(mask)), np.argwhere(ring(chosen))
    return round(KDTree(others).query(points)[0].max() ** 2) if len(points) and len(others) else 0


def beside(masks):
    """The largest component that each other mask adds to the first."""
    return [component(mask & ~masks[0]) for mask in masks[1:] if (mask & ~masks[0]).any()]


def check_both_rules(logits, masks, loose=False):
    """DAM4SAM's and HiM2SAM's rule against themselves pixel by pixel on whole masks, the first one chosen."""
    chosen, expected, size = foreground(logits[0], masks[0].shape), beside(masks), masks[0].shape
    assert (drawn(chosen, size) == masks[0]).all()
    if chosen is None:
        return
    found = list(rivals(logits, 0, chosen, loose))
    for rival, mask in zip(found, expected, strict=True):
        assert (drawn(rival, size) == mask).all()
        assert rival.corners == around(mask) and rival.area == mask.sum()
    joint = [around(masks[0]).joined(around(mask)).area for mask in expected]
    overlaps = [around(masks[0]).area / area for area in joint if area]
    for limit in (0.3, 0.7, 0.9, *overlaps):
        assert told_apart(chosen, found, limit) == any(overlap <= limit for overlap in overlaps)
    reach = [furthest(mask, masks[0]) for mask in expected]
    for limit in (5.0, 40.0, *(max(sqrt(far) + step, 0.5) for far in reach for step in (-6, -3, -1, -0.01, 0, 0.01))):
        assert reaches_beyond(chosen, found, limit) == any(far > limit * limit for far in reach)


def test_runs_are_judged_like_pixels():
    """Components with holes, islands in holes and ties, what one mask adds to another, and contours, against OpenCV."""
    random = np.random.default_rng(0)
    for share in np.linspace(0.02, 0.98, 400):
        size = tuple(int(side) for side in random.integers(1, 40, 2))
        one, two = random.random(size) < share, random.random(size) < random.random()
        one[:, : random.integers(size[1] + 1)] |= random.random() < 0.1
        if one.any() and two.any():
            runs, others = of(one).runs, of(two).runs
            assert (drawn(Region(without(runs, others), size), size) == (one & ~two)).all()
            assert (drawn(Region(largest(runs), size), size) == component(one)).all()
            assert (drawn(Region(contour(runs, *size), size), size) == ring(one)).all()


def smooth(random, coarse, quantum):
    """Three hypotheses with blobs, specks and shells around each other; multiples of `quantum` where it is not 0."""
    y, x = np.mgrid[:coarse, :coarse] / coarse
    shared = [blob(random, y, x) for _ in range(random.integers(1, 3))]
    for _ in range(3):
        own = [blob(random, y, x) for _ in range(random.integers(0, 3))]
        noise = cv2.GaussianBlur(random.standard_normal((coarse, coarse)), (0, 0), random.uniform(0.5, 4))
        logits = np.max([*shared, *own], axis=0) * random.choice([1, 1, 0.9]) + noise * random.choice([0, 0.5, 4])
        yield (np.round(logits / quantum) * quantum if quantum else logits).astype(np.float32)


def blob(random, y, x):
    (cy, cx), (ry, rx) = random.random(2), random.uniform(0.02, 0.5, 2)
    return 6 - 6 * np.minimum(((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2, 3)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    coarse=st.sampled_from([16, 32, 64]),
    scale=st.sampled_from(SCALES),
    quantum=st.sampled_from([0, 0, 0.5, 2]),
    raised=st.sampled_from([0, 0, 3, 8, 12]),
)
def test_rivals_are_judged_as_at_full_size(seed, coarse, scale, quantum, raised):
    """Also rivals that fill the frame."""
    logits = np.stack(list(smooth(np.random.default_rng(seed), coarse, quantum)))
    logits[1:] += np.float32(raised)
    values = upsample(torch.from_numpy(logits), (round(scale[0] * coarse), round(scale[1] * coarse))).numpy()
    exact = quantum > 0 and all(part in (1, 2, 4, 8, 0.5) for part in scale)  # torch does not round
    assume(exact or (np.abs(values) > 1e-5).all())
    check_both_rules(logits, values > 0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), reach=st.floats(2, 6), noise=st.sampled_from([0.5, 3, 10]), cut=st.booleans())
def test_rivals_all_around_are_judged_as_at_full_size(seed, reach, noise, cut):
    """Contours whose every part is about as far away as the limit, with specks near them, in one part or in two."""
    random, coarse = np.random.default_rng(seed), 64
    y, x = np.mgrid[:coarse, :coarse] / coarse
    (cy, cx), radius = random.uniform(0.2, 0.8, 2), random.uniform(0.03, 0.15)
    away = ((x - cx) ** 2 + (y - cy) ** 2) / radius**2
    logits = 20 * (1 - away / np.array([1, reach**2, 1.1 * reach**2])[:, None, None]).clip(-1, 1)
    if cut:
        logits[1:, np.abs(y[:, 0] - random.random()) < random.uniform(0, 0.06)] = -5
    logits += noise * np.stack([cv2.GaussianBlur(random.standard_normal(x.shape), (0, 0), 1.5) for _ in logits])
    logits = logits.astype(np.float32)
    values = upsample(torch.from_numpy(logits), (4 * coarse, 4 * coarse)).numpy()
    assume((np.abs(values) > 1e-5).all())
    check_both_rules(logits, values > 0)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shapes=st.tuples(*[st.sampled_from(["ragged", "specks", "full", "stripes", "corner"])] * 3),
    loose=st.booleans(),
)
def test_rough_masks_are_judged_as_at_full_size(seed, shapes, loose):
    """Where nothing is smooth: small whole logits, so that values are exact and often 0, and limits tie."""
    random, coarse = np.random.default_rng(seed), 24
    logits = np.stack([rough(random, shape, coarse) for shape in shapes])
    claims = np.concatenate((logits[:1], np.abs(logits[1:]))) if loose else logits
    check_both_rules(logits, upsample(torch.from_numpy(claims), (4 * coarse, 4 * coarse)).numpy() > 0, loose)


def rough(random, shape, coarse):
    """Multiples of 1 from -3 to 3 in a frame, or part of it."""
    left, right = np.sort(random.integers(0, coarse + 1, 2))
    values = random.integers(1, 4, (coarse, coarse))
    y, x = np.mgrid[:coarse, :coarse]
    inside = {
        "ragged": (x >= left) & (x < right) & (random.random(x.shape) < 0.7),
        "specks": random.random(x.shape) < 0.03,
        "full": random.random(x.shape) < random.choice([0.98, 0.999, 1]),
        "stripes": (y >= left) & (y < right) & (x % random.integers(2, 5) == 0),
        "corner": (x >= left) & (y >= right),
    }[shape]
    return np.where(inside, values, -values * random.integers(0, 2)).astype(np.float32)


def test_a_mask_that_fills_the_frame_has_no_contour():
    everywhere = [rectangle((0, 0, GRID, GRID)), rectangle(TARGET), rectangle()]
    assert len(contour(foreground(everywhere[0].numpy(), (128, 128)).runs, 128, 128)) == 0
    for policy in (Him2Sam(), Him2Sam(rule=BoxOverlap()), Dam4Sam()):
        state = live(policy, lambda t: (everywhere, 0.95, 5.0, None), 20)
        assert reads(policy, state, 20)[0][0] == (0, ANCHOR)


def test_relative_size():
    assert relative_size([5]) is None and relative_size([5, 0]) is None and relative_size([0, 5]) == 1
    assert relative_size([10] * 9 + [0, 15]) == 1.5
    assert relative_size([1000] * 20 + [10] * 9 + [20]) == 2
    assert len(remembered(range(HISTORY), 1)) == HISTORY
