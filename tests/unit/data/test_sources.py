"""Frames come out of folders, files and streams whole, in order, and with one clear line when they do not."""

import os
import tracemalloc
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from framework.data.sources.frame_range import FrameRange
from framework.data.sources.image_folder import ImageFolder
from framework.data.sources.source import Looped, Part, Source, open_source
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
    limited = open_source(folder, FrameRange(frames=3))
    assert isinstance(limited, Part) and limited.length == 3 == len(list(limited.frames()))
    assert len(list(open_source(folder, FrameRange(frames=2), loop=5).frames())) == 5
    with pytest.raises(InputError, match="frames=0"):
        open_source(folder, FrameRange(frames=0))


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


def write(
    path: Path,
    pictures: list[np.ndarray],
    matrix: list[int] | None = None,
    gop: int = 4,
    codec: str = "mpeg4",
    reordered: int = 0,
) -> Path:
    """Pictures as a video, in the container that the name says; so many in a row refer to a later one."""
    with av.open(str(path.absolute()), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"bf": str(reordered)})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate, stream.gop_size = "yuv420p", 4_000_000, gop
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def clip(frames: int) -> list[np.ndarray]:
    return [square(index) for index in range(frames)]


def read(path: Path) -> tuple[list[np.ndarray], str]:
    """Frames, and how it ended."""
    source, images = VideoFile(path), []
    try:
        images.extend(source.frames())
    except InputError as error:
        return images, str(error)
    assert len(images) == source.length
    return images, ""


ONE = 1 << 16
ORIENTATIONS = {  # a, b, c, d of the display matrix (column x, row y -> a x + c y, b x + d y), and the picture by it
    "as stored": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "upside down": ((1, 0, 0, -1), np.flipud),
    "half a turn": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "counter-clockwise": ((0, -1, 1, 0), np.rot90),
    "transposed": ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    "over the other diagonal": ((0, -1, -1, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_all_eight_orientations_of_a_display_matrix(tmp_path: Path, name: str) -> None:
    (a, b, c, d), turned = ORIENTATIONS[name]
    picture = square(0)
    picture[:16, 32:] = (30, 60, 220)  # no orientation looks like another
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    source = VideoFile(write(tmp_path / "clip.mov", [picture] * 2, matrix))
    expected = turned(picture)
    for image in (next(source.frames()), source.frame(1)):
        assert image.shape[:2] == source.size == expected.shape[:2]
        assert float(np.abs(image.astype(int) - expected.astype(int)).mean()) < 6


@pytest.mark.parametrize(("media_time", "seconds", "first", "last"), [(0, 0.4, 0, 10), (0.2, 0.32, 5, 13)])
def test_an_edit_list_decides_what_is_shown(
    tmp_path: Path, media_time: float, seconds: float, first: int, last: int
) -> None:
    """Trimmed as phones do: all samples are stored, and the list says which part is shown."""
    path = write(tmp_path / "clip.mp4", clip(20))
    content = bytearray(path.read_bytes())
    media = av.open(str(path)).streams.video[0].time_base.denominator
    at = content.index(b"elst") + 12  # after version, flags and the number of entries
    content[at : at + 8] = round(1000 * seconds).to_bytes(4, "big") + round(media_time * media).to_bytes(4, "big")
    path.write_bytes(content)
    images, end = read(path)
    assert end == "" and len(images) == last - first
    assert all(near(image, first + index) for index, image in enumerate(images))
    source = VideoFile(path)
    np.testing.assert_array_equal(source.frame(last - first - 1), images[-1])
    np.testing.assert_array_equal(source.frame(1), images[1])


@pytest.mark.parametrize("name", ["raw.m4v", "clip.ts", "clip.mov", "clip.nut"])
def test_containers_that_announce_nothing_are_counted(tmp_path: Path, name: str) -> None:
    images, end = read(write(tmp_path / name, clip(12)))
    assert end == "" and len(images) == 12
    assert all(near(image, index) for index, image in enumerate(images))


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video", "libx264"])
@pytest.mark.parametrize("suffix", [".ts", ".mpg", ".avi", ".mkv", ".mp4", ".flv"])
def test_any_frame_of_any_container_equals_the_one_decoded_in_order(tmp_path: Path, suffix: str, codec: str) -> None:
    """Also of those that are searched without an index, or note no time at which a frame is shown."""
    if suffix == ".flv" and codec != "libx264":
        suffix = ".mov"
    source = VideoFile(write(tmp_path / f"clip{suffix}", clip(20), gop=8, codec=codec, reordered=2))
    images = list(source.frames())
    assert len(images) == 20 and all(near(image, index) for index, image in enumerate(images))
    for index in (19, 18, 0, 10, 11, 3, 17, 9):
        np.testing.assert_array_equal(source.frame(index), images[index])


def without_packets(path: Path, drop: range, blank: int | None = None) -> Path:
    """A copy of a video that lacks packets, and of which one holds nothing but zeros."""
    copy = path.with_stem("damaged")
    with av.open(str(path)) as whole, av.open(str(copy), "w") as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for index, packet in enumerate(packet for packet in whole.demux(video=0) if packet.size):
            if index == blank:
                zeros = av.Packet(bytes(packet.size))
                zeros.pts, zeros.dts, zeros.time_base = packet.pts, packet.dts, packet.time_base
                zeros.duration = packet.duration
                packet = zeros
            if index not in drop:
                packet.stream = stream
                container.mux(packet)
    return copy


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_video_that_begins_between_key_frames_says_so(tmp_path: Path, suffix: str) -> None:
    """Its first two packets refer to one that is gone: what can be shown begins after them."""
    damaged = without_packets(write(tmp_path / f"clip{suffix}", clip(24), gop=4), range(2))
    images, end = read(damaged)
    assert "the video begins with 2 frames that need one before them" in end and f"the {len(images)} after" in end
    assert len(images) == VideoFile(damaged).length == 20 and all(
        near(image, 4 + at) for at, image in enumerate(images)
    )
    with pytest.raises(InputError, match="frame 20 is outside its 20 frames"):
        VideoFile(damaged).frame(20)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_last_frame_that_cannot_be_decoded_is_reported(tmp_path: Path, suffix: str) -> None:
    images, end = read(without_packets(write(tmp_path / f"clip{suffix}", clip(12)), range(0), blank=11))
    assert len(images) == 11 and "at frame 11 of 12; what came before it is kept" in end


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("first", [True, False])
def test_a_thumbnail_is_not_the_video(tmp_path: Path, suffix: str, first: bool) -> None:
    """One picture in a stream of its own, before or after the video."""
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as container:
        made = [
            container.add_stream("mjpeg" if thumbnail == first else "mpeg4", rate=25) for thumbnail in (True, False)
        ]
        for stream in made:
            jpeg = stream.codec_context.name == "mjpeg"
            stream.height, stream.width, stream.pix_fmt = (96, 128, "yuvj420p") if jpeg else (48, 64, "yuv420p")
        for stream in made:
            jpeg = stream.codec_context.name == "mjpeg"
            for picture in [np.full((96, 128, 3), 9, np.uint8)] if jpeg else clip(8):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    images, end = read(path)
    assert end == "" and len(images) == 8 and all(near(image, index) for index, image in enumerate(images))


def test_a_relative_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("take:1.mp4"), clip(3))
    assert open_source("take:1.mp4").length == 3
    Path("http:").mkdir()
    write(Path("http:/clip.mp4"), clip(2))
    assert open_source("http://clip.mp4").length == 2


@pytest.mark.parametrize("name", ["²", "٣", "１"])
def test_digits_of_other_scripts_are_no_cameras(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: no such video or folder"):
        open_source(name)


def test_a_name_with_a_tilde_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    write(Path("~clip.mp4"), clip(3))
    write(Path("home/other.mp4"), clip(2))
    assert open_source("~clip.mp4").length == 3 and open_source("~/other.mp4").length == 2


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".webp", ".jp2"])
def test_a_single_image_is_no_video(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(square(0)).save(tmp_path / f"one{suffix}")
    with pytest.raises(InputError, match=f"one{suffix} is a single image: give the folder that holds the frames"):
        open_source(tmp_path / f"one{suffix}")


def test_an_image_that_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "clip", 2)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"frame0.png: cannot be read as an image \(Image size"):
        open_source(tmp_path / "clip")


@pytest.mark.parametrize(("suffix", "announced"), [(".mp4", True), (".mkv", True), (".avi", True), (".ts", False)])
def test_whether_a_file_says_how_many_frames_it_has(tmp_path: Path, suffix: str, announced: bool) -> None:
    assert VideoFile(write(tmp_path / f"clip{suffix}", clip(12))).announced is announced


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", 2)
    os.mkfifo(folder / "frame2.png")
    with pytest.raises(InputError, match=r"frame2.png is no file: move it away"):
        ImageFolder(folder)
    with pytest.raises(InputError, match=r"frame2.png is neither a file nor a folder: give a camera by its number"):
        open_source(folder / "frame2.png")


@pytest.mark.parametrize("brightest", [1, 255, 4095])
def test_16_bits_of_which_few_are_used_are_in_doubt(tmp_path: Path, brightest: int) -> None:
    Image.fromarray(np.full((4, 6), brightest, np.uint16)).save(tmp_path / "0.png")
    with pytest.raises(InputError, match=rf"0.png has 16 bits but no number above {brightest}, so its"):
        open_source(tmp_path)


@pytest.mark.parametrize(("brightest", "doubt"), [(0, False), (255, True), (4095, True), (4096, False)])
@pytest.mark.parametrize("alpha", [False, True])
def test_16_bits_of_colour_too(tmp_path: Path, brightest: int, doubt: bool, alpha: bool) -> None:
    pixels = np.full((4, 6, 4 if alpha else 3), 65535, np.uint16)
    pixels[..., :3] = brightest
    cv2.imwrite(str(tmp_path / "0.png"), pixels)
    if doubt:
        with pytest.raises(InputError, match=rf"0.png has 16 bits but no number above {brightest}, so its"):
            open_source(tmp_path)
    else:
        assert next(open_source(tmp_path).frames()).max() == brightest // 256


@pytest.mark.parametrize("brightest", [0, 4096])
def test_a_dark_frame_among_others_is_one(tmp_path: Path, brightest: int) -> None:
    for index, level in enumerate((brightest, 9)):
        Image.fromarray(np.full((4, 6), level, np.uint16)).save(tmp_path / f"{index}.png")
    assert [image.max() for image in open_source(tmp_path).frames()] == [round(brightest / 257), 0]


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"clip\xff")
    folder.mkdir()
    for index in range(2):
        Image.fromarray(np.full((4, 6), 5000 + 20000 * index, np.uint16)).save(
            folder / os.fsdecode(b"\xe9%d.png" % index)
        )
    assert [int(frame.max()) for frame in open_source(folder).frames()] == [19, 97]
