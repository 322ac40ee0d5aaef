"""The loop: lockstep equals separate runs, identical rows run once, objects come and go, truth stays with oracles."""

import copy
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from framework.defaults import Greedy
from framework.errors import InputError
from framework.interfaces import MotionModel, Selector
from framework.networks import micro
from framework.state import State, held_bytes, held_tensors
from framework.tracker import Tracker, advance, lockstep
from framework.types import Candidates, Cue, Entry, Features, Frame, Outcome, Pick, Prompt, Result, in_turn
from policies.components.bank import Bank
from policies.every_nth import EveryNth
from policies.keep_first import KeepFirst
from policies.rmem import RMem
from policies.sam2 import Sam2
from policies.sam2long_beam import Beam
from policies.skip_absent import SkipAbsent
from tests.fakes.scripted import PROMPT_HYPOTHESIS, Script, ScriptedNetwork

LENGTH, SIDE = 24, 32


def scripted(length: int = LENGTH, seed: int = 0, absent: tuple[int, ...] = (7, 8, 9)) -> ScriptedNetwork:
    rng = np.random.default_rng(seed)
    presence = np.full((length, 1), 5.0, dtype=np.float32)
    presence[list(absent)] = -5.0
    script = Script(
        rng.normal(size=(length, 1, 3, 16, 16)).astype(np.float32),
        rng.random((length, 1, 3), dtype=np.float32),
        presence,
    )
    return ScriptedNetwork(script, (SIDE, SIDE), (SIDE, SIDE))


def square(at: int) -> Prompt:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[at : at + 8, at : at + 8] = True
    return Prompt(mask=mask)


PROMPT = square(4)
IMAGE = torch.zeros(3, SIDE, SIDE)


def video(prompts: Mapping[int, Mapping[int, Prompt]], length: int = LENGTH) -> list[Frame]:
    return [Frame(IMAGE, prompts.get(index, {})) for index in range(length)]


def summary(results: list[Result]) -> list[object]:
    return [
        [(key, track.choice, track.scores, track.box, track.memory) for key, track in result.tracks.items()]
        for result in results
    ]


def run(trackers: Mapping[str, Tracker], frames: list[Frame]) -> dict[str, list[Result]]:
    steps = list(lockstep(trackers, frames, len(frames)))
    return {name: [step[name] for step in steps] for name in trackers}


def test_lockstep_equals_separate_runs() -> None:
    frames = video({0: {1: PROMPT, 2: square(12)}, 5: {3: square(20)}})
    network = scripted()
    policies = {"sam2": Sam2(), "skip": SkipAbsent(), "first": KeepFirst(), "nth": EveryNth(interval=3)}
    together = run({name: Tracker(network, policy) for name, policy in policies.items()}, frames)
    for name, policy in policies.items():
        alone = run({name: Tracker(scripted(), policy)}, frames)
        assert summary(together[name]) == summary(alone[name])
        for ours, theirs in zip(together[name], alone[name], strict=True):
            for key, track in ours.tracks.items():
                assert torch.equal(track.logits, theirs.tracks[key].logits)


def test_identical_rows_run_once() -> None:
    frames = video({0: {1: PROMPT}})
    trackers = {str(index): Tracker(scripted(), Sam2()) for index in range(5)}
    network = scripted()
    trackers = {name: replace(tracker, network=network) for name, tracker in trackers.items()}
    works = [result.work for result in run(trackers, frames)["0"]]
    assert all(work.encodings == 1 and work.rows_asked == 5 and work.rows_computed == 1 for work in works)
    assert all(work.memories == 1 and work.transfers == 1 for work in works)
    assert len(network.encoded) == LENGTH


def test_work_is_shared_until_decisions_differ() -> None:
    """Recency and skip-absent read the same memories until the object first disappears."""
    network = scripted(absent=(10,))
    results = run({"a": Tracker(network, Sam2()), "b": Tracker(network, SkipAbsent())}, video({0: {1: PROMPT}}))["a"]
    assert [result.work.rows_computed for result in results] == [1] * 11 + [2] * (LENGTH - 11)


def test_presence_threshold_is_part_of_a_row() -> None:
    network = scripted()
    trackers = {"a": Tracker(network, Sam2()), "b": Tracker(network, Sam2(), presence_threshold=-10.0)}
    results = run(trackers, video({0: {1: PROMPT}}))
    assert results["a"][1].work.rows_computed == 2
    assert results["a"][7].tracks[1].box is None and results["b"][7].tracks[1].box is not None


@dataclass(frozen=True)
class Diary(MotionModel[tuple[str, ...]]):
    """Its state is what it was called with."""

    def init(self) -> tuple[str, ...]:
        return ()

    def score(
        self, state: tuple[str, ...], features: Features, candidates: Candidates
    ) -> tuple[tuple[str, ...], Cue | None]:
        best = f"{float(candidates.iou.max()):.6f}"
        return (*state, f"scored {features.query.frame} {len(candidates.iou)} {best}"), None

    def update(self, state: tuple[str, ...], features: Features, outcome: Outcome) -> tuple[str, ...]:
        return (*state, f"chose {features.query.frame} {outcome.choice}")


@dataclass(frozen=True)
class Alternating(Selector):
    """Two branches that change places on every frame."""

    def select(
        self, totals: Sequence[float], candidates: Sequence[Candidates], cues: Sequence[Cue | None]
    ) -> list[Pick]:
        first, second = ((0, 0), (0, 1)) if len(totals) == 1 else ((1, 2), (0, 0))
        return [Pick(*first, 0.0, None), Pick(*second, 0.0, None)]


def test_a_branch_keeps_the_state_of_its_own_motion_model() -> None:
    """Every frame is scored by it, then the branch's own choice is told to it."""
    network, frames = scripted(absent=()), video({0: {1: PROMPT}}, 6)
    tracker = Tracker(network, RMem(), Diary(), Alternating())
    state = tracker.init()
    for index, frame in enumerate(frames):
        state, _ = tracker.step(state, network.encode(frame.image, index, len(frames)), frame.prompts)
    best = [f"{float(network.script.iou[index].max()):.6f}" for index in range(6)]
    scored = tuple(f"scored {index} 1 {best[index]}" for index in range(1, 6))
    assert [branch.motion[1::2] for branch in state.objects[1]] == [scored, scored]
    choices = [[line.split()[1:] for line in branch.motion[0::2]] for branch in state.objects[1]]
    assert choices == [list(map(list, zip("012345", chosen, strict=True))) for chosen in ("000202", "012020")]


def test_one_network_for_all() -> None:
    with pytest.raises(ValueError, match="share one network"):
        next(lockstep({"a": Tracker(scripted(), Sam2()), "b": Tracker(scripted(), Sam2())}, video({})))


def test_objects_come_and_go() -> None:
    frames = video({0: {1: PROMPT}, 4: {2: square(12)}})
    frames[9] = Frame(IMAGE, removed=frozenset({1}))
    frames[12] = Frame(IMAGE, {1: square(20)})
    results = run({"sam2": Tracker(scripted(), Sam2())}, frames)["sam2"]
    assert [sorted(result.tracks) for result in results] == [[1]] * 4 + [[1, 2]] * 5 + [[2]] * 3 + [[1, 2]] * 12
    assert results[13].tracks[1].memory.spatial == ((12, -1),)


def test_a_step_forgets_what_is_removed() -> None:
    tracker = Tracker(scripted(), Sam2())
    first, second = (tracker.network.encode(IMAGE, index, None) for index in range(2))
    state, _ = tracker.step(tracker.init(), first, {1: PROMPT, 2: square(12)})
    assert sorted(tracker.step(state, second)[1].tracks) == [1, 2]
    after, result = tracker.step(state, second, removed=frozenset({1}))
    assert sorted(result.tracks) == sorted(after.objects) == [2]


@pytest.mark.parametrize("refine", [False, True])
def test_an_object_removed_and_prompted_on_one_frame_starts_afresh(refine: bool) -> None:
    frames = video({0: {1: PROMPT}, 9: {1: replace(square(20), refine=refine)}})
    frames[9] = replace(frames[9], removed=frozenset({1}))
    results = run({"sam2": Tracker(scripted(), Sam2())}, frames)["sam2"]
    assert results[9].tracks[1].scores.prompted and results[9].tracks[1].memory.held == (9,)
    assert results[10].tracks[1].memory.spatial == ((9, -1),)


def test_a_second_prompt_is_another_anchor() -> None:
    results = run({"sam2": Tracker(scripted(), Sam2())}, video({0: {1: PROMPT}, 5: {1: square(12)}}))["sam2"]
    assert results[6].tracks[1].memory.spatial == ((0, -1), (5, -1), (1, 4), (2, 3), (3, 2), (4, 1))


@pytest.mark.parametrize("anchors", [False, True])
def test_a_correction_replaces_what_was_tracked(anchors: bool) -> None:
    correction = replace(square(12), refine=True)
    tracker = Tracker(scripted(), Sam2(), anchor_corrections=anchors)
    results = run({"sam2": tracker}, video({0: {1: PROMPT}, 5: {1: correction}}))["sam2"]
    assert results[5].tracks[1].scores.iou == 1.0 and results[4].tracks[1].scores.iou < 1.0
    assert results[5].work.transfers == 2
    assert ((5, -1) in results[6].tracks[1].memory.spatial) == anchors
    assert ((5, 0) in results[6].tracks[1].memory.spatial) != anchors


@pytest.mark.parametrize("anchors", [False, True])
def test_identical_trackers_share_their_rows_after_a_correction_too(anchors: bool) -> None:
    network = scripted()
    trackers = {str(index): Tracker(network, Sam2(), anchor_corrections=anchors) for index in range(3)}
    frames = video({0: {1: PROMPT}, 5: {1: replace(square(12), refine=True)}})
    works = [result.work for result in run(trackers, frames)["0"]]
    assert [work.rows_asked for work in works] == [*[3] * 5, 6, *[3] * (LENGTH - 6)]
    assert [work.rows_computed for work in works] == [*[1] * 5, 2, *[1] * (LENGTH - 6)]
    assert [work.memories for work in works] == [1] * LENGTH


def test_absorbed_prompts_are_attended_before_their_frame() -> None:
    network = scripted()
    absorbed = {0: Frame(IMAGE, {1: PROMPT}), 8: Frame(IMAGE, {1: square(12)})}
    results = [step[""] for step in lockstep({"": Tracker(network, Sam2())}, video({}), LENGTH, absorbed)]
    assert results[1].tracks[1].memory.spatial == ((0, -1), (8, -1))
    assert results[8].tracks[1].scores.prompted and 8 not in network.asked
    assert results[9].tracks[1].memory.spatial == ((0, -1), (8, -1), (3, 5), (4, 4), (5, 3), (6, 2), (7, 1))


@dataclass
class Recorder(ScriptedNetwork):
    """Keeps what each correction was given."""

    corrected: list[tuple[bool, torch.Tensor]] = field(default_factory=list)

    def prompt(self, features, prompts, conditioned=None, previous=None):
        if previous is not None:
            self.corrected.append((conditioned is not None, previous))
        return super().prompt(features, prompts, conditioned, previous)


def test_a_correction_on_the_frame_of_an_absorbed_prompt_corrects_what_it_shows() -> None:
    plain = scripted()
    network = Recorder(plain.script, plain.input_size, plain.video_size)
    absorbed = {0: Frame(IMAGE, {1: PROMPT}), 8: Frame(IMAGE, {1: square(12)})}
    frames = video({8: {1: replace(square(20), refine=True)}})
    results = [step[""] for step in lockstep({"": Tracker(network, Sam2())}, frames, LENGTH, absorbed)]
    (corrected,) = network.corrected
    shown = network.prompt(network.encode(IMAGE, 8, LENGTH), [square(12)]).logits[0]
    assert not corrected[0] and torch.equal(corrected[1], shown)  # without memory, as the prompt itself
    assert results[8].tracks[1].box == (20.0, 20.0, 28.0, 28.0)
    assert results[8].tracks[1].scores.prompted and 8 not in network.asked
    assert results[9].tracks[1].memory.spatial == ((0, -1), (8, -1), (3, 5), (4, 4), (5, 3), (6, 2), (7, 1))


def test_prompts_in_turn_correct_one_another() -> None:
    plain = scripted()
    network = Recorder(plain.script, plain.input_size, plain.video_size)
    second, third = replace(square(12), refine=True), replace(square(20), refine=True)
    given: dict[int, dict[int, object]] = {0: {1: [square(4), second, third]}, 5: {1: [second, third]}}
    frames = [Frame(IMAGE, given.get(index, {})) for index in range(LENGTH)]
    trackers = {name: Tracker(network, Sam2()) for name in "ab"}
    results = run(trackers, frames)["a"]
    shown = {at: network.prompt(network.encode(IMAGE, 0, LENGTH), [square(at)]).logits[0] for at in (4, 12)}
    tracked = results[5].tracks[1]
    (_, one), (_, two), (_, before), (_, last) = network.corrected
    assert [conditioned for conditioned, _ in network.corrected] == [False, False, True, True]
    assert torch.equal(one, shown[4]) and torch.equal(two, shown[12]) and torch.equal(last, shown[12])
    assert before.shape == one.shape and not torch.equal(before, shown[12])  # what was tracked
    assert results[0].tracks[1].box == tracked.box == (20.0, 20.0, 28.0, 28.0)
    assert results[0].tracks[1].scores.prompted and not tracked.scores.prompted
    assert results[1].tracks[1].memory.spatial == ((0, -1),)
    work = [results[at].work for at in (0, 5)]
    assert [(each.rows_asked, each.rows_computed, each.memories, each.transfers) for each in work] == [(6, 3, 1, 3)] * 2


def test_a_prompt_that_does_not_refine_starts_afresh_whatever_came_before_it() -> None:
    first, second = square(4), replace(square(12), refine=True)
    assert in_turn([first, second]) == (first, second) and in_turn([second, first]) == (first,)
    assert in_turn([first, second, first, second]) == (first, second) and in_turn(second) == (second,)
    with pytest.raises(ValueError, match="prompted with nothing"):
        in_turn([])


def test_absorbed_prompts_are_forgotten_with_their_object() -> None:
    frames = video({0: {1: PROMPT}, 6: {1: square(20)}})
    frames[5] = Frame(IMAGE, removed=frozenset({1}))
    absorbed = {8: Frame(IMAGE, {1: square(12)})}
    results = [step[""] for step in lockstep({"": Tracker(scripted(), Sam2())}, frames, LENGTH, absorbed)]
    assert not results[8].tracks[1].scores.prompted
    assert results[9].tracks[1].memory.spatial == ((6, -1), (7, 1), (8, 0))


def test_absorbed_prompts_are_let_go_once_their_frame_is_past() -> None:
    tracker = Tracker(scripted(), Sam2())
    features = [tracker.network.encode(IMAGE, index, LENGTH) for index in range(8)]
    state, _ = tracker.step(tracker.init(), features[4], {1: PROMPT})
    state = tracker.absorb(state, features[2], {1: square(20)})
    state = tracker.absorb(state, features[6], {1: square(12)})
    state, _ = tracker.step(state, features[5])
    assert list(state.given) == [(6, 1)]
    state, result = tracker.step(state, features[6])
    assert result.tracks[1].scores.prompted and not state.given


def test_a_tracked_mask_is_shown_with_its_holes_filled_and_remembered_as_it_was() -> None:
    script = Script(
        np.full((2, 1, 3, 16, 16), 4.0, dtype=np.float32),
        np.full((2, 1, 3), 0.9, dtype=np.float32),
        np.full((2, 1), 5.0, dtype=np.float32),
    )
    script.logits[1, ..., 5, 5] = -4.0
    network = ScriptedNetwork(script, (SIDE, SIDE), (SIDE, SIDE))
    results = run({"": Tracker(network, Sam2(), fill_hole_area=4)}, video({0: {1: PROMPT}}, 2))[""]
    assert (results[1].tracks[1].logits > 0).all()
    assert network.encoded[-1].pixels < SIDE * SIDE and not network.encoded[-1].binarised


def test_policy_and_motion_model_are_told_the_box_that_is_shown() -> None:
    told: list[Outcome] = []

    class Listener(Sam2):
        def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
            told.append(outcome)
            return super().write(state, entry, outcome)

    results = run({"": Tracker(scripted(), Listener())}, video({0: {1: PROMPT}}, 9))[""]
    shown = [result.tracks[1] for result in results]
    assert [outcome.box for outcome in told] == [track.box for track in shown]
    assert told[0].box == (4.0, 4.0, 12.0, 12.0) and told[1].box is not None and told[8].box is None
    assert [(outcome.frame, outcome.size) for outcome in told] == [(index, (SIDE, SIDE)) for index in range(9)]


@dataclass(frozen=True)
class Spy(Sam2):
    """Checks whether truth arrived."""

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        assert (outcome.truth is not None) == self.privileged
        return super().write(state, entry, outcome)


@dataclass(frozen=True)
class Oracle(Spy):
    @property
    def privileged(self) -> bool:
        return True


def test_truth_reaches_privileged_policies_only() -> None:
    network = scripted()
    truth = {1: torch.ones(SIDE, SIDE, dtype=torch.bool)}
    frames = [replace(frame, truth=truth) for frame in video({0: {1: PROMPT}})]
    results = run({"spy": Tracker(network, Spy()), "oracle": Tracker(network, Oracle())}, frames)
    assert len(results["spy"]) == LENGTH


@dataclass(frozen=True)
class Hoarder(Sam2):
    """Keeps every frame re-encoded, and asks again one frame too late."""

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        if state.recent:
            with pytest.raises(RuntimeError):
                state.recent[-1].encode_as_prompt()
        again = entry.encode_as_prompt()
        assert again.features is entry.encode_as_prompt().features and again.pointer is entry.pointer
        return super().write(state, again if not entry.scores.prompted else entry, outcome)

    def entries(self, state: Bank) -> tuple[Entry, ...]:
        return ()


@dataclass(frozen=True)
class LateHoarder(Hoarder):
    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        entry.encode_as_prompt()
        return Sam2.write(self, state, entry, outcome)


def test_encode_as_prompt_is_made_once_and_only_in_write() -> None:
    network = scripted()
    trackers = {"a": Tracker(network, LateHoarder()), "b": Tracker(network, LateHoarder())}
    results = run(trackers, video({0: {1: PROMPT}}))["a"]
    assert [result.work.memories for result in results[1:]] == [2] * (LENGTH - 1)
    assert run({"a": Tracker(scripted(), Hoarder())}, video({0: {1: PROMPT}}))["a"]


@dataclass(frozen=True)
class Shown(Sam2):
    """Remembers the truth instead of what was tracked, and asks again one frame too late."""

    @property
    def privileged(self) -> bool:
        return True

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        assert outcome.truth is not None
        if state.anchors:
            with pytest.raises(RuntimeError):
                state.anchors[0].encode_mask(outcome.truth)
        if entry.scores.prompted:
            return super().write(state, entry, outcome)
        shown = entry.encode_mask(outcome.truth)
        assert shown.features is entry.encode_mask(outcome.truth).features and shown.scores is entry.scores
        return super().write(state, shown, outcome)


def test_encode_mask_leaves_what_a_prompt_would_and_is_shared() -> None:
    network, truth = scripted(), {1: torch.from_numpy(PROMPT.mask)}
    frames = [replace(frame, truth=truth) for frame in video({0: {1: PROMPT}})]
    trackers = {"a": Tracker(network, Shown()), "b": Tracker(network, Shown(), presence_threshold=-10.0)}
    results = run(trackers, frames)["a"]
    # Their thresholds give each tracker a memory of its own on every tracked frame; the truth's is shared.
    assert [result.work.memories for result in results] == [1, *[3] * (LENGTH - 1)]
    last = network.asked[LENGTH - 1][0]
    assert len(last.memories) == 7 and len({memory.pixels for memory in last.memories}) == 1  # the prompt's among them
    assert all(memory.binarised and not memory.no_object for memory in last.memories)
    assert set(last.hypotheses) == {PROMPT_HYPOTHESIS}


@pytest.mark.parametrize(("lag", "length"), [(None, 400), (0, 12), (5, 12)])
def test_a_state_with_hindsight_is_saved_and_copied_however_long_the_video_was(lag: int | None, length: int) -> None:
    tracker = Tracker(scripted(length), Sam2(), selector=Beam(width=2, lag=lag))
    state, image = tracker.init(), torch.zeros(1).expand(3, SIDE, SIDE)
    for index in range(length - 1):
        state, _ = tracker.step(state, tracker.network.encode(image, index, length), {1: PROMPT} if index == 0 else {})
    again = pickle.loads(pickle.dumps(state)), copy.deepcopy(state)
    features = tracker.network.encode(image, length - 1, length)
    ends = [tracker.step(each, features) for each in (state, *again)]
    pasts = [tracker.hindsight(end)[1] for end, _ in ends]
    first = 0 if lag is None else length - 1 - lag
    assert all(list(past) == list(range(first, length)) for past in pasts)
    for _, result in ends[1:]:
        assert torch.equal(result.tracks[1].logits, ends[0][1].tracks[1].logits)
    for past in pasts[1:]:
        assert all(torch.equal(past[at].logits, pasts[0][at].logits) for at in past)


def test_what_is_kept_of_a_batch_owns_its_storage() -> None:
    """24 trackers in lockstep hold no more than the same ones apart."""
    network = micro.network("random", image_size=64)
    policies = [Sam2(slots=slots) for slots in range(1, 7)] + [SkipAbsent(slots=slots) for slots in range(1, 7)]
    thresholds = (0.0, -20.0)
    trackers = {
        f"{index} {threshold}": Tracker(network, policy, selector=selector, presence_threshold=threshold)
        for index, policy in enumerate(policies)
        for threshold, selector in zip(thresholds, (Greedy(), Beam(width=2)), strict=True)
    }
    images = torch.rand(6, 3, 64, 64, generator=torch.manual_seed(0))
    states: Mapping[str, State] = {name: tracker.init() for name, tracker in trackers.items()}
    alone = dict(states)
    with torch.inference_mode():
        for index, image in enumerate(images):
            features = network.encode(image, index, len(images))
            frame = Frame(image, {1: Prompt(box=(9.0, 9.0, 40.0, 30.0)), 2: Prompt(box=(20.0, 20.0, 60.0, 60.0))})
            frame = frame if index == 0 else Frame(image)
            states, _ = advance(trackers, states, features, frame)
            for name, tracker in trackers.items():
                alone[name], _ = tracker.step(alone[name], features, frame.prompts)
    for tensor in held_tensors(list(states.values())):
        assert tensor.untyped_storage().nbytes() == tensor.nbytes
    together, apart = held_bytes(states.values()), [held_bytes([state]) for state in alone.values()]
    assert max(apart) <= together < sum(apart)
    assert [held_bytes([state]) for state in states.values()] == apart


def test_row_by_row_a_lockstep_equals_separate_runs_to_the_last_bit() -> None:
    network = micro.network("random", image_size=64, rows_at_once=1)
    selectors = {"greedy": Greedy(), "beam": Beam(width=2)}
    policies = {"sam2": Sam2(), "skip": SkipAbsent(), "nth": EveryNth(interval=2), "first": KeepFirst(), "rmem": RMem()}
    trackers = {
        f"{name} {kind}": Tracker(network, policy, selector=selector, fill_hole_area=holes, presence_threshold=-20.0)
        for (name, policy), holes in zip(policies.items(), (0, 0, 4, 4, 0), strict=True)
        for kind, selector in selectors.items()
    }
    boxes = {1: Prompt(box=(9.0, 9.0, 40.0, 30.0)), 2: Prompt(box=(20.0, 20.0, 60.0, 60.0))}
    click = Prompt(points=((30.0, 30.0),), labels=(1,), refine=True)
    images = torch.rand(7, 3, 64, 64, generator=torch.manual_seed(0))
    given = {0: boxes, 4: {2: click}}
    frames = [Frame(image, given.get(index, {})) for index, image in enumerate(images)]
    with torch.inference_mode():
        together = run(trackers, frames)
        alone = {name: run({name: tracker}, frames)[name] for name, tracker in trackers.items()}
    assert sum(result.work.rows_computed for result in together["sam2 greedy"]) > 4 * len(frames)
    for name in trackers:
        assert summary(together[name]) == summary(alone[name])
        for ours, theirs in zip(together[name], alone[name], strict=True):
            for key, track in ours.tracks.items():
                assert torch.equal(track.logits, theirs.tracks[key].logits)


@pytest.mark.parametrize("rows", [0, -1])
def test_at_least_one_row_at_once(rows: int) -> None:
    with pytest.raises(InputError, match=f"backbone.rows_at_once={rows} must be 1 or more, or null for all"):
        micro.network("random", rows_at_once=rows)


def test_interleaved_videos_do_not_meet() -> None:
    frames = video({0: {1: PROMPT}})
    apart = [run({"": Tracker(scripted(seed=seed), Sam2())}, frames)[""] for seed in (1, 2)]
    trackers = [Tracker(scripted(seed=seed), Sam2()) for seed in (1, 2)]
    states = [tracker.init() for tracker in trackers]
    found: list[list[Result]] = [[], []]
    for index, frame in enumerate(frames):
        for which, tracker in enumerate(trackers):
            features = tracker.network.encode(frame.image, index, LENGTH)
            states[which], result = tracker.step(states[which], features, frame.prompts)
            found[which].append(result)
    assert [summary(results) for results in found] == [summary(results) for results in apart]


def test_where_exclusive_objects_tie_the_one_added_first_has_the_pixel() -> None:
    """However it came to be tracked or prompted: first it is absorbed, then prompted anew, then removed and back."""
    together = {2: square(4), 1: square(4)}
    frames = video({4: {1: square(8), 2: square(8)}, 8: {2: square(12)}, 12: {1: square(4), 2: square(4)}})
    frames[8] = replace(frames[8], prompts={1: square(12), 2: square(12)}, removed=frozenset({2}))
    tracker = Tracker(scripted(), Sam2(), exclusive=True)
    absorbed = {0: Frame(IMAGE, together)}
    results = [step[""] for step in lockstep({"": tracker}, frames, LENGTH, absorbed)]
    assert [list(result.tracks) for result in results] == [[2, 1]] * 8 + [[1, 2]] * (LENGTH - 8)
    for index, first in ((0, 2), (4, 2), (8, 1), (12, 1)):
        masks = results[index].masks()
        assert masks[first].any() and not masks[3 - first].any()


def test_exclusive_objects_do_not_overlap() -> None:
    frames = video({0: {1: square(4), 2: square(6)}})
    masks = run({"": Tracker(scripted(), Sam2(), exclusive=True)}, frames)[""][0].masks()
    shared = run({"": Tracker(scripted(), Sam2())}, frames)[""][0].masks()
    assert not (masks[1] & masks[2]).any() and (shared[1] & shared[2]).any()
    assert torch.equal(masks[1] | masks[2], shared[1] | shared[2])
