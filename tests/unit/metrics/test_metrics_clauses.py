"""Conventions of the official evaluators one by one, on boxes made for each."""

import numpy as np
import pytest

from framework.errors import InputError
from framework.metrics import got10k, trackingnet
from framework.metrics import torch_float32_sum as single
from framework.metrics.ope import EVALUATORS, SequencePrediction, vectorised_twentieths

FAMILY = ("pytracking", "samurai", "him2sam")
HERE, THERE, EMPTY = (10.0, 10.0, 20.0, 10.0), (60.0, 60.0, 20.0, 10.0), (0.0, 0.0, 0.0, 0.0)


def curves(mode, truth, prediction, visible=None):
    truth, prediction = np.array(truth, np.float64), np.array(prediction, np.float64)
    return EVALUATORS[mode].curves(
        SequencePrediction("video", truth, prediction, None if visible is None else np.array(visible))
    )


def hits(found):
    """Frames above IoU 0.5, within 20 px, and within 0.20 of the object's size."""
    return found.success[10], found.precision[20], found.normalised[20]


@pytest.mark.parametrize("tool", FAMILY)
class TestPytrackingFamily:
    def test_an_empty_row_takes_the_row_before_it_and_row_0_is_the_tracker_s_own(self, tool):
        flat = (50.0, 50.0, 0.0, 10.0)
        assert hits(curves(f"{tool}/lasot", [HERE] * 4, [THERE, EMPTY, HERE, flat])) == (3, 3, 3)
        assert hits(curves(f"{tool}/lasot", [HERE] * 3, [HERE, EMPTY, flat])) == (3, 3, 3)
        assert hits(curves(f"{tool}/lasot", [HERE] * 3, [EMPTY, EMPTY, EMPTY]))[0] == 1

    def test_a_short_prediction_is_refused_on_lasot_and_filled_with_zeros_elsewhere(self, tool):
        with pytest.raises(InputError, match="2 rows for 4 frames"):
            curves(f"{tool}/lasot", [HERE] * 4, [HERE] * 2)
        for data in ("lasot_extension_subset", "otb", "nfs", "uav"):
            found = curves(f"{tool}/{data}", [HERE] * 4, [HERE, HERE])
            assert (found.frames, found.success[10]) == (4, 2)  # not carried forward

    def test_rows_past_the_end_are_cut(self, tool):
        assert hits(curves(f"{tool}/otb", [HERE] * 2, [HERE, HERE, THERE])) == (2, 2, 2)
        if tool == "pytracking":
            with pytest.raises(InputError, match="empty box after the last frame; cut it to 2 rows"):
                curves(f"{tool}/otb", [HERE] * 2, [HERE, HERE, EMPTY])
        else:
            assert hits(curves(f"{tool}/otb", [HERE] * 2, [HERE, HERE, EMPTY])) == (2, 2, 2)

    def test_absent_frames_are_misses_on_lasot_and_normalised_hits_elsewhere(self, tool):
        seen = [True, False, True]
        for data, normalised in (("lasot", 2), ("lasot_extension_subset", 3)):
            assert hits(curves(f"{tool}/{data}", [HERE, EMPTY, HERE], [HERE] * 3, seen)) == (2, 2, normalised)
        # Visible by its label, but without a box: a normalised hit on LaSOT too.
        assert hits(curves(f"{tool}/lasot", [HERE, EMPTY, HERE], [HERE] * 3, [True] * 3)) == (2, 2, 3)

    def test_a_box_at_the_border_counts_unless_pytracking_says_so(self, tool):
        border = (0.0, 10.0, 20.0, 10.0)
        assert curves(f"{tool}/otb", [HERE, border], [HERE, border]).success[10] == 1 + (tool != "pytracking")

    def test_unknown_truth_is_a_hit_on_uav_and_refused_elsewhere(self, tool):
        unknown = (np.nan,) * 4
        assert hits(curves(f"{tool}/uav", [HERE, unknown], [HERE, EMPTY])) == (1, 2, 2)
        for data in ("lasot", "otb", "nfs", "lasot_extension_subset"):
            with pytest.raises(InputError, match="the ground truth has NaN boxes"):
                curves(f"{tool}/{data}", [HERE, unknown], [HERE, HERE])

    def test_negative_and_unknown_boxes(self, tool):
        with pytest.raises(InputError, match="NaN"):
            curves(f"{tool}/otb", [HERE] * 2, [HERE, (np.nan,) * 4])
        if tool == "him2sam":  # -1,-1,-1,-1 becomes empty, and a corner outside moves in, its size unchanged
            assert hits(curves(f"{tool}/otb", [HERE] * 2, [HERE, (-1.0,) * 4])) == (2, 2, 2)
            inside = (0.0 + 1, 1.0, 20.0, 10.0)
            assert curves(f"{tool}/otb", [inside] * 2, [inside, (-9.0, -9.0, 20.0, 10.0)]).success[10] == 2
        else:
            with pytest.raises(InputError, match="negative width or height"):
                curves(f"{tool}/otb", [HERE] * 2, [HERE, (-1.0,) * 4])


def test_an_overlap_at_a_threshold_is_a_miss_and_an_error_at_one_a_hit():
    truth = (1.0, 1.0, 10.0, 10.0)
    found = curves("samurai/otb", [truth] * 2, [truth, (1.0, 1.0, 10.0, 5.0)])
    assert (found.success[9], found.success[10]) == (2, 1)  # IoU exactly 0.5
    found = curves("samurai/otb", [truth] * 2, [truth, (21.0, 1.0, 10.0, 10.0)])
    assert (found.precision[19], found.precision[20]) == (1, 2)


def test_a_short_prediction_shortens_the_sequence_for_the_got10k_toolkit():
    found = curves("got10k_git/otb", [HERE] * 4, [THERE, HERE])
    assert (found.frames, found.success[10]) == (2, 2)


def test_single_precision_means_are_near_double_ones_at_any_length():
    random = np.random.default_rng(0)
    for rows in (1, 2, 5, 16, 63, 64, 280, 600):
        table = random.random((rows, 51), dtype=np.float32)
        assert single.column_means(table) == pytest.approx(table.astype(np.float64).mean(axis=0), abs=1e-6)
        assert single.column_means(table).dtype == np.float32
    assert single.mean(table[0, : len(vectorised_twentieths())]) == pytest.approx(table[0, :21].mean(), abs=1e-6)


def test_trackingnet_rounds_to_even_and_forgives_its_first_frame():
    truth = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float64)
    exact, half = (trackingnet.score(np.array([[5, 5, 1, 1], row], float), truth) for row in ([0, 0, 10, 10],) * 2)
    assert exact == half and exact.success == 100.0
    assert trackingnet.score(np.array([[0, 0, 1, 1], [0.5, 0.5, 10.5, 9.5]]), truth).success == 100.0
    short = trackingnet.score(truth[:1], truth)
    assert (short.coverage, short.success) == (50.0, 50.0)


def test_got10k_moves_negative_corners_and_shows_the_latest_known_speed():
    truth = np.array([[0, 0, 10, 10]] * 3, np.float64)
    moved = np.array([[0, 0, 10, 10], [-5, 0, 10, 10], [-1, -1, -1, -1]], np.float64)

    def run(name, times):
        return got10k.SequencePrediction(name, truth, np.array([8, 8, 8]), (100, 100), (moved,), times)

    report = got10k.evaluate([run("a", np.array([0.0, 0.5, 0.25])), run("b", None)])
    assert report.overall.ao == pytest.approx(0.5)  # the corner moves, the width stays; the empty box misses
    assert report.per_sequence["b"].speed == report.per_sequence["a"].speed == 3.0
