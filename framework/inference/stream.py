"""A source through a tracker, frame by frame and in constant memory."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from framework.data.prompts import Schedule
from framework.data.sources.source import Source
from framework.errors import InputError
from framework.state import State
from framework.tracker import Tracker
from framework.types import MemoryUse, Result, Scores, Track, Work


@dataclass(frozen=True, slots=True, eq=False)
class TrackedObject:
    """One object on one frame, on the host."""

    mask: Bool[np.ndarray, "Hv Wv"]
    scores: Scores
    choice: int
    """Index of the mask among the network's hypotheses."""
    memory: MemoryUse


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """All that tracking the rest of a video takes."""

    frame: int
    """The next to be tracked."""
    state: State
    """After the frame before it."""
    waiting: tuple[Result, ...] = ()
    """Tracked, but to be revised still: the last frames before `frame`."""

    @property
    def finished(self) -> int:
        """Frames that were handed out."""
        return self.frame - len(self.waiting)


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """One tracked frame on the host."""

    image: UInt8[np.ndarray, "Hv Wv 3"]
    frame: int
    objects: Mapping[int, TrackedObject]
    """By object id."""
    position: Position | None = None
    """After it; None for a frame that was finished before."""


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A video that was tracked up to a position."""

    position: Position
    objects: Iterable[Mapping[int, TrackedObject]]
    """Of every finished frame."""


def stream(tracker: Tracker, source: Source, schedule: Schedule, begun: Begun | None = None) -> Iterator[TrackedFrame]:
    """Tracks a source as it comes; prompts join at their frame. Frames before the first prompt are not encoded.

    A selector with hindsight and a lag of n frames revises a frame until n frames later, when it is handed out; without
    a lag it answers as it goes, since all of its past would not fit into constant memory. What was `begun` is handed
    out again as it was, and tracked from its position on. Raises InputError, after the last frame, when the source
    ends before a prompt.
    """
    selector = tracker.selector
    lag = (selector.lag or 0) if selector.hindsight else 0
    if selector.hindsight and selector.lag is None:
        tracker = replace(tracker, selector=replace(selector, lag=0))  # type: ignore[type-var]
    start = Position(0, tracker.init()) if begun is None else begun.position
    finished = iter(begun.objects if begun else ())
    state, images, waiting = start.state, deque[UInt8[np.ndarray, "Hv Wv 3"]](), deque(start.waiting)
    length = 0
    for index, image in enumerate(source.frames()):
        length = index + 1
        if index < start.finished:
            yield TrackedFrame(image, index, next(finished))
            continue
        images.append(image)
        if index < start.frame:
            continue
        prompts, removed = schedule.prompts.get(index, {}), schedule.removed.get(index, frozenset())
        if state.objects or prompts:
            features = tracker.network.encode(image, index, source.length)
            state, result = tracker.step(state, features, prompts, removed)
        else:
            result = Result(index, source.size, {}, Work())
        waiting.append(result)
        if len(waiting) > lag:
            tracked = _revised(waiting.popleft(), tracker.hindsight(state))
            yield TrackedFrame(images.popleft(), tracked.frame, _objects(tracked), Position(length, state, (*waiting,)))
    while waiting and images:
        tracked = _revised(waiting.popleft(), tracker.hindsight(state))
        yield TrackedFrame(images.popleft(), tracked.frame, _objects(tracked), Position(length, state, (*waiting,)))
    late = [frame for frame in schedule.prompts if frame >= length]
    if late:
        raise InputError(
            f"{source.name} ended after {length} frames: the prompt of frame {late[0]} was never reached; "
            f"give a frame from 0 to {length - 1}"
        )


def _revised(result: Result, past: Mapping[int, Mapping[int, Track]]) -> Result:
    """With what the past says of its frame now."""
    return replace(result, tracks={key: past.get(key, {}).get(result.frame, t) for key, t in result.tracks.items()})


def _objects(result: Result) -> dict[int, TrackedObject]:
    found = result.masks()
    host = torch.stack(list(found.values())).cpu().numpy() if found else ()
    tracks = {key: result.tracks[key] for key in found}
    return {
        key: TrackedObject(mask, track.scores, track.choice, track.memory)
        for (key, track), mask in zip(tracks.items(), host, strict=True)
    }
