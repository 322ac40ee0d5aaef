"""Motion models where they differ from what was published, and their parts."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import InputError
from framework.ops.boxes import EMPTY_BOX, box_iou, boxes, mask_box
from framework.types import Candidates, Features, Normalisation, Outcome, Query, Scores, upsample
from motion.components.box_filter import BoxFilter
from motion.components.point_refinement import PastFrame, PointRefinement
from motion.components.point_sampling import farthest_points, interior
from motion.components.point_trackers import CoTracker3, LucasKanade, PointTracker, PointTracks
from motion.constant_velocity import ConstantVelocity, VelocityState
from motion.hierarchical import Hierarchical
from motion.kalman import Kalman

SIDE, GRID = 128, 32


def features(image=None):
    return Features(Query(0, torch.zeros(1, 1, 1), None), torch.zeros(3, SIDE, SIDE) if image is None else image, None)


def mask(*box, value=8.0):
    """Logits with a foreground rectangle x0, y0, x1, y1 in cells; all background without one."""
    logits = torch.full((GRID, GRID), -8.0)
    if box:
        logits[box[1] : box[3], box[0] : box[2]] = value
    return logits


def two_masks():
    return Candidates(torch.zeros(1, 2, GRID, GRID), torch.zeros(1, 2), torch.zeros(1, 2, 1), torch.ones(1))


def step(model, state, masks, iou, choice=None):
    """One frame; returns the state, the cue and the choice."""
    candidates = Candidates(torch.stack(masks)[None], torch.tensor([iou]), torch.zeros(1, len(masks), 1), torch.ones(1))
    cue, fused = None, iou
    if len(masks) > 1:
        state, cue = model.score(state, features(), candidates)
        fused = iou if cue is None else cue.fuse(tuple(iou))
    choice = int(np.argmax(fused)) if choice is None else choice
    motion = None if cue is None else cue.remembered(choice)
    scores = Scores(iou[choice], 1.0, motion, 1, len(masks) == 1)
    return (
        model.update(
            state,
            features(),
            Outcome(0, candidates, choice, None, scores, (SIDE, SIDE), embedding=torch.zeros(1, 1, 1)),
        ),
        cue,
        choice,
    )


def test_the_interior_of_a_mask():
    image = np.zeros((6, 7), np.uint8)
    image[0:4, 2:7] = 1  # in the upper right corner; outside the image all is foreground
    assert interior(image, 1).tolist() == [[x, y] for y in range(4) for x in range(2, 7)]
    assert interior(image, 3).tolist() == [[x, y] for y in range(3) for x in range(3, 7)]
    # Two pixels before and one after, counted from half a pixel off: x - 2 >= 2, y + 1 <= 3
    assert interior(image, 4).tolist() == [[x, y] for y in range(3) for x in range(4, 8)]


def test_a_prompts_box_is_in_pixels_of_the_image_whatever_its_shape():
    wide = features(torch.zeros(3, 64, SIDE))
    prompt = mask(4, 8, 12, 16)
    candidates = Candidates(prompt[None, None], torch.ones(1, 1), torch.zeros(1, 1, 1), torch.ones(1))
    scores = Scores(1.0, 1.0, None, 1, True)
    outcome = Outcome(0, candidates, 0, None, scores, (64, SIDE), embedding=torch.zeros(1, 1, 1))
    (box,) = boxes(prompt[None], (64, SIDE))
    belief = Kalman().update(Kalman().init(), wide, outcome).belief
    assert belief.box() == pytest.approx(BoxFilter.start(box).box()) and box[3] < 40 < box[2]


def test_boxes():
    image = np.zeros((9, 9), np.uint8)
    assert mask_box(image) is None
    image[2:5, 3:8] = 1
    assert mask_box(image) == (3, 2, 7, 4)
    first = 0.0, 0.0, 4.0, 4.0
    assert box_iou(first, (2.0, 2.0, 6.0, 6.0)) == pytest.approx(4 / 28)
    assert box_iou(first, (4.0, 4.0, 6.0, 6.0)) == box_iou(EMPTY_BOX, EMPTY_BOX) == box_iou(first, None) == 0


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    grid=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    scale=st.sampled_from([(1, 1), (2, 2), (4, 4), (8, 8), (4, 8), (3, 3), (4, 3), (1.75, 2.25), (0.5, 0.5), (0.7, 4)]),
    levels=st.sampled_from([1, 2, 3, 5, 8, 1000]),
)
def test_boxes_are_those_of_whole_masks(seed, grid, scale, levels):
    random = np.random.default_rng(seed)
    size = tuple(max(round(count * by), 1) for count, by in zip(grid, scale, strict=True))
    rough = random.uniform(-1, 1, (3, *grid)).astype(np.float32) - random.choice([0, 0.5, 0.9, 0.99, 1])
    smooth = np.stack([cv2.GaussianBlur(layer, (0, 0), 2) * 4 for layer in rough])
    cells = np.full((3, *grid), -random.choice([0.1, 1, 3]))
    for layer in cells:
        layer[random.integers(grid[0]), random.integers(grid[1])] = random.choice([0, 0.1, 1, 3])
    # Few levels make interpolated values exactly 0.
    for logits in (rough, smooth, cells):
        levelled = torch.from_numpy((np.round(logits * levels) * random.choice([1, 0.1])).astype(np.float32))
        for box, values in zip(boxes(levelled, size), upsample(levelled, size).numpy(), strict=True):
            assert box == mask_box((values > 0).view(np.uint8))


def test_the_filter_learns_a_constant_velocity():
    belief = BoxFilter.start((10.0, 10.0, 30.0, 50.0))
    for frame in range(1, 60):
        belief = belief.predict().correct((10.0 + 3 * frame, 10.0 + frame, 30.0 + 3 * frame, 50.0 + frame))
    assert belief.mean[4:6] == pytest.approx([3, 1], abs=1e-3)
    assert belief.predict().box() == pytest.approx((190, 70, 210, 110), abs=0.05)
    assert np.linalg.eigvalsh(belief.covariance).min() > 0


@pytest.mark.parametrize("quirks", [False, True])
def test_an_empty_mask_ends_the_track_instead_of_dragging_the_filter(quirks):
    model = Kalman(stable_frames=3, quirks=quirks)
    state = model.init()
    for _ in range(6):
        state, cue, _ = step(model, state, [mask(10, 10, 16, 16), mask(20, 20, 26, 26)], [0.9, 0.5])
    assert cue is not None and cue.agreement[0] > 0.9 and cue.agreement[1] == 0
    here = state.belief.mean[:2].copy()
    for _ in range(5):
        state, cue, _ = step(model, state, [mask(), mask()], [0.9, 0.5])
    moved = np.linalg.norm(state.belief.mean[:2] - here)
    if quirks:
        assert moved > 20 and state.stable == 3
    else:
        assert moved < 1 and state.stable == 0
    state, cue, _ = step(model, state, [mask(10, 10, 16, 16), mask(20, 20, 26, 26)], [0.9, 0.5])
    assert (cue is None) is not quirks
    if not quirks:
        assert state.belief.mean[4:].tolist() == [0, 0, 0, 0], "started afresh"


def test_a_prompt_starts_the_filter_unless_as_published():
    given = [mask(10, 10, 16, 16)]
    assert step(Kalman(quirks=True), Kalman().init(), given, [1.0])[0].belief is None
    state, _, _ = step(Kalman(), Kalman().init(), given, [1.0])
    assert state.stable == 1 and state.belief.box() == pytest.approx((40, 40, 63, 63), abs=2.1)
    assert step(Kalman(), state, [mask()], [1.0])[0].belief is None


def test_low_scores_restart_the_filter():
    model, state = Kalman(stable_frames=2), Kalman().init()
    for iou in (0.9, 0.9, 0.9, 0.2):
        state, cue, _ = step(model, state, [mask(10, 10, 16, 16), mask()], [iou, 0.1])
    assert cue is not None and state.stable == 0
    assert step(model, state, [mask(10, 10, 16, 16), mask()], [0.9, 0.1])[1] is None


def test_the_kalman_cue_decides_between_equals():
    model, state = Kalman(stable_frames=3), Kalman().init()
    for frame in range(10):
        state, _, choice = step(model, state, [mask(20, 20, 26, 26), mask(4 + frame, 8, 10 + frame, 14)], [0.5, 0.9])
        assert choice == 1
    assert step(model, state, [mask(20, 20, 26, 26), mask(14, 8, 20, 14)], [0.91, 0.9])[2] == 1


def test_constant_velocity_predicts_and_gives_up():
    model, state = ConstantVelocity(patience=3), ConstantVelocity().init()
    for frame in range(4):
        state, cue, _ = step(model, state, [mask(4 + frame, 8, 10 + frame, 14), mask(20, 20, 26, 26)], [0.9, 0.1])
    assert cue is not None and cue.agreement[0] == pytest.approx(1, abs=0.05) and cue.agreement[1] == 0
    lost, _, _ = step(model, state, [mask(), mask()], [0.9, 0.1])
    _, cue, _ = step(model, lost, [mask(9, 8, 15, 14), mask(4, 8, 10, 14)], [0.9, 0.1])
    assert cue.agreement[0] > 0.9 > cue.agreement[1], "keeps moving while it is not seen"
    for _ in range(4):
        state, _, _ = step(model, state, [mask(), mask()], [0.9, 0.1])
    assert state.box is None and state.predict() is None


def test_velocity_is_smoothed_by_its_inertia():
    """A quarter of the old velocity (4, 0) and three of the (16, 6) / 2 that the box moved by per frame since."""
    model = ConstantVelocity(inertia=0.25)
    there = (16.0, 6.0, 20.0, 10.0)
    state = VelocityState((0.0, 0.0, 4.0, 4.0), (4.0, 0.0, 4.0, 0.0), age=2, boxes=(None, there))
    seen = Outcome(
        2,
        two_masks(),
        1,
        None,
        Scores(0.9, 1.0, None, 16, prompted=False),
        (SIDE, SIDE),
        embedding=torch.zeros(1, 1, 1),
    )
    state = model.update(state, features(), seen)
    assert state == VelocityState(there, (7.0, 2.25, 7.0, 2.25))
    assert replace(state, age=2).predict() == (30.0, 10.5, 34.0, 14.5)


def test_lucas_kanade_follows_a_shift_and_drops_what_leaves():
    random = np.random.default_rng(0)
    texture = cv2.GaussianBlur(random.uniform(0, 1, (160, 200)).astype(np.float32), (0, 0), 2)
    texture = (texture - texture.min()) / np.ptp(texture)
    frames = [texture[10:138, 10 + 4 * i : 138 + 4 * i] for i in range(4)]
    clip = torch.from_numpy(np.stack(frames))[:, None].expand(-1, 3, -1, -1)
    queries = np.array([[60.0, 60.0], [100.0, 30.0], [3.0, 64.0]], dtype=np.float32)
    tracks = LucasKanade().track(clip, queries)
    for i in range(4):
        expected = queries[:2] - (4 * i, 0)
        np.testing.assert_allclose(tracks.positions[i, :2], expected, atol=0.2)
        assert tracks.visible[i, :2].all()
    assert tracks.visible[0, 2] and not tracks.visible[3, 2]


def test_cotracker_says_what_is_missing(tmp_path):
    for option in ("clone", "checkpoint"):
        with pytest.raises(InputError, match=f"no {option} at"):
            CoTracker3(**{option: str(tmp_path / "none")}).track(torch.zeros(2, 3, 8, 8), np.zeros((1, 2), np.float32))
    with pytest.raises(InputError, match=r"could not be loaded .* checkout of facebookresearch/co-tracker"):
        CoTracker3(clone=str(tmp_path)).track(torch.zeros(2, 3, 8, 8), np.zeros((1, 2), np.float32))


def test_cotracker_is_called_as_its_authors_do(tmp_path):
    """A stand-in with the public interface: queries (t, x, y), video 0..255 of shape B T C H W."""
    (tmp_path / "hubconf.py").write_text(
        "import torch\n"
        "class Predictor(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.model = torch.nn.Linear(1, 1, bias=False)\n"
        "    def forward(self, video, queries):\n"
        "        assert video.shape == (1, 3, 3, 8, 8) and video.max() == 255\n"
        "        assert queries.shape == (1, 2, 3) and (queries[..., 0] == 0).all()\n"
        "        moved = queries[:, None, :, 1:] + self.model.weight * torch.arange(3)[None, :, None, None]\n"
        "        return moved, torch.ones(1, 3, 2, dtype=torch.bool)\n"
        "def cotracker3_offline(pretrained=True):\n"
        "    assert not pretrained\n"
        "    return Predictor()\n"
    )
    torch.save({"weight": torch.tensor([[2.0]])}, tmp_path / "scaled_offline.pth")
    tracker = CoTracker3(str(tmp_path), str(tmp_path / "scaled_offline.pth"))
    tracks = tracker.track(torch.ones(3, 3, 8, 8), np.array([[1.0, 2.0], [3.0, 4.0]], np.float32))
    assert tracks.positions[2].tolist() == [[5, 6], [7, 8]] and tracks.visible.all()


class Still(PointTracker):
    """Nothing moves; remembers nothing but what it is asked."""

    def __init__(self):
        self.asked = []

    def track(self, clip, queries):
        self.asked.append((len(clip), queries))
        return PointTracks(np.repeat(queries[None], len(clip), 0), np.ones((len(clip), len(queries)), dtype=bool))


def test_refinement_prefers_the_mask_that_was_there_before():
    points = Still()
    refinement = PointRefinement(points, grid=128)
    past = [PastFrame(torch.zeros(3, SIDE, SIDE), mask(8, 8, 20, 20, value=2.0))] * 7
    same, other = mask(8, 8, 20, 20), mask(22, 22, 31, 31)
    scores = refinement.scores(torch.stack([other, same, mask()]), torch.zeros(3, SIDE, SIDE), past)
    assert scores[1] > 0.6 and scores[0] < 0.05 and scores[2] == 0
    ((frames, queries),) = points.asked
    assert frames == 6 and len(queries) == 100, "the current frame and the window"
    replace(refinement, quirks=True).scores(torch.stack([other, same]), torch.zeros(3, SIDE, SIDE), past)
    assert points.asked[-1][0] == 5, "as published, without the current frame"
    mean = replace(refinement, average=True).scores(torch.stack([other, same]), torch.zeros(3, SIDE, SIDE), past)
    assert mean == pytest.approx(scores[:2])
    assert refinement.scores(torch.stack([mask(), mask()]), torch.zeros(3, SIDE, SIDE), past) == (0, 0)


def test_points_are_followed_in_the_colours_of_the_video():
    halves = Normalisation((0.5, 0.25, 0.5), (0.5, 0.125, 2.0))
    shown = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    past = [PastFrame(halves.apply(shown), mask(8, 8, 20, 20), halves)]

    class Watching(Still):
        def track(self, clip, queries):
            torch.testing.assert_close(clip, shown.expand(2, -1, -1, -1))
            return super().track(clip, queries)

    points = Watching()
    PointRefinement(points, grid=128).scores(mask(8, 8, 20, 20)[None], halves.apply(shown), past)
    assert len(points.asked) == 1


def test_few_points_are_not_padded():
    points = Still()
    small = torch.stack([mask(8, 8, 11, 11), mask()])
    past = [PastFrame(torch.zeros(3, SIDE, SIDE), mask(8, 8, 11, 11))]
    PointRefinement(points, grid=128).scores(small, torch.zeros(3, SIDE, SIDE), past)
    PointRefinement(points, grid=128, quirks=True).scores(small, torch.zeros(3, SIDE, SIDE), past)
    (_, honest), (_, padded) = points.asked
    assert 10 <= len(honest) < 100 and len(padded) == 100 and not padded[len(honest) :].any()


def test_points_arefarthest_points():
    grid = np.stack(np.meshgrid(np.arange(30), np.arange(30)), -1).reshape(-1, 2).astype(np.float32)
    chosen = farthest_points(grid, 5)
    assert chosen[:4].tolist() == [[0, 0], [29, 29], [29, 0], [0, 29]]
    assert np.linalg.norm(chosen[4] - (14.5, 14.5)) < 1
    assert len(farthest_points(grid[:3], 5)) == 3


def test_points_are_asked_only_in_doubt():
    points = Still()
    model = Hierarchical(Kalman(stable_frames=3), PointRefinement(points, grid=128))
    state, target, other = model.init(), mask(8, 8, 20, 20), mask(22, 22, 31, 31)
    for _ in range(6):
        state, _, choice = step(model, state, [other, target], [0.5, 0.95])
        assert choice == 1
    assert not points.asked and len(state.past) == 5
    state, cue, choice = step(model, state, [other, target], [0.6, 0.5])
    assert len(points.asked) == 1 and choice == 1, "motion and points outvote the score"
    assert cue.remembered(1) > 0.9 and cue.weight == pytest.approx(1 - 0.75 * 0.85)


@pytest.mark.parametrize("quirks", [False, True])
def test_the_filter_follows_the_refined_choice(quirks):
    """While the filter only follows; as published it follows the mask that lost."""
    model = Hierarchical(Kalman(), PointRefinement(Still(), grid=128), weight=0.6, quirks=quirks)
    state, target, other = model.init(), mask(8, 8, 20, 20), mask(22, 22, 31, 31)
    for _ in range(6):
        state, _, _ = step(model, state, [target, other], [0.95, 0.5])
    before = state.linear.belief.mean[0]
    state, cue, choice = step(model, state, [target, other], [0.5, 0.6])
    assert choice == 0 and cue.remembered(0) is None
    assert bool(state.linear.belief.mean[0] > before + 5) is quirks
