"""The first frames of the first videos of a data set, to try things out on."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from framework.data.sequence import BoxedSequence, DataSet, VideoSequence
from framework.errors import InputError
from framework.types import Box, Prompt, Size


@dataclass(frozen=True)
class Excerpt:
    """At most `frames` frames of each of at most `videos` videos; prompts after those are left out. None: all."""

    data: DataSet
    videos: int | None
    frames: int | None

    def __post_init__(self) -> None:
        if not all(limit is None or limit >= 1 for limit in (self.videos, self.frames)):
            raise InputError(f"an excerpt has 1 or more videos and frames, not {self.videos} and {self.frames}")

    @property
    def name(self) -> str:
        return self.data.name if self.frames is None else f"{self.data.name}-first-{self.frames}"

    def __len__(self) -> int:
        return len(self.data) if self.videos is None else min(self.videos, len(self.data))

    def sequence(self, index: int) -> VideoSequence:
        video = self.data.sequence(index)
        return beginning(video, video.length if self.frames is None else self.frames)


@dataclass(frozen=True)
class VideoBeginning:
    """The first `length` frames of a video."""

    video: VideoSequence
    length: int

    @property
    def name(self) -> str:
        return self.video.name

    @property
    def size(self) -> Size:
        return self.video.size

    def frame(self, index: int) -> np.ndarray:
        return self.video.frame(index)

    def truth(self, index: int) -> Mapping[int, np.ndarray]:
        return self.video.truth(index)

    def prompts(self) -> Mapping[int, Mapping[int, Prompt]]:
        return {frame: given for frame, given in self.video.prompts().items() if frame < self.length}

    def attributes(self, index: int) -> frozenset[str]:
        return self.video.attributes(index)


@dataclass(frozen=True)
class BoxedBeginning(VideoBeginning):
    """The same of a video whose truth is boxes."""

    video: BoxedSequence

    def truth_boxes(self, index: int) -> Mapping[int, Box | None]:
        return self.video.truth_boxes(index)


def beginning(video: VideoSequence, frames: int) -> VideoSequence:
    """At most so many of its first frames."""
    length = min(frames, video.length)
    return BoxedBeginning(video, length) if isinstance(video, BoxedSequence) else VideoBeginning(video, length)


def excerpt(data: DataSet, videos: int | None, frames: int | None) -> DataSet:
    """The data themselves where neither is limited."""
    return data if videos is None and frames is None else Excerpt(data, videos, frames)


def first_frames(data: DataSet, videos: int = 5) -> Iterator[np.ndarray]:
    """Of the first videos, as far as they can be read; RGB, uint8 [Hv Wv 3]."""
    for index in range(min(videos, len(data))):
        with suppress(InputError):
            yield data.sequence(index).frame(0)
