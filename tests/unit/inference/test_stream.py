"""A source through a tracker: prompts join at their frame, and hindsight revises as far as it may."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from framework.data.prompts import Placed
from framework.data.sources.source import open_source
from framework.errors import InputError
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.sequence import ProgressListener, track
from framework.inference.stream import stream
from framework.interfaces import Selector
from framework.tracker import Tracker
from framework.types import Candidates, Cue, Pick, Prompt
from policies.sam2 import Sam2
from tests.fakes.colour import RED, ColourNetwork, square, square_mask, write_folder
from tests.fakes.squares import Square
from tests.tracking import TRACKER, plan_for


def test_frames_before_the_first_prompt_are_not_encoded(tmp_path: Path) -> None:
    encoded: list[int] = []

    class Counting(ColourNetwork):
        def encode(self, image: np.ndarray, frame: int, length: int | None) -> Any:
            encoded.append(frame)
            return super().encode(image, frame, length)

    source = open_source(write_folder(tmp_path / "clip", 6))
    plan = plan_for(source, Placed("a", 1, 3, Prompt(box=(6.0, 16.0, 22.0, 32.0))))
    frames = list(stream(Tracker(Counting(), Sam2()), source, plan))
    assert [len(frame.objects) for frame in frames] == [0, 0, 0, 1, 1, 1]
    assert encoded == [3, 4, 5]


@dataclass(frozen=True)
class Turncoat(Selector):
    """Two pathways from frame 1 on, one of masks 0 (total n after n frames) and one of masks 1 (total -n).

    The first one leads until frame 3, the other one from frame 4 on.
    """

    lag: int | None = None
    hindsight: ClassVar[bool] = True

    def select(
        self, totals: Sequence[float], candidates: Sequence[Candidates], cues: Sequence[Cue | None]
    ) -> list[Pick]:
        if len(totals) == 1:
            return [Pick(0, 0, 1.0, None), Pick(0, 1, -1.0, None)]
        early = 0 if totals[0] > 0 else 1
        count = totals[early]
        picks = [Pick(early, 0, count + 1, None), Pick(1 - early, 1, -count - 1, None)]
        return picks if count < 3 else picks[::-1]


@pytest.mark.parametrize(("lag", "turn"), [(None, 4), (1, 3), (2, 2), (20, 1)])
def test_hindsight_revises_as_many_frames_as_the_lag_allows(tmp_path: Path, lag: int | None, turn: int) -> None:
    source = open_source(write_folder(tmp_path / "clip", 8))
    tracker = Tracker(ColourNetwork(), Sam2(), selector=Turncoat(lag))
    frames = list(stream(tracker, source, plan_for(source)))
    assert [frame.frame for frame in frames] == list(range(8))
    assert [frame.objects[1].choice for frame in frames] == [0] * turn + [1] * (8 - turn)
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, square(index))
        assert (frame.objects[1].mask & square_mask(index)).any()


@pytest.mark.parametrize(("lag", "turn"), [(None, 1), (0, 4), (1, 3), (2, 2), (20, 1)])
def test_an_evaluation_revises_what_following_revises(lag: int | None, turn: int) -> None:
    tracker = Tracker(ColourNetwork(), Sam2(), selector=Turncoat(lag))
    for hindsight, expected in ((True, turn), (False, 4)):
        protocol = EvaluationProtocol(hindsight=hindsight)
        found = track({"turncoat": tracker}, Square("alpha", 8, 0), protocol, ProgressListener())["turncoat"].objects[1]
        assert found.frame == list(range(8)) and found.choice == [0] * expected + [1] * (8 - expected)


def test_red_is_followed(tmp_path: Path) -> None:
    """The stand-in network deserves the trust that the tests above put in it."""
    source = open_source(write_folder(tmp_path / "clip", 5))
    for frame in stream(TRACKER, source, plan_for(source)):
        assert (frame.image[frame.objects[1].mask] == RED).all(axis=-1).mean() > 0.85


def test_a_prompt_that_is_never_reached_is_an_error_at_the_end(tmp_path: Path) -> None:
    """A file may announce more frames than it has."""

    class Announcing:
        name, length, size, rate = "clip", 9, (48, 64), 25.0

        def frames(self) -> Any:
            return open_source(tmp_path / "clip").frames()

    write_folder(tmp_path / "clip", 6)
    placed = [
        Placed("a", 1, 0, Prompt(box=(0.0, 16.0, 16.0, 32.0))),
        Placed("b", 2, 7, Prompt(box=(0.0, 0.0, 9.0, 9.0))),
    ]
    frames = stream(TRACKER, Announcing(), plan_for(Announcing(), *placed))
    assert [next(frames).frame for _ in range(6)] == list(range(6))
    with pytest.raises(
        InputError, match=r"clip ended after 6 frames: the prompt of frame 7 was never reached; .* 0 to 5"
    ):
        next(frames)
