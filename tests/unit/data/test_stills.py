"""Stills under warps: frames by hand, masks that go along, smooth motion without folds, and objects left out."""

import numpy as np
import pytest
from PIL import Image

from framework.data.procedural.photo import Photo
from framework.data.procedural.stills import Still, Warp, draw_warp
from tests.fakes.cutouts import write_folders

SIDE = 64
NONE = np.zeros((0, 2))


def picture(hidden):
    """Noise, with a rectangle of 16 x 8 pixels in the middle that is object 1."""
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    owner = np.zeros((SIDE, SIDE), np.uint8)
    if 1 not in hidden:
        owner[28:36, 24:40] = 1
    return image, owner


def still(extent=1.0, waves=NONE, bend=NONE, motion=NONE, **swings):
    """`swings` hold from the start on: sines at their crest."""
    amplitude = np.array([swings.get(name, 0.0) for name in ("x", "y", "growth", "angle", "shear")])
    swing = np.stack([amplitude, np.zeros(5), np.full(5, np.pi / 2)], axis=1)
    return Still(SIDE, 10, (1,), picture, Warp(np.array([0.5, 0.5]), extent, swing, waves, bend, motion))


def test_without_a_warp_the_picture_is_the_frame():
    image, owner = picture(frozenset())
    shown = still().render(3.0)
    np.testing.assert_array_equal(shown.image, image)
    np.testing.assert_array_equal(shown.owner, owner)
    assert shown.area == (128,)


def test_a_shift_shows_what_lies_beside_and_repeats_the_edge():
    image, owner = picture(frozenset())
    shown = still(x=4 / SIDE, y=-2 / SIDE).render(0.0)
    np.testing.assert_array_equal(shown.image[2:, :-4], image[:-2, 4:])
    np.testing.assert_array_equal(shown.owner[2:, :-4], owner[:-2, 4:])
    np.testing.assert_array_equal(shown.image[2:, -4:], np.repeat(image[:-2, -1:], 4, axis=1))
    np.testing.assert_array_equal(shown.image[:2, :-4], np.repeat(image[:1, 4:], 2, axis=0))


@pytest.mark.parametrize("zoomed", [still(extent=0.5), still(growth=np.log(0.5))])
def test_half_the_extent_is_twice_the_size(zoomed):
    owner = zoomed.ids(0)
    assert owner.sum() == 4 * 128 and owner[24:40, 16:48].all()


def test_a_quarter_turn():
    """The rectangle stands upright, and what was on the right is below or above it."""
    image, _ = picture(frozenset())
    turned = still(angle=np.pi / 2).render(0.0)
    assert turned.owner[24:40, 28:36].all() and turned.owner.sum() == 128
    assert any(np.abs(turned.image.astype(int) - np.rot90(image, k)).max() <= 1 for k in (1, 3))


def test_a_shear_moves_rows_against_one_another():
    owner = still(shear=0.5).ids(0)
    first, last = (np.flatnonzero(owner[row]).mean() for row in (28, 35))
    assert (last - first) / 7 == pytest.approx(-0.5, abs=0.1) and owner.sum() == pytest.approx(128, abs=8)


def test_a_wave_bends_by_its_displacement():
    """One wave of two periods along x that moves y by 4 pixels: a quarter of a period on, it is at its crest."""
    waved = still(
        waves=np.array([[4 * np.pi, 0.0]]), bend=np.array([[0.0, 4 / SIDE]]), motion=np.array([[np.pi / 2, 0.0]])
    )
    rows = [np.flatnonzero(waved.ids(0)[:, column]).mean() for column in range(24, 40)]
    assert min(rows) == pytest.approx(31.5 - 4, abs=0.6) and max(rows) == pytest.approx(31.5 + 4, abs=0.6)
    assert np.flatnonzero(waved.ids(1)[:, 32]).mean() == pytest.approx(31.5 - 4, abs=0.6)  # sin(4 pi / 2 + pi / 2)


def test_warps_are_smooth_and_never_fold():
    for seed in range(40):
        warp = draw_warp(np.random.default_rng(seed), np.array([0.3, 0.6]), 0.7)
        for t in (0.0, 17.0, 90.0):
            places = warp.places(t)
            right, down = places[:-1, 1:] - places[:-1, :-1], places[1:, :-1] - places[:-1, :-1]
            assert (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0] > 0).all()
            assert np.abs(warp.places(t + 1) - places).max() < 0.15
    assert not np.allclose(warp.places(0.0), warp.places(40.0), atol=0.01)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("stills"))


def photo(root, **options):
    given = {"sprites": str(root / "sprites"), "backgrounds": str(root / "grounds"), "size": 96, "length": 60}
    return Photo(**given, **options)


def test_masks_go_along_with_what_is_seen(folders):
    """Red things on grey ground: what is red enough is an object."""
    agreement = []
    for index in range(6):
        made = photo(folders, level="calm", altered={"others": [0, 0]}).still(index)
        for t in (0.0, 20.0, 50.0):
            shown = made.render(t)
            red = shown.image[..., 0].astype(int) - shown.image[..., 1:].max(-1) > 40
            agreement.append((red & (shown.owner == 1)).sum() / max((shown.owner == 1).sum(), 1))
    assert np.mean(agreement) > 0.85


def test_the_same_still_for_the_same_number_in_any_order(folders):
    one, two = (photo(folders, level="distractors").still(3) for _ in range(2))
    frames = [one.render(t).image for t in (0.0, 9.0, 40.0)]
    assert all(
        np.array_equal(a, two.render(t).image) for a, t in reversed(list(zip(frames, (0.0, 9.0, 40.0), strict=True)))
    )
    assert not np.array_equal(frames[0], frames[2])
    assert not np.array_equal(frames[0], photo(folders, level="distractors").still(4).render(0.0).image)


def test_an_object_is_in_view_at_the_start_and_may_be_left_out(folders):
    for index in range(5):
        made = photo(folders, level="distractors").still(index)
        shown, without = made.render(0.0), made.render(0.0, {1})
        assert shown.area[0] >= 40 and len(shown.area) == len(made.objects) > 1
        assert 1 not in without.owner and not np.array_equal(shown.image, without.image)
        assert np.array_equal(made.render(0.0).image, shown.image)


def test_a_photograph_with_its_mask_is_shown_whole(folders, tmp_path):
    """The object of a picture that has a mask lies in its own surroundings, and cannot be taken out of them."""
    (tmp_path / "sprites" / "images").mkdir(parents=True)
    (tmp_path / "sprites" / "masks").mkdir()
    for i in range(40):
        image, mask = np.full((60, 80, 3), (20, 160, 40), np.uint8), np.zeros((60, 80), np.uint8)
        image[20:40, 30:60], mask[20:40, 30:60] = (220, 30, 30), 255
        Image.fromarray(image).save(tmp_path / "sprites" / "images" / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / "sprites" / "masks" / f"{i}.png")
    (tmp_path / "grounds").symlink_to(folders / "grounds")
    made = photo(tmp_path).still(0)
    shown = made.render(7.0)
    inside = shown.owner == 1
    assert made.objects == (1,) and inside.sum() > 100
    assert np.abs(shown.image[inside].astype(int) - (220, 30, 30)).mean() < 12
    assert np.abs(shown.image[~inside].astype(int) - (20, 160, 40)).mean() < 12
    assert np.array_equal(made.render(7.0, {1}).owner, shown.owner)
