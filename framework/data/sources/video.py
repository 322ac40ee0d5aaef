"""A video file, decoded as it is read."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from jaxtyping import UInt8

from framework.errors import InputError
from framework.types import Size

Pixels = UInt8[np.ndarray, "Hv Wv 3"]


def upright(frame: av.VideoFrame) -> Pixels:
    """RGB pixels, turned as the container says that the camera was held."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def open_container(path: Path | str, **options: str) -> InputContainer:
    """A container with a video stream. Raises InputError when there is none."""
    try:
        container = av.open(str(path), options=options)
    except (av.FFmpegError, OSError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or "unreadable"
        raise InputError(f"{path}: cannot be opened as a video ({reason}); is it a complete video?") from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: holds no video stream; is it a complete video?")
    container.streams.video[0].thread_type = "AUTO"
    return container


@dataclass
class _Cursor:
    """A container that stands before the frame `position`."""

    frames: Iterator[av.VideoFrame]
    position: int


class VideoFile:
    """The first video stream of a file. Raises InputError when it is no video.

    `frames` decodes from the beginning. `frame` goes on from where it was when the next frame is asked for, and
    otherwise decodes from the last key frame before the one wanted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cursor: _Cursor | None = None
        self.size, self.rate, self._announced = self._look()

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def length(self) -> int:
        """As announced in the header; counted where it says nothing."""
        return self._announced or len(self._times)

    def frames(self) -> Iterator[Pixels]:
        """RGB frames from the first. Raises InputError where the file is corrupt or ends before its time."""
        with closing(open_container(self.path)) as container:
            for index, frame in enumerate(self._decode(container)):
                yield self._checked(frame, index)

    def frame(self, index: int) -> Pixels:
        """RGB frame; the next one is cheap, any other one costs at most one group of pictures."""
        if not 0 <= index < self.length:
            raise InputError(f"{self.path}: frame {index} is outside its {self.length} frames")
        if self._cursor is None or self._cursor.position != index:
            self._cursor = _Cursor(self._from(index), index)
        self._cursor.position += 1
        frame = next(self._cursor.frames, None)
        if frame is None:
            self._cursor = None
            raise InputError(f"{self.path}: the video is corrupt or cut off at frame {index} of {self.length}")
        return self._checked(frame, index)

    def _look(self) -> tuple[Size, float, int]:
        """Frame size, frames per second, and announced number of frames (0 when the header gives none)."""
        with closing(open_container(self.path)) as container:
            stream = container.streams.video[0]
            try:
                frame = next(container.decode(stream), None)
            except av.FFmpegError:
                frame = None
            if frame is None:
                raise InputError(f"{self.path}: not one frame can be decoded; is the video complete?")
            image = upright(frame)
            rate = float(stream.average_rate or stream.guessed_rate or 25)
            return (image.shape[0], image.shape[1]), rate, stream.frames

    @cached_property
    def _times(self) -> np.ndarray:
        """Presentation time of every frame in stream units, ascending; reads the packets without decoding them."""
        with closing(open_container(self.path)) as container:
            stream = container.streams.video[0]
            packets = (packet for packet in container.demux(stream) if packet.pts is not None and not packet.is_discard)
            return np.sort(np.array([packet.pts for packet in packets], np.int64))

    def _from(self, index: int) -> Iterator[av.VideoFrame]:
        """Decoded frames beginning with frame `index`."""
        with closing(open_container(self.path)) as container:
            stream = container.streams.video[0]
            if index == 0 or index >= len(self._times):
                frames = (frame for at, frame in enumerate(container.decode(stream)) if at >= index)
            else:
                wanted = int(self._times[index])
                container.seek(wanted, stream=stream, backward=True)
                frames = (frame for frame in container.decode(stream) if frame.pts is not None and frame.pts >= wanted)
            try:
                yield from frames
            except av.FFmpegError:
                return

    def _decode(self, container: InputContainer) -> Iterator[av.VideoFrame]:
        """All frames; raises InputError when one is corrupt or when fewer come than the header announces."""
        stream = container.streams.video[0]
        shown = hidden = 0
        end = Fraction(0)
        try:
            for packet in container.demux(stream):
                empty = packet.dts is not None and packet.size == 0
                hidden += packet.is_discard or empty
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise self._broken(shown, "is corrupt")
                    yield frame
                    shown += 1
                    if frame.pts is not None and frame.time_base is not None:
                        end = (frame.pts + (frame.duration or 0)) * frame.time_base
        except av.FFmpegError as error:
            raise self._broken(shown, "is corrupt") from error
        announced = stream.metadata.get("DURATION")
        late = announced is not None and float(end) < _seconds(announced) - 1.5 / self.rate
        if shown + hidden < stream.frames or (not stream.frames and late):
            raise self._broken(shown, "is cut off or damaged and ends")

    def _broken(self, index: int, how: str) -> InputError:
        of = f" of {self._announced}" if self._announced else ""
        return InputError(f"{self.path}: the video {how} at frame {index}{of}; what came before it is kept")

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
