"""A video file, decoded as it is read. What it shows (stream, orientation, number of frames) is decided here."""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import UInt8

from framework.errors import InputError
from framework.types import Size

Pixels = UInt8[np.ndarray, "Hv Wv 3"]
PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
"""Streams that hold no video."""
ATTEMPTS = 3
"""Key frames that are sought before frames are counted from the first one."""
NEAR = 16
"""Frames that are decoded and left out rather than looking for a key frame."""


def upright(frame: av.VideoFrame) -> Pixels:
    """RGB pixels as the container says that they are shown: turned, mirrored or both, by its display matrix.

    The matrix sends column x and row y to a x + c y and b x + d y; all eight orientations occur.
    """
    pixels = frame.to_ndarray(format="rgb24")
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return np.ascontiguousarray(pixels)
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32, 5).tolist()
    rows, columns = (b, c) if abs(b) > abs(a) else (d, a)
    if abs(b) > abs(a):
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels[:: -1 if rows < 0 else 1, :: -1 if columns < 0 else 1])


def open_container(path: Path | str, patience: float | None = None, **options: str) -> InputContainer:
    """A container with a video stream. Raises InputError when there is none.

    A read that waits longer than `patience` seconds ends in av.error.ExitError.
    """
    where = str(path.absolute()) if isinstance(path, Path) else path  # a relative name may look like a URL
    try:
        container = av.open(where, options=options, timeout=patience)
    except av.error.ExitError as error:
        raise InputError(f"{path}: nothing came for {patience:g} s; is anyone sending?") from error
    except (av.FFmpegError, OSError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or "unreadable"
        raise InputError(f"{path}: cannot be opened as a video ({reason}); is it a complete video?") from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: holds no video stream; is it a complete video?")
    return container


def videos(container: InputContainer) -> list[VideoStream]:
    """Video streams, the best first: no attached picture, shown by default, the largest. They decode in threads."""
    for stream in container.streams.video:
        stream.thread_type = "AUTO"
    return sorted(
        container.streams.video,
        key=lambda stream: (
            bool(stream.disposition & PICTURES),
            not stream.disposition & Disposition.default,
            -stream.width * stream.height,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Packet:
    """A coded frame."""

    time: int | None
    """Of presentation, in units of the stream."""
    decoded: int | None
    """When it is decoded, in the same units."""
    end: int
    key: bool
    hidden: bool
    """By an edit list, or because it is coded for others to refer to."""

    @classmethod
    def of(cls, packet: av.Packet) -> "_Packet":
        reference = packet.stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10  # its show_frame bit
        end = (packet.pts or 0) + (packet.duration or 0)
        return cls(packet.pts, packet.dts, end, packet.is_keyframe, packet.is_discard or reference)


@dataclass(frozen=True, slots=True)
class _Contents:
    """What a file holds, by its packets: nothing is decoded."""

    stream: int
    """Index in the container."""
    times: np.ndarray
    """When each frame is shown, in units of the stream, ascending; empty where that is not known."""
    keys: tuple[tuple[int, int], ...]
    """When each key frame is shown and when it is decoded, ascending."""
    shown: int
    """Frames that are shown: without those that are hidden, and those before the first key frame."""
    headless: int
    """Frames before the first key frame."""
    missing: int
    """Frames that are announced and not there."""
    announced: bool
    """Whether the file says how many there are."""

    @classmethod
    def of(cls, path: Path) -> "_Contents":
        """Those of the best stream that has more than one frame, or of the best one."""
        with closing(open_container(path)) as container:
            streams = videos(container)
            packets: dict[int, list[_Packet]] = {stream.index: [] for stream in streams}
            empty = dict.fromkeys(packets, 0)
            for packet in container.demux(streams):
                if packet.size:
                    packets[packet.stream.index].append(_Packet.of(packet))
                elif packet.dts is not None:  # the last one is there only to end the decoding
                    empty[packet.stream.index] += 1
            stream = next((stream for stream in streams if len(packets[stream.index]) > 1), streams[0])
            chosen, found = stream.index, packets[stream.index]
            stored = len(found) + empty[chosen]
            if stream.frames > stored and "mov" in container.format.name:
                stored = _stored(path, chosen)
            end = max((packet.end for packet in found), default=0) * float(stream.time_base or 0)
            missing, announced = _missing(stream, stored, end), bool(stream.frames or stream.metadata.get("DURATION"))
            # AVI notes no time of presentation: what stands for it ascends though the decoder reorders the frames.
            timed = "mov" in container.format.name or not stream.codec_context.has_b_frames
        first = next((at for at, packet in enumerate(found) if packet.key), 0)
        times = [packet.time for packet in found[first:] if not packet.hidden]
        shown = sorted(time for time in times if time is not None)
        known = len({*shown}) == len(times) and (timed or shown != times)
        keys = ((packet.time, packet.decoded) for packet in found if packet.key)
        sought = sorted((time, time if decoded is None else decoded) for time, decoded in keys if time is not None)
        return cls(
            chosen, np.array(shown if known else (), np.int64), tuple(sought), len(times), first, missing, announced
        )


def _stored(path: Path, stream: int) -> int:
    """Frames of a stream whatever an edit list hides."""
    with closing(open_container(path, ignore_editlist="1")) as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams[stream]))


def _missing(stream: VideoStream, stored: int, end: float) -> int:
    """Frames that the header announces, by number or by duration (Matroska), beyond those that are stored."""
    announced, rate = stream.metadata.get("DURATION"), float(stream.average_rate or 25)
    if stream.frames or announced is None:
        return max(0, stream.frames - stored)
    late = (_seconds(announced) - end) * rate
    return round(late) if late > 1.5 else 0


@dataclass
class _Cursor:
    """A container that stands before the frame `position`."""

    frames: Iterator[av.VideoFrame]
    position: int


class VideoFile:
    """The best video stream of a file, upright. Raises InputError when it is no video.

    `frames` decodes from the beginning. `frame` goes on from where it was when one of the next is asked for, and
    otherwise decodes from the last key frame before the one wanted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cursor: _Cursor | None = None
        self.size, self.rate = self._look()

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def length(self) -> int:
        """Frames that are shown, or would be if none were missing."""
        return self._contents.shown + self._contents.missing

    @property
    def announced(self) -> bool:
        """Whether the file says how many frames it holds; if not, one that was cut off cleanly looks whole."""
        return self._contents.announced

    def frames(self) -> Iterator[Pixels]:
        """RGB frames from the first. Raises InputError where the file is corrupt or ends before its time."""
        with closing(open_container(self.path)) as container:
            for index, frame in enumerate(self._decode(container)):
                yield self._checked(frame, index)

    def frame(self, index: int) -> Pixels:
        """RGB frame; one of the next ones is cheap, any other one costs at most one group of pictures."""
        if not 0 <= index < self.length:
            raise InputError(f"{self.path}: frame {index} is outside its {self.length} frames")
        if self._cursor is None or not 0 <= index - self._cursor.position < NEAR:
            self._cursor = _Cursor(self._from(index), index)
        for _ in range(index - self._cursor.position):
            next(self._cursor.frames, None)
        self._cursor.position = index + 1
        frame = next(self._cursor.frames, None)
        if frame is None:
            self._cursor = None
            raise InputError(f"{self.path}: the video is corrupt or cut off at frame {index} of {self.length}")
        return self._checked(frame, index)

    @cached_property
    def _contents(self) -> _Contents:
        return _Contents.of(self.path)

    def _stream(self, container: InputContainer) -> VideoStream:
        stream = container.streams[self._contents.stream]
        assert isinstance(stream, VideoStream)
        stream.thread_type = "AUTO"
        return stream

    def _decoded(self, container: InputContainer) -> Iterator[av.VideoFrame]:
        """All frames from the first key frame on; of those before it, decoders make what was never there."""
        before = self._contents.headless
        for packet in container.demux(self._stream(container)):
            if packet.size and before:
                before -= 1
            else:
                yield from packet.decode()

    def _look(self) -> tuple[Size, float]:
        """Frame size, and frames per second."""
        with closing(open_container(self.path)) as container:
            stream = self._stream(container)
            try:
                frame = next(self._decoded(container), None)
            except av.FFmpegError:
                frame = None
            if frame is None:
                raise InputError(f"{self.path}: not one frame can be decoded; is the video complete?")
            image = upright(frame)
            return (image.shape[0], image.shape[1]), float(stream.average_rate or stream.guessed_rate or 25)

    def _from(self, index: int) -> Iterator[av.VideoFrame]:
        """Decoded frames beginning with frame `index`: from a key frame before it, or counted from the first one."""
        for frame in self._sought(index):
            yield frame
            index += 1
        if index < self.length:
            with suppress(av.FFmpegError), closing(open_container(self.path)) as container:
                yield from islice(self._decoded(container), index, None)

    def _sought(self, index: int) -> Iterator[av.VideoFrame]:
        """The same as long as frames come at their times: containers without an index are searched, and not exactly."""
        times = self._contents.times
        before = [decoded for shown, decoded in self._contents.keys if 0 < index < len(times) and shown <= times[index]]
        for time in reversed(before[-ATTEMPTS:]):
            with suppress(av.FFmpegError), closing(open_container(self.path)) as container:
                for frame in self._after(container, time):
                    if index == len(times) or (frame.pts is not None and frame.pts > times[index]):
                        break
                    if frame.pts == times[index]:
                        yield frame
                        index += 1

    def _after(self, container: InputContainer, time: int) -> Iterator[av.VideoFrame]:
        """Frames from the first key frame on that is found where `time` is sought; those before it may be damaged."""
        stream, shown = self._stream(container), None
        container.seek(time, stream=stream, backward=True)
        for packet in container.demux(stream):
            if shown is None and packet.is_keyframe:
                shown = packet.pts
            if shown is not None:
                yield from (frame for frame in packet.decode() if frame.pts is not None and frame.pts >= shown)

    def _decode(self, container: InputContainer) -> Iterator[av.VideoFrame]:
        """All frames; raises InputError when one is corrupt or when fewer come than there should be."""
        shown = 0
        try:
            for frame in self._decoded(container):
                if frame.is_corrupt:
                    raise self._broken(shown, "is corrupt")
                yield frame
                shown += 1
        except av.FFmpegError as error:
            raise self._broken(shown, "is corrupt") from error
        if shown < self.length:
            raise self._broken(shown, "is cut off or damaged and ends")
        if self._contents.headless:
            raise InputError(
                f"{self.path}: the video begins with {self._contents.headless} frames that need one before them, "
                f"which was cut away; the {shown} after them are kept"
            )

    def _broken(self, index: int, how: str) -> InputError:
        return InputError(
            f"{self.path}: the video {how} at frame {index} of {self.length}; what came before it is kept"
        )

    def _checked(self, frame: av.VideoFrame, index: int) -> Pixels:
        image = upright(frame)
        if image.shape[:2] != self.size:
            raise InputError(
                f"{self.path}: frame {index} is {image.shape[1]}x{image.shape[0]} but the video began as "
                f"{self.size[1]}x{self.size[0]}; frames of one video need one size"
            )
        return image


def _seconds(clock: str) -> float:
    """00:01:02.500 in seconds."""
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds
