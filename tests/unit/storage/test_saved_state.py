"""A state in a file: it goes on to the last bit, in any process, and with no other tracker."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from framework.data.procedural.dataset import Procedural
from framework.errors import InputError
from framework.networks.micro import network
from framework.state import Branch, State
from framework.storage.saved_state import load_state, save_state
from framework.tracker import Tracker
from framework.types import Result
from motion.hierarchical import Hierarchical
from motion.kalman import Kalman
from policies.dam4sam import Dam4Sam
from policies.him2sam import Him2Sam
from policies.sam2 import Sam2
from policies.sam2long import Sam2Long
from policies.sam2long_beam import Beam

ROOT = Path(__file__).parents[3]

VIDEO = Procedural("val", "distractors", length=12, size=128).sequence(0)
SAVED = 7


@pytest.fixture(scope="module")
def embedded():
    return network()


def go_on(tracker: Tracker, state, first: int, last: int, video=VIDEO, offset: int = 0):
    """Frames `first` to `last` of a video, numbered `offset` higher."""
    results: list[Result] = []
    with torch.inference_mode():
        for index in range(first, last):
            features = tracker.network.encode(video.frame(index), index + offset, None)
            state, result = tracker.step(state, features, video.prompts().get(index, {}) if not offset else {})
            results.append(result)
    return state, results


@pytest.mark.parametrize(
    "parts",
    [
        {"policy": Sam2()},
        {"policy": Dam4Sam()},
        {"policy": Him2Sam(), "motion": Hierarchical()},
        {"policy": Sam2Long(), "motion": Kalman(), "selector": Beam()},
    ],
    ids=lambda parts: type(parts["policy"]).__name__,
)
def test_a_state_goes_on_to_the_last_bit(parts, embedded, tmp_path):
    tracker = Tracker(embedded, **parts)
    state, _ = go_on(tracker, tracker.init(), 0, SAVED)
    save_state(tmp_path / "state.pt", tracker, state, SAVED)
    saved = load_state(tmp_path / "state.pt", replace(tracker))
    assert saved.frame == SAVED
    (_, ours), (_, theirs) = (go_on(tracker, each, SAVED, 12) for each in (saved.state, state))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.tracks[1].logits, other.tracks[1].logits)
        assert (one.tracks[1].scores, one.tracks[1].memory) == (other.tracks[1].scores, other.tracks[1].memory)


def test_another_process_goes_on(embedded, tmp_path):
    tracker = Tracker(embedded, Dam4Sam())
    state, _ = go_on(tracker, tracker.init(), 0, SAVED)
    save_state(tmp_path / "state.pt", tracker, state, SAVED)
    code = (
        "import sys; from tests.unit.storage.test_saved_state import *\n"
        "tracker = Tracker(network(), Dam4Sam())\n"
        "saved = load_state(sys.argv[1], tracker)\n"
        "_, results = go_on(tracker, saved.state, saved.frame, 12)\n"
        "torch.save([result.tracks[1].logits for result in results], sys.argv[2])\n"
    )
    files = tmp_path / "state.pt", tmp_path / "logits.pt"
    subprocess.run([sys.executable, "-c", code, *files], cwd=ROOT, check=True)
    _, results = go_on(tracker, state, SAVED, 12)
    found = torch.load(files[1], weights_only=True)
    assert all(torch.equal(one, other.tracks[1].logits) for one, other in zip(found, results, strict=True))


def test_another_video_goes_on_with_the_anchors_of_this_one(embedded, tmp_path):
    tracker, other = Tracker(embedded, Sam2()), Procedural("val", "calm", length=12, size=128).sequence(1)
    state, _ = go_on(tracker, tracker.init(), 0, SAVED)
    save_state(tmp_path / "state.pt", tracker, state, SAVED)
    saved = load_state(tmp_path / "state.pt", tracker)
    _, results = go_on(tracker, saved.state, 0, 10, other, offset=saved.frame)
    assert [result.frame for result in results] == list(range(SAVED, SAVED + 10))
    assert results[-1].tracks[1].memory.spatial[0][0] == 0  # the prompt of the first video
    assert {frame for frame, _ in results[-1].tracks[1].memory.spatial[1:]} == set(range(SAVED + 3, SAVED + 9))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"policy": Dam4Sam()}, r"its policy\.class is policies\.sam2\.Sam2, here it is policies\.dam4sam\.Dam4Sam"),
        ({"policy": Sam2(slots=4)}, r"its policy\.slots is 6, here it is 4"),
        (
            {"motion": Kalman()},
            r"its motion\.class is framework\.defaults\.NoMotion, here it is motion\.kalman\.Kalman",
        ),
        ({"selector": Beam()}, r"its selector\.class is framework\.defaults\.Greedy"),
        ({"network": network(checkpoint="random", seed=1)}, r"its network\..*weights is "),
    ],
    ids=["policy", "option", "motion", "selector", "weights"],
)
def test_the_state_of_another_tracker_is_refused(change, named, embedded, tmp_path):
    tracker = Tracker(embedded, Sam2())
    save_state(tmp_path / "state.pt", tracker, tracker.init(), 0)
    with pytest.raises(InputError, match=named):
        load_state(tmp_path / "state.pt", replace(tracker, **change))


def test_files_that_are_none_are_refused(embedded, tmp_path):
    tracker, path = Tracker(embedded, Sam2()), tmp_path / "state.pt"
    with pytest.raises(InputError, match="does not exist"):
        load_state(path, tracker)
    save_state(path, tracker, tracker.init(), 0)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is no saved state"):
        load_state(path, tracker)
    torch.save({"model": {}}, path)
    with pytest.raises(InputError, match="is no saved state"):
        load_state(path, tracker)
    path.write_bytes(whole)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"version": 2}, path)
    with pytest.raises(InputError, match="layout 2, this version reads 1"):
        load_state(path, tracker)


@dataclass(frozen=True)
class Listener(Sam2):
    """Keeps what cannot be kept."""

    def init(self):
        return lambda: None


def test_a_state_that_is_no_value_is_refused_and_leaves_no_file(embedded, tmp_path):
    tracker = Tracker(embedded, Listener())
    with pytest.raises(InputError, match="cannot be written"):
        save_state(tmp_path / "state.pt", tracker, State({1: (Branch(tracker.policy.init(), None),)}), 0)
    assert list(Path(tmp_path).iterdir()) == []
