"""The loop: one frame of any number of trackers, objects and branches.

`Tracker.step` is the lockstep of one tracker; there is a single code path and it works on rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from torch import Tensor

from framework.defaults import Greedy, NoMotion
from framework.interfaces import MemoryPolicy, MotionModel, Network, Selector
from framework.rows import Correction, HostPrediction, Observation, RowRequest, memorise, predict_rows, to_host
from framework.state import Branch, Given, State, remember
from framework.types import (
    Entry,
    Features,
    Frame,
    Image,
    MemoryUse,
    Outcome,
    Prompt,
    Query,
    Result,
    Track,
    Work,
)


@dataclass(frozen=True)
class Tracker:
    """A memory policy, a motion model and a selector over a network.

    `presence_threshold` is an object-score logit; `fill_hole_area` counts cells of the mask-logit grid (the published
    predictors fill holes of up to 8); `exclusive` forbids objects to overlap in the output; with `anchor_corrections`
    a corrected frame becomes a conditioning memory.
    """

    network: Network
    policy: MemoryPolicy
    motion: MotionModel = NoMotion()
    selector: Selector = Greedy()
    presence_threshold: float = 0.0
    fill_hole_area: int = 0
    exclusive: bool = False
    anchor_corrections: bool = False

    def init(self) -> State:
        """Before the first frame of a video."""
        return State()

    def step(
        self,
        state: State,
        features: Features,
        prompts: Mapping[int, Prompt] | None = None,
        removed: frozenset[int] = frozenset(),
        truth: Mapping[int, Tensor] | None = None,
    ) -> tuple[State, Result]:
        """One frame: prompted objects start here or are corrected, the others are tracked.

        `removed` objects are forgotten; `truth` (bool masks at video size) reaches privileged policies only.
        """
        frame = Frame(features.image, prompts or {}, removed, truth or {})
        states, results = advance({"": self}, {"": state}, features, frame)
        return states[""], results[""]

    def absorb(self, state: State, features: Features, prompts: Mapping[int, Prompt]) -> State:
        """Takes prompts before their frame is reached, so that every frame may attend to them (offline tracking).

        Stepping on that frame later shows the prompted mask instead of tracking it.
        """
        return absorb({"": self}, {"": state}, features, prompts)[""]

    def hindsight(self, state: State) -> dict[int, dict[int, Track]]:
        """Object -> frame -> what the best branch says today; empty for selectors without hindsight."""
        pasts = {key: branches[0].past for key, branches in state.objects.items()}
        return {key: {node.frame: node.track for node in past.walk()} for key, past in pasts.items() if past}


def lockstep(
    trackers: Mapping[str, Tracker],
    frames: Iterable[Frame | Image],
    length: int | None = None,
    absorbed: Mapping[int, Frame] | None = None,
) -> Iterator[dict[str, Result]]:
    """Tracks a video with all `trackers` at once: results by tracker name, frame by frame.

    Every frame is encoded once; all trackers share one network. `length` is the number of frames (None when
    streaming). Frames in `absorbed` (index -> frame) give their prompts before the first frame is tracked.
    """
    networks = {id(tracker.network) for tracker in trackers.values()}
    if len(networks) != 1:
        raise ValueError(f"trackers in lockstep share one network; these have {len(networks)}")
    network = next(iter(trackers.values())).network
    states: Mapping[str, State] = {name: tracker.init() for name, tracker in trackers.items()}
    for index, frame in (absorbed or {}).items():
        states = absorb(trackers, states, network.encode(frame.image, index, length), frame.prompts)
    for index, item in enumerate(frames):
        frame = item if isinstance(item, Frame) else Frame(item)
        features = network.encode(frame.image, index, length)
        states, results = advance(trackers, states, features, frame, encodings=1)
        yield results


def advance(
    trackers: Mapping[str, Tracker], states: Mapping[str, State], features: Features, frame: Frame, encodings: int = 0
) -> tuple[dict[str, State], dict[str, Result]]:
    """One encoded frame of all trackers. Returns new states and results by tracker name."""
    network = next(iter(trackers.values())).network
    rows = [row for name, tracker in trackers.items() for row in _rows(name, tracker, states[name], features, frame)]

    answers, computed = predict_rows(network, features, [row.question for row in rows])
    sights = to_host(zip(answers, (row.tracker.fill_hole_area for row in rows), strict=True), features.video_size)
    groups = groupby(zip(rows, sights, strict=True), key=lambda pair: (pair[0].name, pair[0].key))
    chosen = [choice for _, group in groups for choice in _select(list(group), features)]
    chosen, corrected = _correct(network, chosen, features, frame)
    entries, end_leases, memories = memorise(network, features, [choice.observation for choice in chosen])
    ends = [_write(choice, entry, features, frame) for choice, entry in zip(chosen, entries, strict=True)]
    reencoded = end_leases()

    transfers = int(bool(rows)) + int(bool(corrected))
    work = Work(encodings, len(rows) + corrected, computed + corrected, memories + reencoded, transfers)
    after = {name: _shown(tracker, states[name], features, frame) for name, tracker in trackers.items()}
    for choice, (branch, track) in zip(chosen, ends, strict=True):
        objects, tracks = after[choice.row.name]
        first = choice.row.key not in tracks
        objects[choice.row.key] = (branch,) if first else (*objects[choice.row.key], branch)
        tracks.setdefault(choice.row.key, track)
    query, size = features.query, features.video_size
    return (
        {name: State(objects, _ahead(states[name], query)) for name, (objects, _) in after.items()},
        {name: Result(query.frame, size, after[name][1], work, trackers[name].exclusive) for name in trackers},
    )


def absorb(
    trackers: Mapping[str, Tracker], states: Mapping[str, State], features: Features, prompts: Mapping[int, Prompt]
) -> dict[str, State]:
    """Prompts of one frame for all trackers, before that frame is reached: remembered now, shown then."""
    network, frame = next(iter(trackers.values())).network, Frame(features.image, prompts)
    rows = [
        _prompt_row(name, tracker, states[name], key, prompt)
        for name, tracker in trackers.items()
        for key, prompt in prompts.items()
    ]
    answers, _ = predict_rows(network, features, [row.question for row in rows])
    sights = to_host(zip(answers, (row.tracker.fill_hole_area for row in rows), strict=True), features.video_size)
    chosen = [_take(row, sight) for row, sight in zip(rows, sights, strict=True)]
    entries, end_leases, _ = memorise(network, features, [choice.observation for choice in chosen])
    after = {name: (dict(state.objects), dict(state.given)) for name, state in states.items()}
    for choice, entry in zip(chosen, entries, strict=True):
        outcome = _outcome(choice, entry, features, frame)
        memory = choice.row.tracker.policy.write(choice.row.branch.memory, entry, outcome)
        objects, given = after[choice.row.name]
        objects[choice.row.key] = (replace(choice.row.branch, memory=memory),)
        given[features.query.frame, choice.row.key] = Given(_track(choice, entry, memory), outcome)
    end_leases()
    return {name: State(*values) for name, values in after.items()}


# ------------------------------------------------------------------------------------------------- phases of a frame


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """One branch of one object of one tracker, and what it asks on this frame."""

    name: str
    tracker: Tracker
    key: int
    branch: Branch
    question: RowRequest


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """A mask that lives on as a branch."""

    row: _Row
    observation: Observation
    total: float
    motion: Any
    """State of the motion model after it scored."""


def _rows(name: str, tracker: Tracker, state: State, features: Features, frame: Frame) -> Iterator[_Row]:
    """Every branch that is tracked on this frame, then every object that a prompt starts afresh."""
    policy, query = tracker.policy, features.query
    fresh = [key for key, prompt in frame.prompts.items() if not (prompt.refine and key in state.objects)]
    for key, branches in state.objects.items():
        if key in frame.removed or key in fresh or (query.frame, key) in state.given:
            continue
        for branch in branches:
            read = policy.read(branch.memory, query)
            yield _Row(name, tracker, key, branch, RowRequest(read, tracker.presence_threshold, policy.measures))
    for key in fresh:
        yield _prompt_row(name, tracker, state, key, frame.prompts[key])


def _prompt_row(name: str, tracker: Tracker, state: State, key: int, prompt: Prompt) -> _Row:
    """A prompt joins the best branch of its object, or starts one."""
    known = state.objects.get(key)
    branch = known[0] if known else Branch(tracker.policy.init(), tracker.motion.init())
    return _Row(name, tracker, key, branch, RowRequest(prompt=prompt))


def _take(row: _Row, sight: HostPrediction) -> _Choice:
    """The one mask of a prompt."""
    observation = Observation(sight, mask=0, motion=None, binarised=True, prompted=True)
    return _Choice(row, observation, row.branch.total, row.branch.motion)


def _select(group: Sequence[tuple[_Row, HostPrediction]], features: Features) -> Iterator[_Choice]:
    """The masks of one object that live on, best first."""
    (first, sight), *_ = group
    if first.question.prompt is not None:
        yield _take(first, sight)
        return
    tracker = first.tracker
    scored = [tracker.motion.score(row.branch.motion, features, sight.candidates) for row, sight in group]
    totals = [row.branch.total for row, _ in group]
    picks = tracker.selector.select(totals, [sight.candidates for _, sight in group], [cue for _, cue in scored])
    for pick in picks:
        row, sight = group[pick.row]
        observation = Observation(sight, pick.mask, pick.motion, binarised=False, prompted=False)
        yield _Choice(row, observation, pick.total, scored[pick.row][0])


def _correct(
    network: Network, chosen: Sequence[_Choice], features: Features, frame: Frame
) -> tuple[list[_Choice], int]:
    """Applies correction prompts to what was just tracked; also says how many rows that took."""
    refined = {key: prompt for key, prompt in frame.prompts.items() if prompt.refine}
    at = [i for i, c in enumerate(chosen) if c.row.key in refined and c.row.question.prompt is None]
    questions = []
    for index in at:
        seen, mask = chosen[index].observation.sight, chosen[index].observation.mask
        assert seen.answer.conditioned is not None
        correction = Correction(seen.answer.conditioned, seen.shown[mask][None])
        questions.append(RowRequest(prompt=refined[chosen[index].row.key], correction=correction))
    answers, _ = predict_rows(network, features, questions)
    holes = (chosen[index].row.tracker.fill_hole_area for index in at)
    result = list(chosen)
    for index, sight in zip(at, to_host(zip(answers, holes, strict=True), features.video_size), strict=True):
        anchor = chosen[index].row.tracker.anchor_corrections
        observation = Observation(sight, mask=0, motion=None, binarised=True, prompted=anchor)
        result[index] = replace(chosen[index], observation=observation)
    return result, len(at)


def _outcome(choice: _Choice, entry: Entry, features: Features, frame: Frame) -> Outcome:
    observation, tracker = choice.observation, choice.row.tracker
    sight, mask = observation.sight, observation.mask
    return Outcome(
        frame=features.query.frame,
        candidates=sight.candidates,
        choice=mask,
        box=sight.boxes[mask],
        scores=entry.scores,
        size=features.video_size,
        truth=frame.truth.get(choice.row.key) if tracker.policy.privileged else None,
        read=choice.row.question.read,
        attention=sight.answer.attention if tracker.policy.measures else None,
        shown=sight.shown[mask] if tracker.fill_hole_area else None,
        embedding=features.query.embedding,
    )


def _track(choice: _Choice, entry: Entry, memory: Any) -> Track:
    sight, mask, read = choice.observation.sight, choice.observation.mask, choice.row.question.read
    return Track(
        logits=sight.shown[mask],
        scores=entry.scores,
        choice=mask,
        box=sight.boxes[mask],
        candidates=sight.answer.candidates,
        memory=MemoryUse(
            tuple((read_entry.frame, slot) for read_entry, slot in read.spatial),
            tuple((read_entry.frame, ago) for read_entry, ago in read.pointers),
            tuple(held.frame for held in choice.row.tracker.policy.entries(memory)),
        ),
    )


def _write(choice: _Choice, entry: Entry, features: Features, frame: Frame) -> tuple[Branch, Track]:
    """The branch after this frame, and what it shows."""
    tracker, branch = choice.row.tracker, choice.row.branch
    outcome = _outcome(choice, entry, features, frame)
    memory = tracker.policy.write(branch.memory, entry, outcome)
    motion = tracker.motion.update(choice.motion, features, outcome)
    track = _track(choice, entry, memory)
    return _end(tracker, Branch(memory, motion, choice.total, branch.past), features.query, track), track


def _end(tracker: Tracker, branch: Branch, query: Query, track: Track) -> Branch:
    """The branch with this frame added to its past, where its selector looks back."""
    if not tracker.selector.hindsight:
        return branch
    return replace(branch, past=remember(branch.past, query.frame, track, tracker.selector.lag))


def _shown(
    tracker: Tracker, state: State, features: Features, frame: Frame
) -> tuple[dict[int, tuple[Branch, ...]], dict[int, Track]]:
    """Objects still tracked, in order, and the tracks of those whose prompt on this frame was absorbed before."""
    objects = {key: branches for key, branches in state.objects.items() if key not in frame.removed}
    tracks: dict[int, Track] = {}
    for (index, key), given in state.given.items():
        if index == features.query.frame and key in objects and key not in frame.prompts:
            tracks[key] = given.track
            objects[key] = tuple(
                _end(
                    tracker,
                    replace(branch, motion=tracker.motion.update(branch.motion, features, given.outcome)),
                    features.query,
                    given.track,
                )
                for branch in objects[key]
            )
    return objects, tracks


def _ahead(state: State, query: Query) -> dict[tuple[int, int], Given]:
    """Absorbed prompts whose frame is still to come."""
    return {at: given for at, given in state.given.items() if at[0] != query.frame}
