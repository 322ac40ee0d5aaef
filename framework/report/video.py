"""Pictures to an MP4 that appears only when it is whole."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8

CODECS = ("libx264", "h264_videotoolbox", "libopenh264", "mpeg4")
"""The first one this build of FFmpeg has is used."""


class VideoWriter:
    """Writes RGB pictures of one size to `path`; odd sizes are cut by a pixel, as the codecs demand.

    The file is written under a temporary name beside `path` and takes its name in `close` (or at the end of the
    `with` block); after an error inside the block, nothing is left. Raises OSError when it cannot be written.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._rate = Fraction(rate).limit_denominator(60000)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None

    def write(self, picture: UInt8[np.ndarray, "Hp Wp 3"]) -> None:
        """Adds one picture; the first one decides the size."""
        height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
        if self._stream is None:
            self._stream = self._open(height, width)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
        self._mux(frame)

    def close(self) -> None:
        """Finishes the file and gives it its name; without a picture there is no file."""
        if self._container is not None:
            self._mux(None)
            try:
                self._container.close()
            except av.FFmpegError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from error
            self._container = None
            self._part.replace(self.path)

    def discard(self) -> None:
        """Leaves nothing."""
        container, self._container = self._container, None
        try:
            if container is not None:
                container.close()
        except (av.FFmpegError, OSError):
            pass  # a full disk was reported already
        finally:
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def _open(self, height: int, width: int) -> VideoStream:
        codec = next(name for name in CODECS if name in av.codecs_available)
        self._container = av.open(str(self._part.absolute()), "w", format="mp4", options={"movflags": "faststart"})
        stream = self._container.add_stream(codec, rate=self._rate)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        if codec == "mpeg4":
            stream.bit_rate = max(1_000_000, height * width * 4)
        else:
            stream.options = {"crf": "20", "preset": "veryfast"}
        return stream

    def _mux(self, frame: av.VideoFrame | None) -> None:
        assert self._container is not None and self._stream is not None
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
