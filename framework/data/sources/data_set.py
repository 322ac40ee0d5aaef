"""A sequence of a data set as a source, with what is known of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from framework.data.excerpt import beginning
from framework.data.sequence import DataSet, VideoSequence
from framework.data.truth import Truth
from framework.errors import InputError
from framework.types import Size


@dataclass(frozen=True)
class SequenceSource:
    """Frames of a video; `data` names the set it is from."""

    data: str
    video: VideoSequence
    rate: float = 25.0

    @property
    def name(self) -> str:
        return self.video.name

    @property
    def length(self) -> int:
        return self.video.length

    @property
    def size(self) -> Size:
        return self.video.size

    def frames(self) -> Iterator[UInt8[np.ndarray, "Hv Wv 3"]]:
        return map(self.video.frame, range(self.video.length))

    def frame(self, index: int) -> UInt8[np.ndarray, "Hv Wv 3"]:
        return self.video.frame(index)

    def truth(self, index: int) -> Truth:
        """What is known of a frame."""
        return Truth.of(self.video, index)


def sequence_source(
    data: DataSet | None, name: str | None, frames: int | None, beside: Iterable[object] = ()
) -> SequenceSource:
    """The sequence of this name, or the only one; at most so many of its frames.

    Raises InputError, also without data and where something else than a sequence is asked for `beside` it.
    """
    if data is None or any(option is not None for option in beside):
        raise InputError("what is to be tracked? give source=FILE, or data=NAME and sequence=NAME without loop=")
    names = [data.sequence(index).name for index in range(len(data))]
    if name is None and len(names) != 1:
        raise InputError(f"{data.name} has {len(names)} sequences: choose one with sequence=, such as {names[0]}")
    if name is not None and name not in names:
        raise InputError(f"{data.name} has no sequence {name!r}: its first one is {names[0]!r}")
    if frames is not None and frames < 1:
        raise InputError(f"frames={frames} must be 1 or more")
    video = data.sequence(0 if name is None else names.index(name))
    return SequenceSource(data.name, video if frames is None else beginning(video, frames))
