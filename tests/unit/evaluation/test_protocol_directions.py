"""Evaluations backward and in both directions: every frame once, in order, scored by its own truth."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from framework.benchmarks.predictions import box_rows, regions
from framework.errors import InputError
from framework.evaluation.evaluate import evaluate
from framework.evaluation.look_ahead import LookAhead
from framework.evaluation.passes import Direction, passes
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.records import SequenceRecord
from framework.evaluation.sequence import ProgressListener, track
from framework.metrics.tracking import mask_box
from framework.networks import micro
from framework.tracker import Tracker
from framework.types import Prompt
from policies.evict_oldest import EvictOldest
from policies.oracle_masks import OracleMasks
from policies.sam2 import Sam2
from policies.sam2long_beam import Beam
from policies.skip_absent import SkipAbsent
from tests.fakes.squares import Latest, Square, SquareNetwork, Squares
from tests.passes import run_passes
from tests.unit.evaluation.test_evaluate import BoxedSquare, SecretSquare

LENGTH, START = 9, 4


@dataclass(frozen=True)
class MiddleSquare(Square):
    """The square, known from a frame in the middle."""

    prompted: int = START

    def prompts(self) -> dict[int, dict[int, Prompt]]:
        return {self.prompted: {1: Prompt(mask=self.mask(self.prompted))}}


VIDEO = MiddleSquare("middle", LENGTH, 1, (1, 2))


def run(direction: Direction, trackers: Mapping[str, Tracker], video: Square = VIDEO) -> Mapping[str, SequenceRecord]:
    return track(trackers, video, EvaluationProtocol(direction=direction), ProgressListener())


@pytest.mark.parametrize(
    ("direction", "frames"),
    [
        ("forward", range(START, LENGTH)),
        ("backward", range(START + 1)),
        ("both", range(LENGTH)),
        ("both_independent", range(LENGTH)),
    ],
)
def test_frames_are_in_the_order_of_the_video(direction: Direction, frames: range) -> None:
    record = run(direction, {"latest": Tracker(SquareNetwork(), Latest(8))})["latest"].objects[1]
    assert record.frame == list(frames) and record.prompted == [START]
    assert record.visible == [None if frame == START else frame != 1 for frame in frames]
    assert record.iou == [None if frame == START else 1.0 for frame in frames]
    assert record.mask_at(frames[0], (16, 16)).tolist() == VIDEO.mask(frames[0]).tolist()


def test_what_the_second_pass_reads_is_what_its_reading_says() -> None:
    tracker = {"sam2": Tracker(SquareNetwork(), Sam2())}
    both, independent = (run(way, tracker)["sam2"].objects[1] for way in ("both", "both_independent"))
    at = both.frame.index(START - 1)
    assert both.memory[at].spatial == ((START, -1), *((START + slot, slot) for slot in (4, 3, 2, 1)))
    assert independent.memory[at].spatial == ((START, -1),)
    for record in (both, independent):
        later = record.memory[record.frame.index(LENGTH - 1)]
        assert later.spatial[0] == (START, -1) and later.spatial[-1] == (LENGTH - 2, 0)


@pytest.mark.parametrize("direction", ["backward", "both", "both_independent"])
def test_lockstep_is_separate_passes(direction: Direction) -> None:
    """Trackers that decide differently, oracles and look-ahead among them, on a network that looks closely."""
    network = micro.network("random", image_size=64, rows_at_once=1)
    video = MiddleSquare("middle", LENGTH, 1, (6, 7))
    trackers = {
        "sam2": Tracker(network, Sam2()),
        "skip": Tracker(network, SkipAbsent()),
        "holes": Tracker(network, Sam2(), fill_hole_area=8),
        "truth": Tracker(network, OracleMasks()),
        "ahead": LookAhead(network, EvictOldest(), horizon=3),
    }
    if direction == "both_independent":
        trackers["beam"] = Tracker(network, Sam2(), selector=Beam(width=2, lag=2))
    with torch.inference_mode():
        together = run(direction, trackers, video)
        for name, tracker in trackers.items():
            assert run(direction, {name: tracker}, video)[name].objects == together[name].objects
        plan = passes(direction, video.prompts(), {}, LENGTH)
        shown = run_passes(trackers["sam2"], plan, [video.frame(index) for index in range(LENGTH)])
    masks = {result.frame: result.masks()[1].numpy() for result in shown if 1 in result.tracks}
    assert together["sam2"].objects[1].frame == sorted(masks)
    for frame, mask in masks.items():
        np.testing.assert_array_equal(together["sam2"].objects[1].mask_at(frame, (16, 16)), mask)


@dataclass(frozen=True)
class TwoSquares(MiddleSquare):
    """The square as two objects: one is known from the first frame on."""

    def truth(self, index: int) -> dict[int, np.ndarray]:
        return dict.fromkeys((1, 2), self.mask(index))

    def prompts(self) -> dict[int, dict[int, Prompt]]:
        return {0: {2: Prompt(mask=self.mask(0))}, **super().prompts()}


@pytest.mark.parametrize("direction", ["both", "both_independent"])
def test_an_object_that_starts_on_the_first_frame_is_in_one_pass(direction: Direction) -> None:
    trackers = {"sam2": Tracker(SquareNetwork(), Sam2())}
    objects = run(direction, trackers, TwoSquares("two", LENGTH, 1))["sam2"].objects
    assert objects[1] == run(direction, trackers, replace(VIDEO, away=(0, 0)))["sam2"].objects[1]
    forward = run("forward", trackers, TwoSquares("two", LENGTH, 1))["sam2"].objects
    assert objects[2] == forward[2] and objects[2].frame == list(range(LENGTH))


def test_hindsight_is_for_each_pass_alone() -> None:
    beam = {"beam": Tracker(SquareNetwork(), Sam2(), selector=Beam(width=2, lag=2))}
    with pytest.raises(InputError, match="Beam revises later: give direction=both_independent"):
        run("both", beam)
    record = run("both_independent", beam)["beam"].objects[1]
    assert record.frame == list(range(LENGTH)) and record.iou[:START] == [1.0] * START


def test_an_evaluation_in_both_directions_scores_all_frames(tmp_path: Path) -> None:
    data = Squares(videos=(replace(VIDEO, name="one"), replace(VIDEO, name="two", prompted=0)))
    heard: list[tuple[str, int, int]] = []

    class Heard(ProgressListener):
        def frame(self, sequence: str, index: int, length: int) -> None:
            heard.append((sequence, index, length))

    protocol = EvaluationProtocol(direction="both")
    comparison = evaluate({"latest": Tracker(SquareNetwork(), Latest(8))}, data, tmp_path, protocol, Heard())
    assert comparison.runs[0].videos["one"].scores.jaccard == 1.0
    frames = LENGTH + 1  # the one that is prompted is in both passes
    assert heard[:frames] == [("one", at, frames) for at in range(frames)]
    assert heard[frames:] == [("two", at, LENGTH) for at in range(LENGTH)]


def test_objects_may_be_prompted_on_a_later_frame_that_shows_them() -> None:
    video = Square("square", LENGTH, 1, (3, 6))  # which shows it on frames 0 1 2 6 7 8
    for prompted, frame in (("first", 0), ("middle", 6), ("last", 8)):
        protocol = EvaluationProtocol(prompted=prompted, direction="both")  # type: ignore[arg-type]
        ((index, given),) = protocol.prompts(video).items()
        assert index == frame and np.array_equal(given[1].mask, video.mask(frame))
        tracker = {"latest": Tracker(SquareNetwork(), Latest(8))}
        record = track(tracker, video, protocol, ProgressListener())["latest"].objects[1]
        assert record.prompted == [frame] and record.frame == list(range(LENGTH))
    boxed = BoxedSquare("boxed", LENGTH, 1, (3, 6))
    ((index, given),) = EvaluationProtocol(prompted="last").prompts(boxed).items()
    assert index == 8 and given[1].box == mask_box(boxed.mask(8))
    with pytest.raises(InputError, match=r"secret: protocol.prompted=middle needs the truth of object 1"):
        EvaluationProtocol(prompted="middle").prompts(SecretSquare("secret", LENGTH, 1))


def test_official_files_take_an_object_from_its_prompt_on() -> None:
    records = run("both", {"latest": Tracker(SquareNetwork(), Latest(8))})
    line = r"middle: object 1 is known before its prompt, .*: track it with protocol.direction=forward"
    with pytest.raises(InputError, match=line):
        regions(records["latest"], 1, "mask")
    with pytest.raises(InputError, match=line):
        box_rows(VIDEO, records["latest"])
