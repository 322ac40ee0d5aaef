"""A sequence of a data set as a source, with what is known of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from framework.data.prompts import Placed, prompts_of
from framework.data.sequence import DataSet, VideoSequence
from framework.data.sources.frame_range import FrameRange
from framework.data.sources.source import Part, frame_range
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


@dataclass(frozen=True, slots=True)
class SequencePart(Part):
    """Some frames of it, with what is known of them."""

    source: SequenceSource

    def truth(self, index: int) -> Truth:
        """What is known of a frame."""
        return self.source.truth(self.range.number(index))


def own_prompts(source: SequenceSource | SequencePart) -> list[Placed]:
    """The prompts that its data set gives it. Objects that start after its end are none of its."""
    whole = source.source if isinstance(source, SequencePart) else source
    stop = frame_range(source).stop(whole.length) or 0
    return [item for item in prompts_of(whole.video) if item.frame < stop]


def sequence_source(
    data: DataSet | None, name: str | None, frames: FrameRange, beside: Iterable[object] = ()
) -> SequenceSource | SequencePart:
    """These frames of the sequence of this name, or of the only one.

    Raises InputError, also without data and where something else than a sequence is asked for `beside` it.
    """
    if data is None or any(option is not None for option in beside):
        raise InputError("what is to be tracked? give source=FILE, or data=NAME and sequence=NAME without loop=")
    names = [data.sequence(index).name for index in range(len(data))]
    if name is None and len(names) != 1:
        raise InputError(f"{data.name} has {len(names)} sequences: choose one with sequence=, such as {names[0]}")
    if name is not None and name not in names:
        raise InputError(f"{data.name} has no sequence {name!r}: its first one is {names[0]!r}")
    source = SequenceSource(data.name, data.sequence(0 if name is None else names.index(name)))
    return source if frames.whole else SequencePart(source, frames)
