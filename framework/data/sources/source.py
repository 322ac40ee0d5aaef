"""Where frames come from: a folder of images, a video file, a camera or stream, some frames of one, or one repeated.

Every source is read lazily and in constant memory; what cannot be read is an `InputError` naming file and frame.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from framework.data.sources.camera import Camera, LiveStream
from framework.data.sources.frame_range import WHOLE, FrameRange
from framework.data.sources.image_folder import ANIMATED, IMAGE_SUFFIXES, OTHER_SUFFIXES, ImageFolder
from framework.data.sources.video import VideoFile
from framework.errors import InputError
from framework.types import Size

BLOCK = 16
"""Frames that are read at once where a video is read backward."""


@runtime_checkable
class Source(Protocol):
    """Frames in order, all of one size."""

    @property
    def name(self) -> str:
        """Safe as a file name."""

    @property
    def length(self) -> int | None:
        """Number of frames as announced; None for a camera or a stream."""

    @property
    def size(self) -> Size:
        """Height, width in pixels."""

    @property
    def rate(self) -> float:
        """Frames per second at which to show it."""

    def frames(self) -> Iterator[UInt8[np.ndarray, "Hv Wv 3"]]:
        """RGB frames from the first one. Raises InputError at a frame that cannot be read."""


@runtime_checkable
class ReadAnywhere(Source, Protocol):
    """A source whose frames can be read in any order, and again."""

    @property
    def length(self) -> int:
        """Number of frames as announced."""

    def frame(self, index: int) -> UInt8[np.ndarray, "Hv Wv 3"]:
        """RGB frame. Raises InputError when it cannot be read."""


@dataclass(frozen=True, slots=True)
class Looped:
    """The first `length` frames of a source repeated for ever, for measurements over long runs."""

    source: Source
    length: int

    @property
    def name(self) -> str:
        return f"{self.source.name}-{self.length}"

    @property
    def size(self) -> Size:
        return self.source.size

    @property
    def rate(self) -> float:
        return self.source.rate

    def frame(self, index: int) -> UInt8[np.ndarray, "Hv Wv 3"]:
        source = anywhere(self.source)
        return source.frame(index % source.length)

    def frames(self) -> Iterator[UInt8[np.ndarray, "Hv Wv 3"]]:
        left = self.length
        while left > 0:
            for image in islice(self.source.frames(), left):
                left -= 1
                yield image


@dataclass(frozen=True, slots=True)
class Part:
    """Some frames of a source, as a video of its own. Raises InputError for a range that the source does not have."""

    source: Source
    range: FrameRange

    def __post_init__(self) -> None:
        self.range.length(self.source.length)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def length(self) -> int | None:
        return self.range.length(self.source.length)

    @property
    def size(self) -> Size:
        return self.source.size

    @property
    def rate(self) -> float:
        return self.source.rate / self.range.stride

    def frame(self, index: int) -> UInt8[np.ndarray, "Hv Wv 3"]:
        return anywhere(self.source).frame(self.range.number(index))

    def frames(self) -> Iterator[UInt8[np.ndarray, "Hv Wv 3"]]:
        """A video file and a camera decode what is left out too."""
        if isinstance(self.source, ReadAnywhere) and not isinstance(self.source, VideoFile):
            return map(self.frame, range(self.length or 0))
        return islice(self.source.frames(), self.range.first, self.range.stop(self.source.length), self.range.stride)


def frame_range(source: Source) -> FrameRange:
    """Which frames of its video a source has."""
    return source.range if isinstance(source, Part) else WHOLE


def anywhere(source: Source) -> ReadAnywhere:
    """The source itself. Raises InputError for a camera or a stream, also for a part of one."""
    whole = source
    while isinstance(whole, Part | Looped):
        whole = whole.source
    if not isinstance(source, ReadAnywhere) or not isinstance(whole, ReadAnywhere):
        raise InputError(f"{source.name} comes once, first frame first: save it as a video, or give direction=forward")
    return source


def read_in_order(source: ReadAnywhere, order: range) -> Iterator[UInt8[np.ndarray, "Hv Wv 3"]]:
    """These frames of a source; backward by blocks, which are decoded forward and held."""
    for at in range(0, len(order), BLOCK):
        block = order[at : at + BLOCK]
        if block.step > 0:
            yield from map(source.frame, block)
        else:
            yield from reversed([source.frame(index) for index in reversed(block)])


def open_source(where: str | int | Path, frames: FrameRange = WHOLE, loop: int | None = None) -> Source:
    """A folder of PNG or JPEG frames, a video file, a camera number, or the URL of a stream; `frames` of it.

    `loop` repeats it up to so many. Raises InputError when it cannot be opened.
    """
    if loop is not None and loop < 1:
        raise InputError(f"loop={loop} must be 1 or more")
    source = _open(str(where))
    source = source if frames.whole else Part(source, frames)
    if loop is None:
        return source
    if frames.described:
        raise InputError(f"loop={loop} repeats a video from its first frame on: drop {' '.join(frames.described)}")
    if source.length is None:
        raise InputError(f"loop={loop}: {where} has no end to loop from; give a video or a folder, or frames=N")
    return Looped(source, loop)


def contents(where: str | int | Path) -> str | None:
    """A text that changes with what a file or folder holds; None for a camera or a stream, which cannot be read again.

    By names, sizes and times of change: nothing is read.
    """
    path = Path(os.path.expanduser(str(where)))
    if not path.exists():
        return None
    files = [path] if path.is_file() else sorted(path.iterdir())
    found = [f"{file.name}/{(stat := file.stat()).st_size}/{stat.st_mtime_ns}" for file in files if file.exists()]
    return hashlib.sha256("\n".join(found).encode(errors="surrogateescape")).hexdigest()[:16]


def _open(text: str) -> Source:
    if text.isascii() and text.isdecimal() and not Path(text).exists():
        return Camera(int(text))
    path = Path(os.path.expanduser(text))  # which leaves a name such as ~clip.mp4
    if "://" in text and not path.exists():
        return LiveStream(text)
    if path.is_dir():
        folder = ImageFolder(path)
        _ = folder.size  # a first frame that cannot be read is known at once
        return folder
    if not path.exists():
        raise InputError(
            f"{path}: no such video or folder; give a video file, a folder of frames, a camera number or a URL"
        )
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder: give a camera by its number, such as source=0")
    if path.suffix.lower() in (*IMAGE_SUFFIXES, *OTHER_SUFFIXES) and path.suffix.lower() not in ANIMATED:
        raise InputError(f"{path} is a single image: give the folder that holds the frames, as PNG or JPEG")
    return VideoFile(path)
