"""Frames come out of folders, files and streams whole, in order, and with one clear line when they do not."""

import tracemalloc
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framework.data.sources.image_folder import ImageFolder
from framework.data.sources.source import Beginning, Looped, Source, open_source
from framework.data.sources.video import VideoFile
from framework.errors import InputError
from tests.fakes.colour import square, write_folder, write_video


def near(image: np.ndarray, index: int) -> bool:
    """Equal up to lossy compression."""
    return float(np.abs(image.astype(int) - square(index).astype(int)).mean()) < 6


def test_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 12))
    assert isinstance(source, ImageFolder) and isinstance(source, Source)
    assert (source.name, source.length, source.size) == ("clip", 12, (48, 64))
    for index, image in enumerate(source.frames()):
        np.testing.assert_array_equal(image, square(index))


def test_folder_ignores_other_files_and_reads_jpeg(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", 3, ".JPG")
    (folder / "notes.txt").write_text("hello")
    (folder / "frame9.png").mkdir()
    source = ImageFolder(folder)
    assert source.length == 3
    assert near(source.frame(2), 2)


def test_camera_orientation_of_an_image_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    Image.fromarray(square(3)).save(tmp_path / "a.png", exif=exif)
    source = ImageFolder(tmp_path)
    assert source.size == (64, 48)
    np.testing.assert_array_equal(source.frame(0), np.rot90(square(3), -1))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_video_is_decoded_in_order(tmp_path: Path, name: str) -> None:
    source = open_source(write_video(tmp_path / name, 12))
    assert isinstance(source, VideoFile) and isinstance(source, Source)
    assert (source.name, source.length, source.size, round(source.rate)) == ("clip", 12, (48, 64), 25)
    images = list(source.frames())
    assert len(images) == 12
    assert all(near(image, index) for index, image in enumerate(images))


def test_any_frame_equals_the_one_decoded_in_order(tmp_path: Path) -> None:
    source = VideoFile(write_video(tmp_path / "clip.mp4", 24, codec="mpeg4", gop=5))
    images = list(source.frames())
    for index in (0, 1, 2, 17, 3, 23, 22, 4, 5, 0):
        np.testing.assert_array_equal(source.frame(index), images[index])
    with pytest.raises(InputError, match="frame 24 is outside its 24 frames"):
        source.frame(24)


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_of_a_video_is_honoured(tmp_path: Path, rotation: int, turns: int) -> None:
    source = VideoFile(write_video(tmp_path / "clip.mp4", 2, rotation))
    image = next(source.frames())
    assert image.shape[:2] == source.size == ((48, 64) if turns == 2 else (64, 48))
    assert float(np.abs(image.astype(int) - np.rot90(square(0), turns).astype(int)).mean()) < 6


def test_truncated_video_gives_what_it_has_and_says_where_it_ends(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    read = []
    with pytest.raises(InputError) as failure:
        for image in VideoFile(path).frames():
            read.append(image)
    assert 5 < len(read) < 40
    assert all(near(image, index) for index, image in enumerate(read))
    assert f"frame {len(read)} of 40" in str(failure.value) and str(path) in str(failure.value)


def test_damaged_video_says_where(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mkv", 40)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    read = 0
    with pytest.raises(InputError, match=r"the video .* at frame \d+"):
        for _ in VideoFile(path).frames():
            read += 1
    assert 0 < read < 40


def corrupt_image(folder: Path) -> Path:
    write_folder(folder, 4)
    content = (folder / "frame2.png").read_bytes()
    (folder / "frame2.png").write_bytes(content[: len(content) // 2])
    return folder


def other_size(folder: Path) -> Path:
    write_folder(folder, 4)
    Image.fromarray(square(0)[:40]).save(folder / "frame3.png")
    return folder


def test_broken_image_in_a_folder_comes_after_those_before_it(tmp_path: Path) -> None:
    frames = ImageFolder(corrupt_image(tmp_path / "clip")).frames()
    assert len(list(islice(frames, 2))) == 2
    with pytest.raises(InputError, match=r"frame2.png: cannot be read as an image .*replace the file"):
        next(frames)


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"frame3.png \(frame 3\) is 64x40 but the first frame is 64x48"):
        list(ImageFolder(other_size(tmp_path / "clip")).frames())


def test_what_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("not a video" * 100)
    (tmp_path / "nothing.mp4").write_bytes(b"")
    write_video(tmp_path / "noindex.mp4", faststart=False)
    whole = (tmp_path / "noindex.mp4").read_bytes()
    (tmp_path / "noindex.mp4").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(square(0)).save(tmp_path / "one.png")
    expected = {
        "missing.mp4": "no such video or folder",
        "empty": "holds no .png, .jpg, .jpeg files",
        "text.mp4": "cannot be opened as a video",
        "nothing.mp4": "cannot be opened as a video",
        "noindex.mp4": "is it a complete video",
        "one.png": "single image",
    }
    for name, words in expected.items():
        with pytest.raises(InputError, match=words) as failure:
            open_source(tmp_path / name)
        assert name in str(failure.value) and "\n" not in str(failure.value)
    with pytest.raises(InputError, match="cannot be opened as a video"):
        open_source("udp://127.0.0.1:9?timeout=1000")


def test_loop_and_limit(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", 5)
    looped = open_source(folder, loop=12)
    assert isinstance(looped, Looped) and looped.length == 12
    shown = [int(np.flatnonzero((image == square(0)[20, 0]).all(-1)[20])[0]) // 2 for image in looped.frames()]
    assert shown == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    limited = open_source(folder, limit=3)
    assert isinstance(limited, Beginning) and limited.length == 3 == len(list(limited.frames()))
    assert len(list(open_source(folder, limit=2, loop=5).frames())) == 5
    with pytest.raises(InputError, match="frames=0"):
        open_source(folder, limit=0)


def test_reading_takes_no_more_memory_the_longer_it_lasts(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "clip.mp4", 10), loop=400)
    tracemalloc.start()
    peaks = []
    for index, _ in enumerate(source.frames(), 1):
        if index in (100, 400):
            peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000


def test_what_counts_as_a_frame(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", 3)
    names = [path.name for path in ImageFolder(folder).files]
    for name in names:
        (folder / f"._{name}").write_bytes(b"\0\5\26\7")  # what macOS leaves on other disks
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    (folder / "more.png").mkdir()
    assert [path.name for path in ImageFolder(folder).files] == names
    (folder / "frame7.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"frame7.png is a link to .*gone.png, which is not there"):
        open_source(folder)


@pytest.mark.parametrize("name", ["frame1.webp", "frame1.TIF", "frame1.bmp"])
def test_an_image_of_another_format_among_the_frames_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "clip", 3)
    (folder / name).write_bytes(b"")
    with pytest.raises(InputError, match=f"{name} is no PNG or JPEG, so which files count is in doubt"):
        open_source(folder)


@pytest.mark.parametrize("levels", [(0, 257, 65535), (0, 128, 65407)])
def test_16_bits_are_scaled_to_8(tmp_path: Path, levels: tuple[int, ...]) -> None:
    Image.fromarray(np.array([levels] * 2, np.uint16)).save(tmp_path / "0.png")
    (image,) = ImageFolder(tmp_path).frames()
    assert image[0].tolist() == [[round(level / 257)] * 3 for level in levels]
