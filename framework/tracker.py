"""The loop: one frame of any number of trackers, objects and branches.

`Tracker.step` is the lockstep of one tracker; there is a single code path and it works on rows.
"""

import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, TypeVar

from torch import Tensor

from framework.defaults import Greedy, NoMotion
from framework.errors import InputError, calling
from framework.interfaces import MemoryPolicy, MotionModel, Network, Selector
from framework.rows import (
    Correction,
    HostPrediction,
    Observation,
    RowPrediction,
    RowRequest,
    memorise,
    predict_rows,
    to_host,
)
from framework.state import Branch, Given, State, rebased, remember
from framework.types import (
    ANCHOR,
    Cue,
    Entry,
    Features,
    Frame,
    Image,
    MemoryUse,
    Outcome,
    Prompt,
    Read,
    Result,
    Track,
    TrackerCost,
    Work,
    in_turn,
)

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Tracker:
    """A memory policy, a motion model and a selector over a network.

    `presence_threshold` is an object-score logit; `fill_hole_area` counts cells of the mask-logit grid (None: as many
    as the network's published predictor fills: 8 for SAM 2, none for SAM 3); `exclusive` forbids objects to overlap in
    the output; with `anchor_corrections` a corrected frame becomes a conditioning memory; without `binarise_prompts`
    prompts and corrections are remembered as probabilities, like what is tracked
    (``binarize_mask_from_pts_for_mem_enc=false``, as published numbers were made where no post-processing was on).
    """

    network: Network
    policy: MemoryPolicy
    motion: MotionModel = NoMotion()
    selector: Selector = Greedy()
    presence_threshold: float = 0.0
    fill_hole_area: int | None = 0
    exclusive: bool = False
    anchor_corrections: bool = False
    binarise_prompts: bool = True

    def __post_init__(self) -> None:
        slots, known = self.policy.slots, self.network.slots
        if slots > known:
            name = type(self.policy).__name__
            raise InputError(f"{name} reads {slots} temporal slots, and the network has {known}: use at most {known}")

    @property
    def hole_area(self) -> int:
        """Cells of the holes that are filled."""
        return self.network.fill_hole_area if self.fill_hole_area is None else self.fill_hole_area

    def init(self) -> State:
        """Before the first frame of a video."""
        return State()

    def step(
        self,
        state: State,
        features: Features,
        prompts: Mapping[int, Prompt | Sequence[Prompt]] | None = None,
        removed: frozenset[int] = frozenset(),
        truth: Mapping[int, Tensor] | None = None,
    ) -> tuple[State, Result]:
        """One frame: prompted objects start here or are corrected, the others are tracked.

        Several prompts of an object are taken in turn (`framework.types.in_turn`), as a user clicks: each that refines
        corrects what the one before it showed.
        `removed` objects are forgotten first, so that a prompt starts them afresh; `truth` (bool masks at video size)
        reaches privileged policies only.
        """
        frame = Frame(features.image, prompts or {}, removed, truth or {})
        states, results = advance({"": self}, {"": state}, features, frame)
        return states[""], results[""]

    def absorb(self, state: State, features: Features, prompts: Mapping[int, Prompt | Sequence[Prompt]]) -> State:
        """Takes prompts before their frame is reached, so that every frame may attend to them (offline tracking).

        Stepping on that frame later shows the prompted mask instead of tracking it.
        """
        return absorb({"": self}, {"": state}, features, prompts)[""]

    def rebase(self, state: State, by: int) -> State:
        """What is remembered, as if all its frames had been numbered `by` higher: a memory for another video.

        With `by` minus the number of the next frame it goes on as if another video, whose frames begin at 0, followed.
        Where objects were is forgotten, as are earlier frames and prompts in advance: motion models begin anew.
        """
        return State(
            {
                key: tuple(Branch(rebased(branch.memory, by), self.motion.init()) for branch in branches)
                for key, branches in state.objects.items()
            }
        )

    def hindsight(self, state: State) -> dict[int, dict[int, Track]]:
        """Object -> frame -> what the best branch says today; empty for selectors without hindsight."""
        pasts = {key: branches[0].past for key, branches in state.objects.items()}
        return {key: {one.frame: one.track for one in past} for key, past in pasts.items() if past}


def lockstep(
    trackers: Mapping[str, Tracker],
    frames: Iterable[Frame | Image],
    length: int | None = None,
    absorbed: Mapping[int, Frame] | None = None,
) -> Iterator[dict[str, Result]]:
    """Tracks a video with all `trackers` at once: results by tracker name, frame by frame.

    Every frame is encoded once; all trackers share one network. Decisions and masks are those of separate runs, up to
    the last bits in which a network's batches of several rows differ from one (see `Sam2Network.rows_at_once`).
    `length` is the number of frames (None when streaming). Frames in `absorbed` (index -> frame) give their prompts
    before the first frame is tracked.
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
    states = {name: state.without(frame.removed) for name, state in states.items()}
    costs = _Costs()
    rows = [
        row for name, tracker in trackers.items() for row in _rows(name, tracker, states[name], features, frame, costs)
    ]

    hosts, computed = _predict(network, features, rows, costs)
    choices = _select(rows, hosts, features, costs)
    choices, corrections = _correct(network, choices, features, frame, costs)
    memorised = memorise(network, features, [choice.observation for choice in choices])
    costs.memorised(
        [(choice.row.name, id(entry.features)) for choice, entry in zip(choices, memorised.entries, strict=True)]
    )
    written = [
        _write(choice, entry, features, frame, costs) for choice, entry in zip(choices, memorised.entries, strict=True)
    ]
    memories = memorised.encoded + memorised.end()

    work = Work(encodings, len(rows), computed, memories, transfers=int(bool(rows))) + corrections
    after: dict[str, State] = {}
    results: dict[str, Result] = {}
    for name, tracker in trackers.items():
        own = [one for one in written if one.name == name]
        after[name], tracks = _end(tracker, states[name], own, features, frame)
        cost = costs.by_tracker[name]
        results[name] = Result(features.query.frame, features.video_size, tracks, work, cost, tracker.exclusive)
    return after, results


def absorb(
    trackers: Mapping[str, Tracker],
    states: Mapping[str, State],
    features: Features,
    prompts: Mapping[int, Prompt | Sequence[Prompt]],
) -> dict[str, State]:
    """Prompts of one frame for all trackers, before that frame is reached: remembered now, shown then."""
    network, frame = next(iter(trackers.values())).network, Frame(features.image, prompts)
    rows = [
        _prompt_row(name, tracker, states[name], key, in_turn(given)[0], features.query.frame)
        for name, tracker in trackers.items()
        for key, given in prompts.items()
    ]
    costs = _Costs()
    hosts, _ = _predict(network, features, rows, costs)
    choices = [_take(row, host) for row, host in zip(rows, hosts, strict=True)]
    choices, _ = _correct(network, choices, features, frame, costs)
    memorised = memorise(network, features, [choice.observation for choice in choices])
    after = {name: (dict(state.objects), dict(state.given)) for name, state in states.items()}
    for choice, entry in zip(choices, memorised.entries, strict=True):
        row, outcome = choice.row, choice.outcome(entry, features, frame)
        with calling(row.tracker.policy, "write", features.query.frame, row.key):
            memory = row.tracker.policy.write(row.branch.memory, entry, outcome)
        objects, given = after[row.name]
        objects[row.key] = (replace(row.branch, memory=memory),)
        given[features.query.frame, row.key] = Given(choice.track(entry, memory, outcome), outcome)
    memorised.end()
    return {name: State(*values) for name, values in after.items()}


def replay(
    trackers: Mapping[str, Tracker],
    states: Mapping[str, State],
    features: Features,
    frame: Frame,
    tracks: Mapping[str, Mapping[int, Track]],
) -> dict[str, State]:
    """States as if each tracker had tracked this frame and found its `tracks`, of objects that it knows.

    Nothing is predicted and nothing is read: policies and motion models are told. Objects in `frame.prompts` are
    remembered as shown, like corrections. A tracker follows one branch per object.
    """
    network = next(iter(trackers.values())).network
    retaken = [
        (_Row(name, trackers[name], key, states[name].objects[key][0], RowRequest()), track)
        for name, found in tracks.items()
        for key, track in found.items()
    ]
    predictions = {  # what was computed once is one prediction again
        id(track.candidates): RowPrediction(track.candidates) for _, track in retaken if track.candidates is not None
    }
    pairs = [(predictions[id(track.candidates)], row.tracker.hole_area) for row, track in retaken]
    choices = [
        _retake(row, host, track, features, prompted=row.key in frame.prompts)
        for (row, track), host in zip(retaken, to_host(pairs, features), strict=True)
    ]
    memorised = memorise(network, features, [choice.observation for choice in choices])
    objects, costs = {name: dict(state.objects) for name, state in states.items()}, _Costs()
    for choice, entry in zip(choices, memorised.entries, strict=True):
        objects[choice.row.name][choice.row.key] = (_write(choice, entry, features, frame, costs).branch,)
    memorised.end()
    return {name: State(objects[name], state.given) for name, state in states.items()}


# ------------------------------------------------------------------------------------------------------------- costs


class _Costs:
    """What each tracker costs while a frame goes through the loop."""

    def __init__(self) -> None:
        self.by_tracker: defaultdict[str, TrackerCost] = defaultdict(TrackerCost)

    @contextmanager
    def deciding(self, name: str) -> Iterator[None]:
        """Around what a plug-in of this tracker does."""
        began = time.perf_counter()
        yield
        self.by_tracker[name] += TrackerCost(decisions=time.perf_counter() - began)

    def predicted(self, asked: Sequence[tuple[str, RowPrediction]], seconds: float) -> None:
        """(tracker, prediction) of all rows, and what these took together; in proportion to what each took."""
        askers = _by_identity(asked)
        whole = sum(prediction.seconds for prediction in askers) or 1.0  # a coarse clock
        for prediction, names in askers.items():
            each = seconds * prediction.seconds / whole
            for name in names:
                self.by_tracker[name] += TrackerCost(predictions=each, predictions_shared=each / len(names))

    def memorised(self, chosen: Sequence[tuple[str, int]]) -> None:
        """(tracker, identity of the memory) of all choices."""
        for names in _by_identity(chosen).values():
            for name in names:
                self.by_tracker[name] += TrackerCost(memories=1.0, memories_shared=1 / len(names))


def _by_identity(pairs: Sequence[tuple[str, K]]) -> dict[K, set[str]]:
    """The trackers by what they have in common."""
    found: dict[K, set[str]] = {}
    for name, shared in pairs:
        found.setdefault(shared, set()).add(name)
    return found


# -------------------------------------------------------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """One branch of one object of one tracker, and what it asks on this frame."""

    name: str
    tracker: Tracker
    key: int
    branch: Branch
    request: RowRequest


def _rows(name: str, tracker: Tracker, state: State, features: Features, frame: Frame, costs: _Costs) -> Iterator[_Row]:
    """Every branch that is tracked on this frame, then every object that a prompt shows."""
    policy, query = tracker.policy, features.query
    given = {key for at, key in state.given if at == query.frame}
    first = {key: in_turn(prompts)[0] for key, prompts in frame.prompts.items()}
    tracked = {key for key in state.objects.keys() - given if key not in first or first[key].refine}
    for key in (key for key in state.objects if key in tracked):
        for branch in state.objects[key]:
            with calling(policy, "read", query.frame, key), costs.deciding(name):
                read = policy.read(branch.memory, query)
                _check_slots(read, tracker.network.slots)
            yield _Row(name, tracker, key, branch, RowRequest(read, tracker.presence_threshold, policy.measures))
    for key in (key for key in first if key not in tracked):
        yield _prompt_row(name, tracker, state, key, first[key], query.frame)


def _check_slots(read: Read, known: int) -> None:
    for entry, slot in read.spatial:
        if not ANCHOR <= slot < known:
            raise ValueError(f"the memory of frame {entry.frame} is read at slot {slot}; 0..{known - 1} or ANCHOR")


def _prompt_row(name: str, tracker: Tracker, state: State, key: int, prompt: Prompt, frame: int) -> _Row:
    """A prompt joins the best branch of its object, or starts one; it may correct one that was absorbed before."""
    known, given = state.objects.get(key), state.given.get((frame, key))
    branch = known[0] if known else Branch(tracker.policy.init(), tracker.motion.init())
    correction = Correction(given.track.logits[None], None, given) if given is not None and prompt.refine else None
    return _Row(name, tracker, key, branch, RowRequest(prompt=prompt, correction=correction))


# ----------------------------------------------------------------------------------------------------------- predict


def _predict(
    network: Network, features: Features, rows: Sequence[_Row], costs: _Costs
) -> tuple[list[HostPrediction], int]:
    """What the network says of each row, and how many rows it computed."""
    began = time.perf_counter()
    predictions, computed = predict_rows(network, features, [row.request for row in rows])
    holes = (row.tracker.hole_area for row in rows)
    hosts = to_host(zip(predictions, holes, strict=True), features)  # which waits for a device
    asked = [(row.name, prediction) for row, prediction in zip(rows, predictions, strict=True)]
    costs.predicted(asked, time.perf_counter() - began)
    return hosts, computed


# ------------------------------------------------------------------------------------------------------------ select


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """A mask that lives on as a branch."""

    row: _Row
    observation: Observation
    total: float
    motion: Any
    """State of the motion model after it scored."""
    cue: Cue | None = None

    def outcome(self, entry: Entry, features: Features, frame: Frame) -> Outcome:
        """What policy and motion model are told."""
        tracker, host, mask = self.row.tracker, self.observation.host, self.observation.mask
        return Outcome(
            frame=features.query.frame,
            candidates=host.candidates,
            choice=mask,
            box=host.boxes[mask],
            scores=entry.scores,
            size=features.video_size,
            truth=frame.truth.get(self.row.key) if tracker.policy.privileged else None,
            read=self.row.request.read,
            attention=host.prediction.attention if tracker.policy.measures else None,
            shown=host.shown[mask] if tracker.hole_area else None,
            embedding=features.query.embedding,
            features=features,
            compare=tracker.network.similarity,
        )

    def track(self, entry: Entry, memory: Any, outcome: Outcome) -> Track:
        """What the user is told; `memory` is the policy's state after it wrote."""
        host, mask, policy = self.observation.host, self.observation.mask, self.row.tracker.policy
        with calling(policy, "explain", entry.frame, self.row.key):
            reasons = () if entry.scores.prompted else policy.explain(memory, entry, outcome)
        return Track(
            logits=host.shown[mask],
            scores=entry.scores,
            choice=mask,
            box=host.boxes[mask],
            candidates=host.prediction.candidates,
            memory=MemoryUse.after(outcome.read, policy.entries(memory), outcome.reading, reasons),
            cue=self.cue,
        )


def _select(rows: Sequence[_Row], hosts: Sequence[HostPrediction], features: Features, costs: _Costs) -> list[_Choice]:
    """The masks that live on, of one object after the other, best first."""
    groups = groupby(zip(rows, hosts, strict=True), key=lambda pair: (pair[0].name, pair[0].key))
    return [choice for _, group in groups for choice in _select_branches(list(group), features, costs)]


def _select_branches(
    group: Sequence[tuple[_Row, HostPrediction]], features: Features, costs: _Costs
) -> Iterator[_Choice]:
    """The masks of one object that live on, best first."""
    (first, host), *_ = group
    if first.request.prompt is not None:
        yield _take(first, host)
        return
    tracker = first.tracker
    at, key = features.query.frame, first.key
    with calling(tracker.motion, "score", at, key), costs.deciding(first.name):
        scored = [tracker.motion.score(row.branch.motion, features, host.candidates) for row, host in group]
    totals = [row.branch.total for row, _ in group]
    with calling(tracker.selector, "select", at, key), costs.deciding(first.name):
        picks = tracker.selector.select(totals, [host.candidates for _, host in group], [cue for _, cue in scored])
    for pick in picks:
        row, host = group[pick.row]
        observation = Observation(host, pick.mask, pick.motion, as_shown=False, binarised=False, prompted=False)
        yield _Choice(row, observation, pick.total, *scored[pick.row])


def _take(row: _Row, host: HostPrediction) -> _Choice:
    """The one mask of a prompt."""
    observation = _prompted(row, host, prompted=True)
    return _Choice(row, observation, row.branch.total, row.branch.motion)


def _retake(row: _Row, host: HostPrediction, track: Track, features: Features, prompted: bool) -> _Choice:
    """The mask that was chosen before; the motion model is asked in vain, since it may predict as it scores."""
    if prompted:
        return _Choice(row, _prompted(row, host, track.scores.prompted), row.branch.total, row.branch.motion)
    with calling(row.tracker.motion, "score", features.query.frame, row.key):
        motion, _ = row.tracker.motion.score(row.branch.motion, features, host.candidates)
    agreement, choice = track.scores.motion, track.choice
    observation = Observation(host, choice, agreement, as_shown=False, binarised=False, prompted=track.scores.prompted)
    return _Choice(row, observation, row.branch.total, motion)


def _prompted(row: _Row, host: HostPrediction, prompted: bool) -> Observation:
    """The one mask of a prompt or correction."""
    return Observation(host, 0, None, as_shown=True, binarised=row.tracker.binarise_prompts, prompted=prompted)


# ----------------------------------------------------------------------------------------------------------- correct


def _correct(
    network: Network, choices: Sequence[_Choice], features: Features, frame: Frame, costs: _Costs
) -> tuple[list[_Choice], Work]:
    """Applies correction prompts, turn by turn, to what was tracked or prompted; also says what that cost."""
    corrected, work = list(choices), Work()
    turns = [_corrections(choice, frame) for choice in choices]
    for turn in range(max(map(len, turns), default=0)):
        at = [index for index, prompts in enumerate(turns) if len(prompts) > turn]
        rows = []
        for index in at:
            row, seen = choices[index].row, corrected[index].observation
            request = RowRequest(prompt=turns[index][turn], correction=Correction.of(seen.host, seen.mask))
            rows.append(replace(row, request=request))
        hosts, computed = _predict(network, features, rows, costs)
        work += Work(rows_asked=len(rows), rows_computed=computed, transfers=1)
        for index, host in zip(at, hosts, strict=True):
            row = choices[index].row
            prompted = row.request.prompt is not None or row.tracker.anchor_corrections
            corrected[index] = replace(corrected[index], observation=_prompted(row, host, prompted), cue=None)
    return corrected, work


def _corrections(choice: _Choice, frame: Frame) -> tuple[Prompt, ...]:
    """Prompts of its object that are still to be applied."""
    if choice.row.key not in frame.prompts:
        return ()
    prompts = in_turn(frame.prompts[choice.row.key])
    return prompts if choice.row.request.prompt is None else prompts[1:]


# ------------------------------------------------------------------------------------------------------------- write


@dataclass(frozen=True, slots=True, eq=False)
class _Written:
    """A branch after this frame, and what it shows."""

    name: str
    key: int
    branch: Branch
    track: Track


def _write(choice: _Choice, entry: Entry, features: Features, frame: Frame, costs: _Costs) -> _Written:
    row, tracker = choice.row, choice.row.tracker
    outcome = choice.outcome(entry, features, frame)
    with calling(tracker.policy, "write", features.query.frame, row.key), costs.deciding(row.name):
        memory = tracker.policy.write(row.branch.memory, entry, outcome)
    with calling(tracker.motion, "update", features.query.frame, row.key), costs.deciding(row.name):
        motion = tracker.motion.update(choice.motion, features, outcome)
    branch = Branch(memory, motion, choice.total, row.branch.past)
    return _Written(row.name, row.key, branch, choice.track(entry, memory, outcome))


def _end(
    tracker: Tracker, state: State, written: Sequence[_Written], features: Features, frame: Frame
) -> tuple[State, dict[int, Track]]:
    """A tracker's state after the frame and what its objects show; prompts absorbed for this frame show now."""
    at, selector = features.query.frame, tracker.selector
    objects = dict(state.objects)
    shown: dict[int, list[tuple[Branch, Track]]] = {}
    for (index, key), given in state.given.items():
        if index == at and key in objects and key not in frame.prompts:
            motions = (tracker.motion.update(branch.motion, features, given.outcome) for branch in objects[key])
            pairs = zip(objects[key], motions, strict=True)
            shown[key] = [(replace(branch, motion=motion), given.track) for branch, motion in pairs]
    for one in written:
        shown.setdefault(one.key, []).append((one.branch, one.track))
    for key, ends in shown.items():
        objects[key] = tuple(
            replace(branch, past=remember(branch.past, at, track, selector.lag)) if selector.hindsight else branch
            for branch, track in ends
        )
    ahead = {where: given for where, given in state.given.items() if where[0] > at}
    return State(objects, ahead), {key: shown[key][0][1] for key in objects}
