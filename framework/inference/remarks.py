"""What a user should hear of a track beside its results, on stderr."""

import sys
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import UInt8

from framework.data.prompts import Schedule
from framework.data.sources.source import Part, Source
from framework.data.sources.video import VideoFile
from framework.inference.stream import TrackedFrame


def announced(source: Source) -> bool:
    """Whether it is known how many frames a source has; if not, a line says so."""
    if isinstance(source, Part):
        end = source.range.stop(None)
        if end is not None and end == source.range.stop(source.source.length):
            return True  # all that is asked for is there
        source = source.source
    if not isinstance(source, VideoFile) or source.announced:
        return True
    print(
        f"{source.path} does not say how many frames it has: if it was cut off after frame {source.length - 1}, that "
        "cannot be told",
        file=sys.stderr,
    )
    return False


def with_remarks(
    frames: Iterable[TrackedFrame], schedule: Schedule, begin: Callable[[UInt8[np.ndarray, "Hv Wv 3"]], None]
) -> Iterator[TrackedFrame]:
    """The frames as they come. `begin` is given the image of the first prompt; the end says what was never seen.

    A track that loses its object at once looks like one of an object that left, so objects on which there was no mask
    but those of their prompts are named.
    """
    searched: set[int] = set()
    seen: set[int] = set()
    begun = False
    for frame in frames:
        if not begun and frame.frame == min(schedule.prompts, default=-1):
            begin(frame.image)
            begun = True
        for key, tracked in frame.objects.items():
            if key not in schedule.prompts.get(frame.frame, {}):
                searched.add(key)
                if key not in seen and tracked.mask.any():
                    seen.add(key)
        yield frame
    if lost := sorted(searched - seen):
        names = f"object {lost[0]} was" if len(lost) == 1 else f"objects {', '.join(map(str, lost))} were"
        fix = "another backbone=, or a mask as the prompt, may find more"
        print(f"{names} never seen again after the prompt: {fix}", file=sys.stderr)
