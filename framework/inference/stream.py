"""A source through a tracker, frame by frame and in constant memory."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from framework.data.prompts import Schedule
from framework.data.sources.frame_range import FrameRange
from framework.data.sources.source import ReadAnywhere, Source, frame_range, read_in_order
from framework.data.truth import Truth
from framework.errors import InputError
from framework.evaluation.passes import Lent, Pass, recollect
from framework.state import State
from framework.storage.hypotheses import Hypothesis, hypotheses
from framework.tracker import Tracker
from framework.types import Frame, MemoryUse, Result, Scores, Track, Work


@dataclass(frozen=True, slots=True, eq=False)
class TrackedObject:
    """One object on one frame, on the host."""

    mask: Bool[np.ndarray, "Hv Wv"]
    scores: Scores
    choice: int
    """Index of the mask among the network's hypotheses."""
    memory: MemoryUse
    hypotheses: tuple[Hypothesis, ...] = ()
    """All masks that the network proposed, where they were asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """All that tracking the rest of a video takes."""

    frame: int
    """The next to be tracked, counted over all passes."""
    state: State
    """After the frame before it."""
    waiting: tuple[Result, ...] = ()
    """Tracked, but to be revised still: the last frames before `frame`."""
    lent: Lent = Lent()
    """What the first of two passes leaves to the second."""

    @property
    def finished(self) -> int:
        """Frames that were handed out."""
        return self.frame - len(self.waiting)


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """One tracked frame on the host."""

    image: UInt8[np.ndarray, "Hv Wv 3"]
    frame: int
    """Its number in the video."""
    objects: Mapping[int, TrackedObject]
    """By object id."""
    position: Position | None = None
    """After it; None for a frame that was finished before."""
    truth: Truth | None = None
    """None where the source knows nothing of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A video that was tracked up to a position."""

    position: Position
    objects: Iterable[Mapping[int, TrackedObject]]
    """Of every finished frame."""


@runtime_checkable
class KnownSource(Source, Protocol):
    """A source whose truth is known."""

    def truth(self, index: int) -> Truth:
        """What is known of a frame."""


def _tracked(
    source: Source | ReadAnywhere,
    image: UInt8[np.ndarray, "Hv Wv 3"],
    index: int,
    objects: Mapping[int, TrackedObject],
    position: Position | None = None,
) -> TrackedFrame:
    """Frame `index` of a source: with its number in the video, and its truth where the source has it."""
    truth = source.truth(index) if isinstance(source, KnownSource) else None
    return TrackedFrame(image, frame_range(source).number(index), objects, position, truth)


def stream(
    tracker: Tracker,
    source: Source,
    schedule: Schedule,
    begun: Begun | None = None,
    keep_hypotheses: bool = False,
) -> Iterator[TrackedFrame]:
    """Tracks a source as it comes; prompts join at their frame. Frames before the first prompt are not encoded.

    A selector with hindsight and a lag of n frames revises a frame until n frames later, when it is handed out; without
    a lag it answers as it goes, since all of its past would not fit into constant memory. What was `begun` is handed
    out again as it was, and tracked from its position on. Raises InputError, after the last frame, when the source
    ends before a prompt.
    """
    start = Position(0, tracker.init()) if begun is None else begun.position
    images, finished, length = enumerate(source.frames()), iter(begun.objects if begun else ()), 0
    for index, image in islice(images, start.finished):
        length = index + 1
        yield _tracked(source, image, index, next(finished))
    frames = frame_range(source)
    plan = schedule.within(frames)
    forward = Pass(plan.prompts, plan.removed, source.length)
    for tracked in _track(tracker, forward, images, source, start, State(), keep_hypotheses):
        length += 1
        yield tracked
    late = [place for place in plan.prompts if place >= length]
    if late:
        given = f"give a frame from {frames.first} to {frames.number(length - 1)}" if length else "nothing was tracked"
        raise InputError(
            f"{source.name} ended after {length} frames: the prompt of frame {frames.number(late[0])} was never "
            f"reached; {given}"
        )


def stream_passes(
    tracker: Tracker,
    source: ReadAnywhere,
    plan: Sequence[Pass],
    begun: Begun | None = None,
    keep_hypotheses: bool = False,
) -> Iterator[TrackedFrame]:
    """Tracks a source pass after pass; frames come as they are tracked, some in both passes with other objects.

    Hindsight is that of `stream`. What was `begun` goes on from its position and is not handed out again.
    """
    position, before = Position(0, tracker.init()) if begun is None else begun.position, 0
    for passed in plan:
        left = passed.frames[max(position.finished - before, 0) :]
        if left:
            ready = State()
            if passed.second and passed.reads_first:
                lent = {"": position.lent}
                ready = recollect({"": tracker}, plan, lent, lambda frame: Frame(source.frame(frame)))[""]
            images = zip(map(passed.mirrored, left), read_in_order(source, left), strict=True)
            for tracked in _track(tracker, passed, images, source, position, ready, keep_hypotheses):
                position = tracked.position or position
                yield tracked
        before += len(passed.frames)
        if position.finished == before:
            position = Position(before, tracker.init(), lent=position.lent)


def in_order(source: ReadAnywhere, objects: Iterable[Mapping[int, TrackedObject]]) -> Iterator[TrackedFrame]:
    """Frames of a source with what was tracked on each of them before."""
    for index, found in enumerate(objects):
        yield _tracked(source, source.frame(index), index, found)


def _track(
    tracker: Tracker,
    passed: Pass,
    images: Iterable[tuple[int, UInt8[np.ndarray, "Hv Wv 3"]]],
    source: Source | ReadAnywhere,
    start: Position,
    ready: State,
    keep_hypotheses: bool,
) -> Iterator[TrackedFrame]:
    """The rest of a pass; time and image of each of its frames, beginning with the first that waits at `start`."""
    selector = tracker.selector
    lag = (selector.lag or 0) if selector.hindsight else 0
    if selector.hindsight and selector.lag is None:
        tracker = replace(tracker, selector=replace(selector, lag=0))  # type: ignore[type-var]
    state, lent, count, frames = start.state, start.lent, start.finished, frame_range(source)
    waiting, shown = deque(start.waiting), deque[UInt8[np.ndarray, "Hv Wv 3"]]()

    def oldest() -> TrackedFrame:
        result = passed.shown(_revised(waiting.popleft(), tracker.hindsight(state)))
        found = _objects(result, frames, keep_hypotheses)
        return _tracked(source, shown.popleft(), result.frame, found, Position(count, state, (*waiting,), lent))

    for time, image in images:
        shown.append(image)
        count += 1
        if count <= start.frame:
            continue  # it waits already
        state, prompts = passed.enter(state, ready, time)
        if state.objects or prompts:
            features = tracker.network.encode(image, time, passed.length)
            state, result = tracker.step(state, features, prompts, passed.removed.get(time, frozenset()))
        else:
            result = Result(time, source.size, {}, Work())
        lent = lent.add(time, passed.lent(result))
        waiting.append(result)
        if len(waiting) > lag:
            yield oldest()
    while waiting and shown:
        yield oldest()


def _revised(result: Result, past: Mapping[int, Mapping[int, Track]]) -> Result:
    """With what the past says of its frame now."""
    return replace(result, tracks={key: past.get(key, {}).get(result.frame, t) for key, t in result.tracks.items()})


def _objects(result: Result, frames: FrameRange, keep_hypotheses: bool) -> dict[int, TrackedObject]:
    """With the numbers in the video of the frames that were read."""
    found = result.masks()
    host = torch.stack(list(found.values())).cpu().numpy() if found else ()
    tracks = {key: result.tracks[key] for key in found}
    return {
        key: TrackedObject(
            mask,
            track.scores,
            track.choice,
            track.memory.renumbered(frames.number),
            hypotheses(track, result.size) if keep_hypotheses else (),
        )
        for (key, track), mask in zip(tracks.items(), host, strict=True)
    }
