"""What a data set gives to the evaluation: named sequences of lazily read frames."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8

from framework.types import Box, Prompt, Size


@runtime_checkable
class VideoSequence(Protocol):
    """One video with its prompts and, where known, its true masks. Frames are read when asked for."""

    @property
    def name(self) -> str:
        """Unique in its data set; safe as a file name."""

    @property
    def length(self) -> int:
        """Number of frames."""

    @property
    def size(self) -> Size:
        """Height, width in pixels."""

    def frame(self, index: int) -> UInt8[np.ndarray, "Hv Wv 3"]:
        """RGB frame."""

    def truth(self, index: int) -> Mapping[int, Bool[np.ndarray, "Hv Wv"]]:
        """True mask of every annotated object, empty masks where it is absent; {} on frames without annotation."""

    def prompts(self) -> Mapping[int, Mapping[int, Prompt]]:
        """Frame -> object id -> prompt."""

    def attributes(self, index: int) -> frozenset[str]:
        """What makes this frame hard (``occlusion``, ``distractor`` ...); empty where unknown."""


@runtime_checkable
class DataSet(Protocol):
    """A fixed list of sequences."""

    @property
    def name(self) -> str:
        """Part of every result's identity: data, version and split."""

    def __len__(self) -> int: ...

    def sequence(self, index: int) -> VideoSequence:
        """Sequence by position, 0 <= index < len."""


@runtime_checkable
class BoxedSequence(VideoSequence, Protocol):
    """A video whose truth is boxes."""

    def truth_boxes(self, index: int) -> Mapping[int, Box | None]:
        """True box of every annotated object, None where it is absent; {} on frames without annotation."""


@runtime_checkable
class ReleasedSequence(VideoSequence, Protocol):
    """A video of a public data set, whose results have file names that the official tools look for."""

    @property
    def object_names(self) -> Mapping[int, str]:
        """What the data call the objects, where that is not their number."""

    def frame_name(self, index: int) -> str | None:
        """File name of a frame, without its suffix; None for a frame that no result is asked for."""
