"""Passes over a video: forward, backward, or both from where objects start. What is tracked when is decided here.

A pass has a time of its own, which always runs forward: frame t of a video of n frames is time n - 1 - t of a backward
pass. So whoever sees a frame number (distances of pointers, temporal slots, ages, motion, lag) sees the mirrored video,
as `propagate_in_video(reverse=True)` of sam2 counts from the current frame to those after it. Memory strides count from
time 0; sam2 counts them from frame 0 in both directions, which is the same where the stride divides n - 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from framework.errors import InputError
from framework.state import State
from framework.tracker import Tracker, absorb, replay
from framework.types import Features, Frame, Prompt, Result, Track

Direction = Literal["forward", "backward", "both", "both_independent"]
"""forward: every object from its first prompt to the end of the video; backward: from its last one to the first frame.

both: forward, then backward from the first prompt of each object, reading what the forward pass tracked behind it, as
`sam2` does that propagates forward and then in reverse. both_independent: the backward pass knows that prompt alone.
"""

REACH = 16
"""Frames behind the first prompt that a second pass reads: `sam2` reads pointers of up to 15 frames ago."""

GivenPrompts = Mapping[int, Mapping[int, Prompt | Sequence[Prompt]]]
"""Frame or time -> object -> prompt, or several in turn."""
V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One pass. Prompts and removals are by time."""

    prompts: GivenPrompts
    removed: Mapping[int, frozenset[int]]
    length: int | None
    """Frames of the video; None when streaming."""
    begins: int = 0
    """Time of the first frame that is tracked."""
    backward: bool = False
    second: bool = False
    """Objects are shown after their prompt only: until there, the first pass shows them."""
    reads_first: bool = False
    """Of both passes: the second one begins with what the first one tracked."""

    def mirrored(self, index: int) -> int:
        """The frame at a time, or the time of a frame."""
        return self.length - 1 - index if self.backward and self.length is not None else index

    def enter(self, state: State, ready: State, time: int) -> tuple[State, Mapping[int, Prompt | Sequence[Prompt]]]:
        """The state before a frame, and the prompts of that frame.

        In a second pass that reads the first one, objects come from `ready` (see `recollect`), which has their prompts.
        """
        prompts = self.prompts.get(time, {})
        if self.second and self.reads_first and prompts:
            return state.joined_by(ready, prompts), {}
        return state, prompts

    def shown(self, result: Result) -> Result:
        """What the pass has to say of a frame, in frame numbers of the video."""
        if not self.backward:
            return result
        at = result.frame
        tracks = {key: self.of_video(track) for key, track in result.tracks.items() if self.shows(key, at)}
        return replace(result, frame=self.mirrored(at), tracks=tracks)

    def shows(self, key: int, time: int) -> bool:
        """Whether the pass is asked for an object that it tracks; where a second one starts, the first one is."""
        return not (self.second and key in self.prompts.get(time, {}))

    def of_video(self, track: Track) -> Track:
        """With frame numbers of the video."""
        if not self.backward:
            return track
        return replace(track, memory=track.memory.renumbered(self.mirrored))

    def lent(self, result: Result) -> dict[int, Track]:
        """Tracks of a first pass that the second one reads: those next to an object's start, and what is prompted.

        An object that starts on frame 0 is in no second pass, and one that is removed is another one afterwards.
        """
        at, found = result.frame, {}
        for key, start in self.starts.items() if self.reads_first else ():
            gone = min((time for time, keys in self.removed.items() if key in keys and time > start), default=at + 1)
            if key in result.tracks and 0 < start < at < gone:
                track = result.tracks[key]
                if at <= start + REACH or track.scores.prompted:
                    found[key] = track
        return found

    @property
    def frames(self) -> range:
        """Frames of the video that are tracked, in order of time."""
        if self.length is None:
            raise InputError("a camera or a stream has no known number of frames")
        return range(self.mirrored(self.begins), -1, -1) if self.backward else range(self.begins, self.length)

    @property
    def starts(self) -> dict[int, int]:
        """Time of the first prompt of each object."""
        starts: dict[int, int] = {}
        for time in sorted(self.prompts):
            for key in self.prompts[time]:
                starts.setdefault(key, time)
        return starts


def passes(
    direction: Direction, prompts: GivenPrompts, removed: Mapping[int, frozenset[int]], length: int | None
) -> tuple[Pass, ...]:
    """The passes over a video, one after the other; where all objects start on frame 0, both are the forward one.

    Removals take effect in the direction of the first pass. Raises InputError for a video without a known end.
    """
    forward = Pass(prompts, removed, length)
    if direction == "forward":
        return (forward,)
    if length is None:
        raise InputError(f"direction={direction} needs a known last frame, and a camera or a stream has none")
    back = Pass({}, {}, length, backward=True)
    if direction == "backward":
        return (replace(back, prompts=_by_time(back, prompts), removed=_by_time(back, removed)),)
    first: dict[int, dict[int, Prompt | Sequence[Prompt]]] = {}
    for key, frame in forward.starts.items():
        if frame > 0:
            first.setdefault(frame, {})[key] = prompts[frame][key]
    reads_first = direction == "both" and bool(first)
    forward = replace(forward, begins=min(prompts), reads_first=reads_first)
    if not first:
        return (forward,)
    second = replace(
        back, prompts=_by_time(back, first), begins=back.mirrored(max(first)), second=True, reads_first=reads_first
    )
    return forward, second


def check(tracker: Tracker, plan: Sequence[Pass]) -> None:
    """Raises InputError for a tracker that these passes would not be right for."""
    if plan[0].reads_first and tracker.selector.hindsight:
        raise InputError(
            f"direction=both reads what the first pass tracked, which {type(tracker.selector).__name__} revises later: "
            "give direction=both_independent"
        )
    if len(plan) > 1 and tracker.exclusive and len({*plan[0].starts.values()}) > 1:
        raise InputError(
            "tracker.exclusive=true compares objects of one pass, and these start on several frames: "
            "give tracker.exclusive=false, or one direction"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Lent:
    """What a first pass leaves to the second one, of one tracker."""

    tracks: Mapping[int, Mapping[int, Track]] = field(default_factory=dict)
    """Frame -> object -> track."""

    def add(self, frame: int, tracks: Mapping[int, Track]) -> "Lent":
        return Lent({**self.tracks, frame: tracks}) if tracks else self


def recollect(
    trackers: Mapping[str, Tracker],
    plan: Sequence[Pass],
    lent: Mapping[str, Lent],
    frame: Callable[[int], Frame],
    started: Callable[[Prompt | Sequence[Prompt], Features], Prompt | Sequence[Prompt]] = lambda prompt, _: prompt,
) -> dict[str, State]:
    """What each object of the second pass remembers as it begins: its prompt, then what was lent, the latest first.

    `frame` gives image and truth of a frame of the video; `started` is what a tracker is told for a prompt.
    """
    first, second = plan
    network = next(iter(trackers.values())).network
    states = {name: tracker.init() for name, tracker in trackers.items()}
    for time, given in second.prompts.items():
        features = network.encode(frame(second.mirrored(time)).image, time, second.length)
        states = absorb(trackers, states, features, {key: started(prompt, features) for key, prompt in given.items()})
    for index in sorted({at for one in lent.values() for at in one.tracks}, reverse=True):
        now = frame(index)
        features = network.encode(now.image, second.mirrored(index), second.length)
        tracks = {name: one.tracks.get(index, {}) for name, one in lent.items()}
        states = replay(trackers, states, features, replace(now, prompts=first.prompts.get(index, {})), tracks)
    return states


def _by_time(back: Pass, by_frame: Mapping[int, V]) -> dict[int, V]:
    return {back.mirrored(frame): value for frame, value in sorted(by_frame.items(), reverse=True)}
