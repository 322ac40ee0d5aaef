"""What every motion model owes: the configuration folder is the list of those it is checked on."""

import dataclasses
import pickle
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from framework.interfaces import MotionModel
from framework.tracker import Tracker
from policies.sam2 import Sam2
from tests.fakes.synthetic import Video, outcome, scripted, seen, tracked

CONF = Path(__file__).parents[2] / "conf/motion"


@pytest.fixture(params=sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem, scope="module")
def model(request) -> MotionModel:
    made = instantiate(OmegaConf.load(request.param))
    assert isinstance(made, MotionModel)
    return made


def live(model, video, state=None, start=0):
    """(frame, cue, state) of every frame; the best fused score chooses."""
    state = model.init() if state is None else state
    for frame in range(start, video.length):
        features, candidates, cue, choice = video.features(frame), video.observe(frame), None, 0
        if frame > 0:
            state, cue = model.score(state, features, candidates)
            iou = tuple(candidates.iou[0].tolist())
            scores = iou if cue is None else cue.fuse(iou)
            choice = max(range(len(scores)), key=scores.__getitem__)
        motion = None if cue is None else cue.remembered(choice)
        state = model.update(state, features, outcome(video, frame, None, choice, motion))
        yield frame, cue, state


def cues(steps):
    return [cue for _, cue, _ in steps]


def test_cues_are_shares_and_the_state_is_bounded(model):
    weight = []
    for frame, cue, state in live(model, Video(1, 1200, lost=100, found=1000)):
        if cue is not None:
            assert len(cue.agreement) == 3 and 0 <= cue.weight <= 1
            assert all(0 <= agreement <= 1 + 1e-9 for agreement in cue.agreement), f"frame {frame}"
            reported = [cue.remembered(mask) for mask in range(3)]
            assert all(value is None or 0 <= value <= 1 + 1e-9 for value in reported), f"frame {frame}"
        if frame % 50 == 49:
            weight.append(len(pickle.dumps(state)))
    assert max(weight[12:]) <= 1.1 * max(weight[:12]) + 256


def test_deterministic_without_state_on_the_model(model):
    before = pickle.dumps(model)
    first, second = (cues(live(model, Video(2, 60, 30, 40))) for _ in range(2))
    assert first == second
    assert pickle.dumps(model) == before
    if dataclasses.is_dataclass(model):
        for field in dataclasses.fields(model):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(model, field.name, None)


def test_interleaved_videos_are_independent(model):
    videos = Video(3, 50, 30, 40), Video(4, 50, 10, 15)
    alone = [cues(live(model, video)) for video in videos]
    mixed = list(zip(*(live(model, video) for video in videos), strict=True))
    assert [cues(steps) for steps in zip(*mixed, strict=True)] == alone


def test_a_forked_state_continues_the_same_way_twice(model):
    video = Video(5, 60, 40, 45)
    whole = list(live(model, video))
    fork = whole[29][2]
    held = pickle.dumps(fork)
    assert cues(live(model, video, fork, 30)) == cues(whole[30:])
    elsewhere = cues(live(model, Video(6, 60), fork, 30))
    assert elsewhere != cues(whole[30:]) or not any(elsewhere), "what is seen decides, not the state alone"
    assert pickle.dumps(fork) == held
    assert cues(live(model, video, fork, 30)) == cues(whole[30:])


def test_speaks_in_the_end(model):
    """A target in plain view is predicted, unless the model is the one that never speaks."""
    spoken = [cue is not None for cue in cues(live(model, Video(7, 60)))]
    assert any(spoken[20:]) or type(model).__name__ == "NoMotion"


def test_objects_and_trackers_do_not_see_each_other(model):
    """Two objects in lockstep with a tracker that has another motion model are judged as they are alone."""
    other = Tracker(scripted(), Sam2(), instantiate(OmegaConf.load(CONF / "kalman.yaml")))
    both = tracked(Tracker(scripted(), Sam2(), model), {1, 2}, other)
    for key in (1, 2):
        assert seen(both, key) == seen(tracked(Tracker(scripted(), Sam2(), model), {key}), key)


@pytest.mark.slow
def test_bounded_over_10000_frames_without_the_target(model):
    weight = [
        len(pickle.dumps(state)) for frame, _, state in live(model, Video(8, 10_000, lost=1)) if frame % 100 == 99
    ]
    assert max(weight[10:]) <= 1.1 * max(weight[:10]) + 256
