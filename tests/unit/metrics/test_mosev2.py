"""MOSEv2's measures by hand, and what holds for all masks."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from framework.errors import InputError
from framework.metrics.mose import MoseObject, mose, mose_object, radii, smoothed_jaccard
from framework.metrics.vos import Masked, jaccard


def square(left, side, shape=(1000, 1000)):
    mask = np.zeros(shape, dtype=bool)
    mask[100 : 100 + side, left : left + side] = True
    return mask


def scored(truth, prediction):
    """One object from the masks of its scored frames."""
    blank = np.zeros((1, *truth[0].shape), dtype=bool)
    return mose_object(Masked("s", "1", *(np.concatenate([blank, masks, blank]) for masks in (truth, prediction))))


def with_values(visible, values):
    """J and F are the same on every frame."""
    values = np.array(values, dtype=np.float64)
    return MoseObject("s", "1", values, values, values, np.array(visible, dtype=bool))


def test_jaccard_is_smoothed_by_one_pixel():
    small, nothing = square(100, 6), np.zeros((1000, 1000), dtype=bool)
    truth = np.stack([small, small, small, nothing, nothing])
    prediction = np.stack([small, square(103, 6), nothing, small, nothing])
    assert smoothed_jaccard(prediction, truth).tolist() == [1, 19 / 55, 1 / 37, 1 / 37, 1]


def test_radii_fit_the_object_up_to_the_limit_of_the_image():
    limit = 0.008 * math.sqrt(2) * 1000  # 11.3 px
    assert radii(square(100, 100)) == (10, 12)
    assert radii(square(100, 1)) == (1, 12)
    assert radii(square(100, 200)) == (limit, limit)
    assert radii(np.zeros((1000, 1000), dtype=bool)) == (limit, limit)


def test_a_small_object_has_a_small_tolerance():
    truth = square(100, 20)  # 2 px
    o = scored(np.stack([truth] * 3), np.stack([square(102, 20), square(108, 20), square(300, 20)]))
    assert o.fitted[0] == 1 and 0 < o.fitted[1] < 1 and o.fitted[2] == 0
    assert o.boundary.tolist() == [1, 1, 0]


def test_episodes_begin_with_a_change():
    o = with_values([1, 1, 0, 0, 1, 1, 1, 0], [0.9, 0.9, 0.2, 0.4, 0.1, 0.2, 0.6, 1.0])
    assert o.episodes(visible=False) == pytest.approx((0.3 + 1.0) / 2)  # each counts once, however long
    assert o.episodes(visible=True) == pytest.approx(0.3)


def test_what_already_holds_is_no_episode():
    absent_first = with_values([0, 0, 1, 1], [0, 0, 0.4, 0.6])
    assert absent_first.episodes(visible=False) is None and absent_first.episodes(visible=True) == pytest.approx(0.5)
    always = with_values([1, 1], [0.5, 0.7])
    assert always.episodes(visible=False) is None and always.episodes(visible=True) is None


def test_means_are_over_the_objects_that_have_an_episode():
    report = mose([with_values([1, 0], [1.0, 0.0]), with_values([1, 1], [0.5, 0.7])])
    assert report.jaccard == pytest.approx((0.5 + 0.6) / 2) and report.disappearance == 0
    assert report.reappearance is None


def test_too_short_a_video_is_one_line():
    two = np.ones((2, 8, 8), dtype=bool)
    with pytest.raises(InputError, match="s: 2 frames; the first and the last do not count"):
        mose_object(Masked("s", "1", two, two))
    with pytest.raises(InputError, match="no annotated object"):
        mose([])


masks = st.tuples(st.integers(3, 7), st.integers(2, 40), st.integers(2, 40)).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_shares_and_their_order(pair):
    truth, prediction = pair
    o = mose_object(Masked("s", "1", truth, prediction))
    for values in (o.jaccard, o.fitted, o.boundary):
        assert len(values) == len(truth) - 2 and ((values >= 0) & (values <= 1)).all()
    assert (o.jaccard >= jaccard(prediction[1:-1], truth[1:-1]) - 1e-12).all()
    assert (o.fitted <= o.boundary + 1e-12).all()
    for visible in (False, True):
        episodes = o.episodes(visible)
        assert episodes is None or 0 <= episodes <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_a_perfect_answer_is_perfect_in_every_episode(visible):
    truth = np.stack([square(40, 30, (200, 200)) & seen for seen in visible])
    o = scored(truth, truth)
    assert o.jaccard.min() == o.fitted.min() == o.boundary.min() == 1
    changes = [b for a, b in pairwise(visible) if a != b]
    assert o.episodes(visible=True) == (1 if True in changes else None)
    assert o.episodes(visible=False) == (1 if False in changes else None)
