"""Pictures of a tracked frame."""

from pathlib import Path

import av
import numpy as np
import pytest

from framework.data.palette import colour, palette
from framework.report.overlay import GROUND, INK, LONG, WINDOW, legible, memory_strip, overlay
from framework.report.video import VideoWriter
from framework.types import ANCHOR, MemoryUse

GREY = np.full((120, 200, 3), 100, np.uint8)


def disc(x: int, y: int, radius: int = 20) -> np.ndarray:
    rows, columns = np.mgrid[:120, :200]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def test_tints_the_mask_and_nothing_else() -> None:
    image = GREY.copy()
    picture = overlay(image, {1: disc(60, 60), 2: disc(140, 60)})
    np.testing.assert_array_equal(image, GREY)
    assert picture.shape == image.shape and picture.dtype == np.uint8
    for key, x in ((1, 60), (2, 140)):
        expected = 0.55 * 100 + 0.45 * np.array(colour(key))
        assert np.abs(picture[60, x] - expected).max() <= 1
    far = ~(disc(60, 60, 24) | disc(140, 60, 24))
    np.testing.assert_array_equal(picture[far], GREY[far])
    edge = picture[60, 78:82].astype(int)
    assert np.abs(edge - np.array(colour(1))).sum(axis=1).min() < 60


def test_an_empty_mask_changes_nothing() -> None:
    picture = overlay(GREY, {1: np.zeros((120, 200), bool)}, labels={1: "1  0.50"})
    np.testing.assert_array_equal(picture, GREY)


def test_labels_captions_and_boxes_are_drawn_inside_the_image() -> None:
    labelled = overlay(GREY, {1: disc(2, 2), 2: disc(199, 119)}, labels={1: "1  0.91", 2: "2  0.82"})
    for key, corner in ((1, (slice(0, 24), slice(0, 60))), (2, (slice(70, 120), slice(140, 200)))):
        assert (np.abs(labelled[corner].astype(int) - np.array(colour(key))).sum(axis=-1) < 6).sum() > 50
    captioned = overlay(GREY, {}, ["frame 3 / 10", "second line"])
    assert (captioned[:50] == GROUND).all(axis=-1).sum() > 200
    np.testing.assert_array_equal(captioned[60:], GREY[60:])
    boxed = overlay(GREY, {}, boxes={3: (10.0, 20.0, 90.0, 100.0)})
    assert (boxed[20, 40] == colour(3)).all() and (boxed[60, 89] == colour(3)).all()
    np.testing.assert_array_equal(boxed[60, 50], GREY[60, 50])


def test_small_videos_are_enlarged() -> None:
    assert legible((48, 64)) == 5 and legible((720, 1280)) == 1
    picture = overlay(GREY, {1: disc(60, 60)}, boxes={1: (40.0, 40.0, 80.0, 80.0)}, zoom=2)
    assert picture.shape == (240, 400, 3)
    tinted = np.abs(picture[..., 0].astype(int) - 100) > 20
    assert tinted.sum() == pytest.approx(4 * disc(60, 60).sum(), rel=0.15)
    assert (picture[80, 100] == colour(1)).all()


def test_strip_shows_what_was_read_where_it_is() -> None:
    memory = {1: MemoryUse(((0, ANCHOR), (50, 0)), ((49, 2),), (0, 30, 49, 50)), 2: MemoryUse()}
    strip = memory_strip(memory, 60, 1000, 101, {1: [0]})
    again = memory_strip(memory, 61, 1000, 101, {1: [0]})
    assert strip.shape == again.shape and strip.shape[1] == 1000
    row = strip.shape[0] // 2

    def bright(picture: np.ndarray, rows: slice, ink: tuple[int, int, int]) -> np.ndarray:
        found = np.flatnonzero((picture[rows] == ink).all(axis=-1).any(axis=0))
        return found[found > 30]  # left of it are the ids

    ends = bright(memory_strip({1: MemoryUse(((0, 0), (100, 0)))}, 60, 1000, 101), slice(4, 8), colour(1))
    left, right = ends.min(), ends.max()
    read = bright(strip, slice(4, 8), colour(1))
    assert read.min() == pytest.approx(left, abs=4) and read.max() == pytest.approx((left + right) / 2, abs=4)
    assert bright(strip, slice(row + 2, row + 6), INK).mean() == pytest.approx(left + 0.6 * (right - left), abs=3)
    assert not len(bright(strip, slice(row, 2 * row), colour(1)))


@pytest.mark.parametrize("length", [None, LONG + 1])
def test_strip_of_an_endless_or_long_video_moves_along(length: int | None) -> None:
    def newest(frame: int) -> float:
        strip = memory_strip({1: MemoryUse(((frame - 1, 0), (0, ANCHOR)))}, frame, 900, length)
        return float(np.flatnonzero((strip[4:8] == colour(1)).all(axis=-1).any(axis=0)).max())

    assert newest(WINDOW) == pytest.approx(newest(LONG), abs=1)
    assert newest(20) < newest(WINDOW) / 2


def test_palette_has_256_colours_and_a_black_ground() -> None:
    assert len(palette()) == 768 and tuple(palette()[:3]) == (0, 0, 0) and tuple(palette()[3:6]) == colour(1)


def test_video_has_its_frames_rate_and_an_even_size(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 29.97) as video:
        for index in range(10):
            video.write(np.full((65, 99, 3), 20 * index, np.uint8))
            assert not path.exists()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert (stream.width, stream.height) == (98, 64)
        assert float(stream.average_rate or 0) == pytest.approx(29.97, abs=0.01)
    assert len(frames) == 10
    assert all(abs(float(frame.mean()) - 20 * index) < 6 for index, frame in enumerate(frames))
    assert [item.name for item in tmp_path.iterdir()] == ["out.mp4"]


def test_video_leaves_nothing_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "out.mp4", 25.0) as video:
        video.write(GREY)
        raise RuntimeError
    with VideoWriter(tmp_path / "empty.mp4", 25.0):
        pass
    assert not list(tmp_path.iterdir())
