"""A frame is shown as it was recorded, by a network whose hypotheses are known."""

import io

import cv2
import numpy as np
import pytest
from rich.console import Console

from framework.errors import InputError
from framework.evaluation.evaluate import evaluate
from framework.report.inspection import inspect
from framework.report.overlay import INK
from framework.report.pictures import BAND, GAP, TILE
from framework.tracker import Tracker
from framework.types import Cue
from tests.fakes.squares import SIDE, First, Latest, SquareNetwork, Squares

TRACKERS = {name: Tracker(SquareNetwork(), policy) for name, policy in (("latest", Latest()), ("first", First()))}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Results with hypotheses."""
    output = tmp_path_factory.mktemp("kept")
    return evaluate(TRACKERS, Squares(), output, keep_hypotheses=True), output / "squares-v1"


def told(inspection):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(inspection.table())
    rows = [line.strip("│┃ ").split("│") for line in console.export_text().splitlines() if "│" in line]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows}


def test_all_variants_of_a_folder_stand_side_by_side(kept):
    comparison, folder = kept
    found = inspect(folder, "beta", 3, None, None)
    assert sorted(one.name for one in found.objects) == ["first", "latest"]
    shown = told(found)
    for at, one in enumerate(found.objects):
        (run,) = (run for run in comparison.runs if run.name == one.name)
        record = run.record("beta").objects[1]
        assert shown["iou"][at] == f"{record.iou[3]:.3f}" and shown["presence"][at] == f"{record.presence[3]:.3f}"
        np.testing.assert_array_equal(one.masks[3], record.mask_at(3, (SIDE, SIDE)))
        assert {*one.masks} == {3, *(frame for frame, _ in record.memory[3].spatial)}
        assert [shown[f"{n}"][at] for n in range(3)] == ["0.900 / 0.900  chosen", "0.500 / 0.500", "0.400 / 0.400"]
    latest = [one.name for one in found.objects].index("latest")
    assert shown["read, frame@slot"][latest] == "2@0 1@1" and shown["forgotten"][latest] == "1"
    assert shown["this frame was"][latest] == "remembered" and shown["held"][latest] == "2 3"
    first = 1 - latest
    assert shown["read, frame@slot"][first] == "0@0" and shown["this frame was"][first] == "not remembered"
    assert shown["forgotten"][first] == "-"


def test_the_picture_frames_what_was_chosen_and_shows_what_was_read(kept):
    _, folder = kept
    found = inspect(folder, "beta", 3, "latest", 1)
    picture = found.picture()
    tall = BAND + TILE + GAP
    assert picture.shape == (BAND + 2 * tall, 4 * (TILE + GAP), 3)
    chosen = BAND + BAND + TILE // 2
    edges = [picture[chosen, column * (TILE + GAP)] for column in range(4)]
    assert [tuple(edge) == INK for edge in edges] == [False, True, False, False], "the tile beside the shown mask"
    tinted = picture[BAND + BAND : BAND + BAND + TILE, :TILE].any(axis=-1)
    mask = cv2.resize(found.objects[0].masks[3].astype(np.float32), (TILE, TILE)) > 0.5
    assert (tinted & mask).sum() / (tinted | mask).sum() > 0.9


def test_scores_are_those_that_the_selector_went_by():
    """Fused with the motion model's agreement, and none of a frame on which the object was prompted."""
    from framework.defaults import NoMotion
    from framework.storage.hypotheses import hypotheses

    class Agrees(NoMotion):
        def score(self, state, features, candidates):
            return state, Cue((0.0, 1.0, 0.0), 0.75)

    tracker = Tracker(SquareNetwork(), First(), motion=Agrees())
    video, state = Squares().videos[0], tracker.init()
    for index in range(2):
        features = tracker.network.encode(video.frame(index), index, None)
        state, result = tracker.step(state, features, video.prompts().get(index, {}))
        found = hypotheses(result.tracks[1], video.size)
        if index == 0:
            assert len(found) == 1 and found[0].score == found[0].predicted_iou
    assert result.tracks[1].choice == 1
    expected = [0.25 * 0.9, 0.25 * 0.5 + 0.75, 0.25 * 0.4]
    assert [one.score for one in found] == pytest.approx(expected) and found[0].predicted_iou == pytest.approx(0.9)


def test_hypotheses_are_kept_on_request_and_what_lacks_them_is_tracked_again(tmp_path):
    plain = evaluate({"latest": TRACKERS["latest"]}, Squares(), tmp_path)
    before = {name: plain.runs[0].record(name).objects for name in plain.sequences}
    shown = told(inspect(tmp_path, "alpha", 2, None, None))
    assert shown["hypotheses"] == ["not kept: hypotheses=true keeps them"]
    again = evaluate({"latest": TRACKERS["latest"]}, Squares(), tmp_path, keep_hypotheses=True)
    assert {name: again.runs[0].record(name).objects for name in again.sequences} == before
    kept = again.runs[0].folder.load_hypotheses("alpha")
    assert {*kept} == {1} and [*kept[1]] == list(range(8)) and [len(kept[1][at]) for at in (0, 1)] == [1, 3]
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.gz")}
    for keep in (True, False):
        evaluate({"latest": TRACKERS["latest"]}, Squares(), tmp_path, keep_hypotheses=keep)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.gz")} == stamps


def test_results_of_one_name_are_told_apart_by_their_hashes(tmp_path):
    for name, tracker in TRACKERS.items():
        evaluate({"mine": tracker}, Squares(), tmp_path / "results")
        evaluate({name: tracker}, Squares(), tmp_path / "others")
    found = inspect(tmp_path / "results", "beta", 3, None, None)
    hashes = {path.parent.name for path in (tmp_path / "results").rglob("run.json")}
    assert {one.name for one in found.objects} == {f"mine {name}" for name in hashes} and len(hashes) == 2
    (name, *_) = sorted(hashes)
    assert [one.name for one in inspect(tmp_path / "results", "beta", 3, f"mine {name}", None).objects] == [
        f"mine {name}"
    ]


def test_what_is_not_there_is_named(kept, tmp_path):
    _, folder = kept
    for arguments, words in (
        ((folder, "delta", 3, None, None), "has no results of delta .there are alpha, beta, gamma"),
        ((folder, "beta", 10, None, None), "tracks object 1 on frames 0 to 9, not on 10"),
        ((folder, "beta", 3, "lates", None), "unknown variant 'lates': did you mean latest"),
        ((folder, "beta", 3, None, 2), "unknown object '2'"),
        ((folder, None, 3, None, None), "is no folder of track: give a sequence"),
        ((tmp_path, "beta", 3, None, None), "no results of beta .there are none at all"),
    ):
        with pytest.raises(InputError, match=words):
            inspect(*arguments)
