"""What every memory policy, motion model and selector owes, checked on a made-up video without a network's weights.

A clause takes a plug-in and raises `ContractError` with one line where it is broken.
"""

import dataclasses
import pickle
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any, TypeVar

from framework.defaults import NoMotion
from framework.diagnostics.synthetic import Step, SyntheticNetwork, Video, live, outcome, seen, tracked
from framework.errors import InputError, calling
from framework.interfaces import MemoryPolicy, MotionModel, Selector
from framework.tracker import Tracker
from framework.types import ANCHOR, Candidates, Cue, Entry, Outcome, Pick, Query, Read

P = TypeVar("P")
SLOTS = SyntheticNetwork.slots
FULL = 16
"""Entries of a full bank: the prompt, and the fifteen frames whose pointers may be read."""
MOST = 128
"""Entries that a bounded policy may hold."""
AWAY = Video(1, 2000, lost=300, found=1600)
"""A target that is lost for most of the video, and found again."""
BRANCHES = 64
"""Branches of one object that a selector may follow."""


class ContractError(AssertionError):
    """A plug-in does not give what it owes; the message is one line."""


def require(held: bool, otherwise: str) -> None:
    if not held:
        raise ContractError(otherwise)


def check_contract(plug_in: MemoryPolicy | MotionModel | Selector) -> list[str]:
    """Checks every clause and returns what they say. Raises `ContractError`, or InputError for no plug-in."""
    clauses = clauses_of(plug_in)
    for clause in clauses.values():
        clause(plug_in)
    return list(clauses)


def clauses_of(plug_in: object) -> Mapping[str, Callable[[Any], None]]:
    """What it owes -> how that is checked. Raises InputError for what is no plug-in."""
    if isinstance(plug_in, MemoryPolicy):
        return POLICY
    if isinstance(plug_in, MotionModel):
        return MOTION
    if isinstance(plug_in, Selector):
        return SELECTOR
    raise InputError(f"{type(plug_in).__name__} is no MemoryPolicy, MotionModel or Selector: give one of these")


def _unchanged(plug_in: P, act: Callable[[P], list[Any]], over: str) -> None:
    """It does the same twice, and nothing of it changes."""
    before = pickle.dumps(plug_in)
    first, second = act(plug_in), act(plug_in)
    require(first == second, f"it does not do the same twice over {over}")
    require(pickle.dumps(plug_in) == before, "it keeps something on itself: what belongs to a video goes in the state")
    if dataclasses.is_dataclass(plug_in):
        frozen = getattr(type(plug_in), "__dataclass_params__").frozen  # noqa: B009 - mypy does not know it
        require(frozen, "its class can be changed: write @dataclass(frozen=True)")


# ------------------------------------------------------------------------------------------------------ memory policy


def numbers(read: Read) -> tuple[Any, ...]:
    """A read without its tensors and objects."""
    weights = tuple(None if w is None else tuple(w.tolist()) for w in (read.gain, read.bias))
    spatial = tuple((entry.frame, entry.features, slot) for entry, slot in read.spatial)
    return spatial, tuple((entry.frame, ago) for entry, ago in read.pointers), read.pointer_span, weights


def check_read(read: Read, frame: int) -> None:
    """That a network can attend to it."""
    at = f"read on frame {frame}"
    slots = [slot for _, slot in read.spatial if slot != ANCHOR]
    require(all(0 <= slot < SLOTS for slot in slots), f"{at}: slots {slots}; 0..{SLOTS - 1} or ANCHOR")
    require(len(set(slots)) == len(slots), f"{at}: slots {slots}; only ANCHOR may be given twice")
    for name, part in (("spatial", read.spatial), ("pointers", read.pointers)):
        frames = [entry.frame for entry, _ in part]
        require(all(each < frame for each in frames), f"{at}: {name} of frames {frames}, which are not all past")
        require(len(set(frames)) == len(frames), f"{at}: {name} of frames {frames}; give each once")
    ages = [ago for _, ago in read.pointers]
    require(all(isinstance(ago, int) and ago >= 0 for ago in ages), f"{at}: pointers at distances {ages}; 0, 1, 2 ...")
    require(read.pointer_span >= 0, f"{at}: pointer_span {read.pointer_span} is below 0")
    items = len(read.spatial) + len(read.pointers)
    for name, weights in (("gain", read.gain), ("bias", read.bias)):
        shape = None if weights is None else tuple(weights.shape)
        require(shape in (None, (items,)), f"{at}: a {name} of shape {shape} for {items} memories and pointers")


def bounded_memory(policy: MemoryPolicy, video: Video = AWAY) -> None:
    """Nothing grows without end; every read or cue is one that can be used."""
    before: set[int] = set()
    held: list[int] = []
    weight: list[int] = []
    for step in live(policy, video):
        check_read(step.read, step.frame)
        read = {entry.frame for entry, _ in (*step.read.spatial, *step.read.pointers)}
        require(read <= before, f"frame {step.frame} reads {sorted(read - before)}, which `entries` did not give")
        entries = policy.entries(step.state)
        before = {entry.frame for entry in entries}
        held.append(len(entries))
        if step.frame % 50 == 49:
            weight.append(len(pickle.dumps(step.state)))
    middle = len(held) // 2
    early, late = max(held[:middle]), max(held[middle:])
    require(max(held) <= MOST, f"it holds {max(held)} entries: {MOST} at most")
    require(late <= max(early, FULL), f"it holds {early} entries in the first half of a video, {late} in the second")
    # An entry more is a kilobyte more.
    allowed = 1.1 * max(weight[: len(weight) // 2]) + 256 + 1024 * max(late - early, 0)
    require(max(weight[len(weight) // 2 :]) <= allowed, "its state grows beside its entries")


def _reads(policy: MemoryPolicy, video: Video, state: Any = None, start: int = 0) -> list[Any]:
    return [numbers(step.read) for step in live(policy, video, state, start)]


def _policy_repeats(policy: MemoryPolicy) -> None:
    _unchanged(policy, lambda policy: _reads(policy, Video(3, 120, 60, 80)), "120 frames")


def _policy_videos(policy: MemoryPolicy) -> None:
    videos = Video(4, 80, 30, 50), Video(5, 80, 10, 20)
    alone = [_reads(policy, video) for video in videos]
    together: list[list[Step]] = [list(steps) for steps in zip(*(live(policy, video) for video in videos), strict=True)]
    mixed = [[numbers(steps[at].read) for steps in together] for at in range(2)]
    require(mixed == alone, "two videos in turn are not remembered as each is alone")


def _policy_forks(policy: MemoryPolicy) -> None:
    video = Video(6, 100, 40, 60)
    whole = list(live(policy, video))
    fork, rest = whole[49].state, [numbers(step.read) for step in whole[50:]]
    before = pickle.dumps(fork)
    require(_reads(policy, video, fork, 50) == rest, "a state of frame 49 does not go on as the video did")
    other = _reads(policy, Video(7, 100), fork, 50)
    require(other[0] == rest[0], "what is read on a frame depends on what follows")
    require(pickle.dumps(fork) == before, "`write` changes the state it is given: return a new one")
    require(_reads(policy, video, fork, 50) == rest, "a state does not go on the same way twice")


def _policy_lockstep(policy: MemoryPolicy) -> None:
    _apart(Tracker(SyntheticNetwork(), policy), Tracker(SyntheticNetwork(), _Prompts()))


def _apart(tracker: Tracker, other: Tracker) -> None:
    both = tracked(tracker, {1, 2}, other)
    for key in (1, 2):
        alone = seen(tracked(tracker, {key}), key)
        require(seen(both, key) == alone, f"object {key} is not tracked beside others as it is alone")


@dataclasses.dataclass(frozen=True)
class _Prompts(MemoryPolicy[tuple[Entry, ...]]):
    """Remembers the prompts alone."""

    def init(self) -> tuple[Entry, ...]:
        return ()

    def read(self, state: tuple[Entry, ...], query: Query) -> Read:
        return Read(tuple((entry, ANCHOR) for entry in state))

    def write(self, state: tuple[Entry, ...], entry: Entry, outcome: Outcome) -> tuple[Entry, ...]:
        return (*state, entry) if entry.scores.prompted else state

    def entries(self, state: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return state


POLICY: Mapping[str, Callable[[MemoryPolicy], None]] = {
    "memory is bounded over 2000 frames, and a network can attend to every read": bounded_memory,
    "decisions repeat, and nothing is kept on the object": _policy_repeats,
    "videos in turn do not see each other": _policy_videos,
    "a copied state goes on the same way twice": _policy_forks,
    "objects and trackers in lockstep do not see each other": _policy_lockstep,
}


# ------------------------------------------------------------------------------------------------------- motion model


def followed(
    model: MotionModel, video: Video, state: Any = None, start: int = 0
) -> Iterator[tuple[int, Cue | None, Any]]:
    """(frame, cue, state) of every frame; the best fused score chooses."""
    state = model.init() if state is None else state
    for frame in range(start, video.length):
        features, candidates, choice = video.features(frame), video.observe(frame), 0
        cue: Cue | None = None
        if frame > 0:
            with calling(model, "score", frame, 1):
                state, cue = model.score(state, features, candidates)
            iou = tuple(candidates.iou[0].tolist())
            scores = iou if cue is None else cue.fuse(iou)
            choice = max(range(len(scores)), key=scores.__getitem__)
        motion = None if cue is None else cue.remembered(choice)
        with calling(model, "update", frame, 1):
            state = model.update(state, features, outcome(video, frame, None, choice, motion))
        yield frame, cue, state


def _cues(model: MotionModel, video: Video, state: Any = None, start: int = 0) -> list[Cue | None]:
    return [cue for _, cue, _ in followed(model, video, state, start)]


def bounded_motion(model: MotionModel, video: Video = AWAY) -> None:
    """Nothing grows without end; every read or cue is one that can be used."""
    weight = []
    for frame, cue, state in followed(model, video):
        if cue is not None:
            at = f"cue of frame {frame}"
            require(len(cue.agreement) == 3, f"{at}: {len(cue.agreement)} agreements for 3 hypotheses")
            require(0 <= cue.weight <= 1, f"{at}: weight {cue.weight}; 0 to 1")
            reported = [share for share in map(cue.remembered, range(3)) if share is not None]
            shares = (*cue.agreement, *reported)
            require(all(0 <= share <= 1 + 1e-9 for share in shares), f"{at}: agreements {shares}; 0 to 1")
        if frame % 50 == 49:
            weight.append(len(pickle.dumps(state)))
    middle = len(weight) // 2
    require(max(weight[middle:]) <= 1.1 * max(weight[:middle]) + 256, "its state grows with the video")


def _motion_repeats(model: MotionModel) -> None:
    _unchanged(model, lambda model: _cues(model, Video(2, 60, 30, 40)), "60 frames")


def _motion_videos(model: MotionModel) -> None:
    videos = Video(3, 50, 30, 40), Video(4, 50, 10, 15)
    alone = [_cues(model, video) for video in videos]
    steps = list(zip(*(followed(model, video) for video in videos), strict=True))
    mixed = [[step[at][1] for step in steps] for at in range(2)]
    require(mixed == alone, "two videos in turn are not judged as each is alone")


def _motion_forks(model: MotionModel) -> None:
    video = Video(5, 60, 40, 45)
    whole = list(followed(model, video))
    fork, rest = whole[29][2], [cue for _, cue, _ in whole[30:]]
    before = pickle.dumps(fork)
    require(_cues(model, video, fork, 30) == rest, "a state of frame 29 does not go on as the video did")
    elsewhere = _cues(model, Video(6, 60), fork, 30)
    require(elsewhere != rest or not any(elsewhere), "what it says does not depend on what is seen")
    require(pickle.dumps(fork) == before, "`score` or `update` changes the state it is given: return a new one")
    require(_cues(model, video, fork, 30) == rest, "a state does not go on the same way twice")


def _motion_speaks(model: MotionModel) -> None:
    spoken = [cue is not None for cue in _cues(model, Video(7, 60))]
    require(any(spoken[20:]) or isinstance(model, NoMotion), "it abstains on every frame of a target in plain view")


def _motion_lockstep(model: MotionModel) -> None:
    _apart(Tracker(SyntheticNetwork(), _Prompts(), model), Tracker(SyntheticNetwork(), _Prompts()))


MOTION: Mapping[str, Callable[[MotionModel], None]] = {
    "cues are shares, and the state is bounded over 2000 frames": bounded_motion,
    "cues repeat, and nothing is kept on the object": _motion_repeats,
    "videos in turn do not see each other": _motion_videos,
    "a copied state goes on the same way twice": _motion_forks,
    "a target in plain view is predicted": _motion_speaks,
    "objects and trackers in lockstep do not see each other": _motion_lockstep,
}


# ----------------------------------------------------------------------------------------------------------- selector


def _branches(selector: Selector, video: Video) -> Iterator[tuple[int, list[float], list[Pick]]]:
    """(frame, totals before it, picks) of every frame, with a cue on every other one."""
    totals = [0.0]
    for frame in range(1, video.length):
        candidates: list[Candidates] = [video.observe(frame)] * len(totals)
        cue = Cue((0.2, 0.9, 0.5), 0.3) if frame % 2 else None
        with calling(selector, "select", frame, 1):
            picks = selector.select(totals, candidates, [cue] * len(totals))
        yield frame, totals, picks
        totals = [pick.total for pick in picks]


def _picks_live(selector: Selector) -> None:
    for frame, totals, picks in _branches(selector, Video(1, 300, lost=100, found=200)):
        at = f"picks of frame {frame}"
        require(1 <= len(picks) <= BRANCHES, f"{at}: {len(picks)}; 1 to {BRANCHES}")
        for pick in picks:
            require(0 <= pick.row < len(totals), f"{at}: row {pick.row} of {len(totals)}")
            require(0 <= pick.mask < 3, f"{at}: mask {pick.mask} of 3")
            require(isfinite(pick.total), f"{at}: a total of {pick.total}")
            cued = frame % 2 == 1
            motion = "the agreement of the mask" if cued else "None"
            want = (0.2, 0.9, 0.5)[pick.mask] if cued else None
            require(pick.motion == want, f"{at}: motion {pick.motion}; {motion} where the cue says {want}")


def _picks_repeat(selector: Selector) -> None:
    _unchanged(selector, lambda selector: list(_branches(selector, Video(2, 100, 40, 60))), "100 frames")


def _picks_lockstep(selector: Selector) -> None:
    _apart(Tracker(SyntheticNetwork(), _Prompts(), selector=selector), Tracker(SyntheticNetwork(), _Prompts()))


SELECTOR: Mapping[str, Callable[[Selector], None]] = {
    "picks are of what there is, with finite totals, and their number is bounded": _picks_live,
    "picks repeat, and nothing is kept on the object": _picks_repeat,
    "objects and trackers in lockstep do not see each other": _picks_lockstep,
}
