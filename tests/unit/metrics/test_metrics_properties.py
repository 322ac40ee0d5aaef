from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from framework.metrics import got10k, trackingnet
from framework.metrics.multistart import MultistartSequence, evaluate_multistart
from framework.metrics.ope import EVALUATORS
from framework.metrics.ope import SequencePrediction as BoxPrediction
from framework.metrics.regions import (
    PROMPTED,
    UNKNOWN,
    Mask,
    Point,
    Polygon,
    Rectangle,
    Special,
    encode_trajectory,
    overlap,
    parse_region,
    write_binary,
    write_text,
)
from framework.metrics.tracking import losses, mask_iou, score, success_auc
from framework.metrics.vos import Masked, boundary_f, decay, jaccard, sav
from framework.metrics.vots import ObjectPrediction, SequencePrediction, evaluate
from tests.trajectories import read_binary, read_text

SIZE = (40, 30)
small = settings(max_examples=40, deadline=None)
shapes = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
pairs = shapes.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))
shares = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1))

# Coordinates that a 32-bit float holds exactly.
coordinates = st.integers(-4000, 4000).map(lambda v: v / 16)
lengths = st.integers(0, 4000).map(lambda v: v / 16)
rectangles = st.builds(Rectangle, coordinates, coordinates, lengths, lengths)
polygons = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=8).map(lambda p: Polygon(tuple(p)))
masks = st.builds(Mask, arrays(bool, shapes), st.integers(-50, 50), st.integers(-50, 50)).map(lambda m: m.cropped)
wide_masks = masks.filter(lambda m: m.pixels.shape[1] != 1)  # a file loses a mask of one column
regions = st.one_of(
    st.integers(0, 9).map(Special), rectangles, polygons, st.builds(Point, coordinates, coordinates), wide_masks
)
boxes = st.integers(2, 30).flatmap(
    lambda n: arrays(np.int64, (n, 4), elements=st.integers(1, 60)).map(lambda a: a.astype(np.float64))
)


@small
@given(pairs)
def test_j_and_f_are_symmetric_shares(pair):
    a, b = pair
    assert mask_iou(a, b) == mask_iou(b, a)
    assert 0 <= mask_iou(a, b) <= 1
    assert mask_iou(a, a) == 1
    assert boundary_f(a, b) == pytest.approx(boundary_f(b, a), abs=1e-15)
    assert 0 <= boundary_f(a, b) <= 1
    assert boundary_f(a, a) == 1


@small
@given(pairs)
def test_j_grows_when_a_wrong_pixel_is_corrected(pair):
    prediction, truth = pair
    wrong = np.argwhere(prediction != truth)
    if len(wrong) == 0:
        return
    corrected = prediction.copy()
    row, column = wrong[0]
    corrected[row, column] = truth[row, column]
    assert mask_iou(corrected, truth) >= mask_iou(prediction, truth)


@small
@given(pairs)
def test_j_of_a_stack_is_the_j_of_its_masks(pair):
    a, b = pair
    stack = jaccard(np.stack([a, b, a]), np.stack([b, b, a]))
    assert stack.tolist() == [mask_iou(a, b), 1.0, 1.0]


@small
@given(shares, st.floats(0, 1))
def test_success_never_falls_when_an_overlap_rises(iou, rise):
    assert 0 <= success_auc(iou) <= success_auc(np.minimum(iou + rise, 1.0)) <= 20 / 21 + 1e-12


@small
@given(shares, st.randoms(use_true_random=False))
def test_tracking_scores_are_consistent(iou, random):
    visible = np.array([random.random() < 0.7 for _ in iou])
    iou = np.where(visible, iou, np.round(iou))
    scores = score(iou, visible)
    found = losses(iou, visible)
    ends = [at for pair in found for at in pair if at is not None]
    assert ends == sorted({*ends}) and all(0 <= at < len(iou) for at in ends), "one after the other"
    assert all(again is not None for _, again in found[:-1]), "only the last may go on to the end"
    assert scores.losses == pytest.approx(1000 * len(found) / len(iou))
    assert all(visible[again] and iou[again] > 0.5 for _, again in found if again is not None)
    for third in (scores.early, scores.late):
        assert min(iou) - 1e-12 <= third <= max(iou) + 1e-12
    assert np.isnan(scores.absent_accuracy) == visible.all()
    assert np.isnan(scores.visible_accuracy) == (not visible.any())


@small
@given(st.integers(1, 10).flatmap(lambda n: arrays(np.float64, 4 * n + 1, elements=st.floats(0, 1))))
def test_decay_reverses_with_time(values):
    assert decay(values[::-1]) == pytest.approx(-decay(values), abs=1e-9)


@small
@given(pairs)
def test_sav_does_not_count_leading_empty_frames(pair):
    prediction, truth = pair
    if not truth.any():
        return
    empty = np.zeros_like(truth)
    late = Masked(
        "v", "1", np.stack([truth, empty, empty, truth, truth]), np.stack([truth, empty, empty, prediction, truth])
    )
    only = Masked("v", "1", np.stack([truth, truth, truth]), np.stack([truth, prediction, truth]))
    assert sav([late]).per_object == sav([only]).per_object


@small
@given(st.lists(regions, max_size=6))
def test_trajectories_survive_text_and_binary(trajectory):
    assert read_text(write_text(trajectory)) == trajectory
    assert read_binary(write_binary(trajectory)) == trajectory
    suffix, content = encode_trajectory(trajectory)
    assert (suffix, read_binary(content)) == (".bin", trajectory)


@small
@given(arrays(bool, shapes), st.integers(-50, 50), st.integers(-50, 50))
def test_a_mask_line_keeps_every_pixel(pixels, x, y):
    drawn = Mask(pixels, x, y)
    assert sum(drawn.run_lengths) == pixels.size
    read = parse_region(drawn.text)
    assert read == drawn.cropped
    if not (pixels[:, 1:].any() or pixels.shape[1] == 0):
        assert read.pixels.size == 0  # nothing, or only the first column
        return
    canvas = np.zeros((150, 150), dtype=bool)
    canvas[read.y + 60 : read.y + 60 + read.pixels.shape[0], read.x + 60 : read.x + 60 + read.pixels.shape[1]] = (
        read.pixels
    )
    assert canvas.sum() == pixels.sum()
    assert np.array_equal(canvas[y + 60 : y + 60 + pixels.shape[0], x + 60 : x + 60 + pixels.shape[1]], pixels)


@small
@given(regions, regions)
def test_overlap_of_regions_is_a_symmetric_share(a, b):
    assert overlap(a, b, SIZE) == overlap(b, a, SIZE)
    assert 0 <= overlap(a, b, SIZE) <= 1


@small
@given(st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(2, 12)] * 2))
def test_a_rectangle_its_polygon_and_its_mask_are_the_same_pixels(box):
    x, y, width, height = box
    rectangle = Rectangle(*map(float, box))
    corners = ((x, y), (x + width - 1, y), (x + width - 1, y + height - 1), (x, y + height - 1))
    polygon = Polygon(tuple((float(u), float(v)) for u, v in corners))
    mask = Mask(np.ones((height, width), dtype=bool), x, y)
    assert overlap(rectangle, polygon, SIZE) == overlap(rectangle, mask, SIZE) == overlap(polygon, mask, SIZE) == 1


@small
@given(st.lists(st.tuples(rectangles, rectangles), min_size=2, max_size=20))
def test_votes_add_up(pairs):
    truth, result = (tuple(side) for side in zip(*pairs, strict=True))
    run = ObjectPrediction(truth, (PROMPTED, *result[1:]))
    report = evaluate([SequencePrediction("s", SIZE, {"a": run})])
    counts = report.objects["s", "a"].counts
    assert counts.visible + counts.absent == len(truth)
    if counts.visible > 0:
        parts = (report.overall.robustness, report.overall.not_reported_error, report.overall.drift_rate_error)
        assert sum(parts) == pytest.approx(1)
    assert 0 <= report.overall.quality <= 1
    unknown = ObjectPrediction((UNKNOWN,) * len(truth), run.result)
    assert evaluate([SequencePrediction("s", SIZE, {"a": unknown})]).objects["s", "a"].counts.visible == 0


@small
@given(st.integers(12, 60), st.integers(2, 60))
def test_multistart_expected_overlap(frames, lost_from):
    here, elsewhere = Rectangle(5.0, 5.0, 10.0, 10.0), Rectangle(25.0, 15.0, 10.0, 10.0)
    result = (PROMPTED, *(here if i < lost_from else elsewhere for i in range(1, frames)))
    report = evaluate_multistart(
        [MultistartSequence("s", SIZE, frames, (ObjectPrediction((here,) * frames, result),))], length=80
    )
    lost = frames - lost_from >= 10
    assert report.robustness == pytest.approx(lost_from / frames if lost else 1)
    assert report.expected["s"].counts[1:].sum() == (79 if lost else frames - 1)
    assert report.curve[1] == 1.0
    assert np.all(np.diff(report.curve[1:frames]) <= 1e-12)


@small
@given(boxes, st.sampled_from(sorted(EVALUATORS)), st.floats(0, 1))
def test_boxes_closer_to_the_truth_never_score_less(truth, name, share):
    truth = np.round(truth)
    far = truth.copy()
    far[:, :2] += 16.0
    near = truth.copy()
    near[:, :2] += np.round(16 * share)
    scores = [
        EVALUATORS[name].evaluate([BoxPrediction("s", truth, prediction, np.ones(len(truth), bool))]).overall
        for prediction in (far, near, truth)
    ]
    for worse, better in pairwise(scores):
        assert worse.auc <= better.auc
        assert worse.precision <= better.precision
        assert worse.normalised_auc <= better.normalised_auc
    assert scores[-1].op50 == scores[-1].precision == 1


@small
@given(boxes)
def test_perfect_boxes_get_everything(truth):
    run = got10k.SequencePrediction("s", truth, np.full(len(truth), 8), (200, 200), (truth,), None)
    assert got10k.evaluate([run]).overall.ao == pytest.approx(1)
    perfect = trackingnet.score(truth, truth)
    assert (perfect.coverage, perfect.success, perfect.precision, perfect.normalised) == pytest.approx((100,) * 4)
