"""Objects that were never seen again are named at the end, whoever else was; the first prompt's image is looked at."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from framework.data.prompts import Schedule
from framework.data.sources.frame_range import FrameRange
from framework.data.sources.source import open_source
from framework.inference.remarks import announced, with_remarks
from framework.inference.stream import TrackedFrame, TrackedObject
from framework.types import MemoryUse, Prompt, Scores
from tests.fakes.colour import write_video


def frame(index: int, shown: Mapping[int, bool]) -> TrackedFrame:
    objects = {
        key: TrackedObject(np.full((4, 4), seen), Scores(0.5, 1.0, None, 4, False), 0, MemoryUse())
        for key, seen in shown.items()
    }
    return TrackedFrame(np.full((4, 4, 3), index, np.uint8), index, objects)


def said(
    capsys: pytest.CaptureFixture[str], prompted: Mapping[int, tuple[int, ...]], *shown: Mapping[int, bool]
) -> tuple[str, list[int]]:
    """What is said on stderr, and the frames that `begin` was given."""
    box, begun = Prompt(box=(0.0, 0.0, 2.0, 2.0)), list[int]()
    schedule = Schedule({index: dict.fromkeys(keys, box) for index, keys in prompted.items()})
    frames = [frame(index, objects) for index, objects in enumerate(shown)]
    assert list(with_remarks(frames, schedule, lambda image: begun.append(int(image[0, 0, 0])))) == frames
    return capsys.readouterr().err, begun


@pytest.mark.parametrize(
    ("suffix", "frames", "known"),
    [
        (".mp4", FrameRange(), True),
        (".ts", FrameRange(), False),
        (".ts", FrameRange(frames=10), True),
        (".ts", FrameRange(frames=99), False),
        (".ts", FrameRange(first=2, stride=2), False),
        (".ts", FrameRange(last=11), True),
    ],
)
def test_a_file_that_does_not_say_how_long_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str, frames: FrameRange, known: bool
) -> None:
    path = write_video(tmp_path / f"clip{suffix}", 12)
    capsys.readouterr()  # what the writer says
    assert announced(open_source(path, frames)) is known
    line = f"{path} does not say how many frames it has: if it was cut off after frame 11, that cannot be told\n"
    assert capsys.readouterr().err == ("" if known else line)


def test_an_object_that_is_seen_once_is_not_spoken_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, {0: (1,)}, {1: True}, {1: False}, {1: True}, {1: False}) == ("", [0])


def test_objects_that_are_on_no_frame_but_those_of_their_prompts_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    line, _ = said(capsys, {0: (1,)}, {1: True}, {1: False}, {1: False})
    assert line.startswith("object 1 was never seen again after the prompt: ") and line.count("\n") == 1
    shown = {1: True, 2: True}, {1: False, 2: True}, {1: True, 2: True, 5: True}, {5: False}
    line, _ = said(capsys, {0: (1, 2), 2: (5, 1)}, *shown)
    assert line.startswith("objects 1, 5 were never seen again") and line.count("\n") == 1


def test_nothing_is_said_of_an_object_that_was_not_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, {0: (1,)}, {1: True}) == ("", [0])
    assert said(capsys, {0: (1,), 1: (1,)}, {1: False}, {1: False}) == ("", [0])
    assert said(capsys, {}, {}, {}) == ("", [])


def test_the_image_of_the_first_prompt_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, {1: (1,), 2: (2,)}, {}, {1: True}, {1: True, 2: True}) == ("", [1])
