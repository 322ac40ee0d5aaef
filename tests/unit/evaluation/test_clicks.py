"""Simulated clicks: where sam2's own rule puts them, each after what the ones before it gave."""

import numpy as np
import pytest
import torch
from sam2.modeling.sam2_utils import sample_one_point_from_error_center

from framework.data.procedural.dataset import Procedural
from framework.errors import InputError
from framework.evaluation.clicks import next_click
from framework.evaluation.evaluate import run_identity
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.sequence import ProgressListener, track
from framework.networks import micro
from framework.state import State
from framework.storage import identity
from framework.tracker import Tracker
from framework.types import Prompt
from policies.keep_first import KeepFirst
from policies.sam2 import Sam2
from tests.fakes.squares import Square, SquareNetwork, Squares

SIZE = (40, 56)


def blobs(seed: int) -> np.ndarray:
    """A few rectangles."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(SIZE, dtype=bool)
    for _ in range(3):
        y, x, height, width = rng.integers((0, 0, 3, 3), (34, 50, 20, 20))
        mask[y : y + height, x : x + width] = True
    return mask


@pytest.mark.parametrize("seed", range(12))
def test_clicks_are_where_sam2_samples_them(seed: int) -> None:
    for truth, shown in ((blobs(seed), blobs(seed + 100)), (blobs(seed), np.zeros(SIZE, dtype=bool))):
        pair = (torch.from_numpy(mask)[None, None] for mask in (truth, shown))
        point, label = sample_one_point_from_error_center(*pair)
        assert next_click(truth, shown) == (tuple(point[0, 0].tolist()), int(label[0, 0]))


def test_of_what_is_too_much_a_click_is_outside() -> None:
    truth, shown = np.zeros(SIZE, dtype=bool), np.zeros(SIZE, dtype=bool)
    truth[4:9, 4:9], shown[4:9, 4:9], shown[20:31, 20:31] = True, True, True
    assert next_click(truth, shown) == ((25.0, 25.0), 0)
    truth[4:9, 40:55], truth[0:2] = True, False
    assert next_click(truth, truth & False)[1] == 1
    with pytest.raises(ValueError, match="a mask that is right"):
        next_click(truth, truth)


NETWORK = micro.network("random", image_size=64)


@pytest.mark.parametrize("prompt", ["mask", "box"])
def test_each_click_answers_what_the_ones_before_it_gave(prompt: str) -> None:
    """Of any tracker: what the engine shows after n clicks is what the (n + 1)th corrects."""
    rng = np.random.default_rng(0)
    image, truth = rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8), blobs(1)
    count, boxed = 3, prompt == "box"
    with torch.inference_mode():
        features = NETWORK.encode(image, 0, 4)
        protocol = EvaluationProtocol(prompt=prompt, clicks=count)  # type: ignore[arg-type]
        given = protocol.start(Prompt(mask=truth), NETWORK, features)
        assert isinstance(given, tuple) and len(given) == count + boxed
        assert [each.refine for each in given] == [False] + [True] * (len(given) - 1)
        assert [len(each.points) for each in given] == list(range(1 - boxed, count + 1))
        assert all((each.box is None) != boxed and each.mask is None for each in given)
        tracker = Tracker(NETWORK, Sam2())
        for turn in range(1 - boxed, count):
            shown = np.zeros(SIZE, dtype=bool)
            if turn or boxed:
                _, result = tracker.step(tracker.init(), features, {1: given[: turn + boxed]})
                shown = result.masks()[1].numpy()
            points = zip(given[-1].points, given[-1].labels, strict=True)
            assert list(points)[turn] == next_click(truth, shown)


VIDEO, SQUARES = Square("alpha", 8, 0), SquareNetwork()


def test_clicks_end_where_nothing_is_wrong() -> None:
    features = SQUARES.encode(VIDEO.frame(0), 0, 8)
    boxed = EvaluationProtocol(prompt="box", clicks=3).start(Prompt(mask=VIDEO.mask(0)), SQUARES, features)
    assert isinstance(boxed, tuple) and [each.box for each in boxed] == [(0.0, 6.0, 4.0, 10.0)]


def test_clicks_need_a_true_mask() -> None:
    features = SQUARES.encode(VIDEO.frame(0), 0, 8)
    nothing = Prompt(mask=np.zeros((16, 16), dtype=bool))
    for prompt in (Prompt(box=(0.0, 6.0, 4.0, 10.0)), nothing):
        with pytest.raises(InputError, match=r"protocol.clicks needs the true mask of an object to click at"):
            EvaluationProtocol(clicks=1).start(prompt, SQUARES, features)
    for wrong in ({"clicks": -1}, {"clicks": 2, "prompt": "estimated"}):
        with pytest.raises(
            InputError, match=r"protocol.clicks=-?\d must be 0 or more, after protocol.prompt=mask or box"
        ):
            EvaluationProtocol(**wrong)  # type: ignore[arg-type]


def test_an_evaluation_starts_from_clicks() -> None:
    """The first frame shows what the clicks gave, and the second one is tracked from it."""
    video = Procedural(level="calm", length=2, size=64, limit=1).sequence(0)
    trackers = {"first": Tracker(NETWORK, KeepFirst()), "sam2": Tracker(NETWORK, Sam2())}
    protocol = EvaluationProtocol(clicks=2)
    with torch.inference_mode():
        found = track(trackers, video, protocol, ProgressListener())
        features = NETWORK.encode(video.frame(0), 0, 2)
        (prompt,) = video.prompts()[0].values()
        given = protocol.start(prompt, NETWORK, features)
        _, result = trackers["sam2"].step(State(), features, {1: given})
    assert isinstance(given, tuple) and len(given) == 2
    for record in found.values():
        np.testing.assert_array_equal(record.objects[1].mask_at(0, (64, 64)), result.masks()[1].numpy())
        assert record.objects[1].prompted == [0] and record.objects[1].iou[0] is None


def test_options_that_came_later_are_part_of_an_identity_only_where_they_are_used() -> None:
    names = {"class", "prompt", "box_edges", "empty", "scored", "hindsight", "resize", "autocast"}
    assert identity.describe(EvaluationProtocol()).keys() == names
    used = identity.describe(EvaluationProtocol(clicks=3, direction="both", prompted="middle"))
    assert used.keys() - names == {"clicks", "direction", "prompted"} and used["clicks"] == 3
    tracker = Tracker(SQUARES, Sam2())
    protocols = [EvaluationProtocol(), EvaluationProtocol(clicks=1), EvaluationProtocol(direction="both")]
    assert len({identity.run_hash(run_identity(tracker, Squares(), protocol)) for protocol in protocols}) == 3
