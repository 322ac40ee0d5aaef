"""An excerpt is the first frames of the first videos, and known as such."""

from dataclasses import replace

import numpy as np
import pytest

from framework.data.excerpt import Excerpt, excerpt, first_frames
from framework.data.sequence import BoxedSequence, VideoSequence
from framework.errors import InputError
from framework.types import Prompt
from tests.fakes.squares import Square, Squares

FIRST, LATER = Prompt(box=(0.0, 0.0, 2.0, 2.0)), Prompt(box=(4.0, 4.0, 6.0, 6.0))


class Boxed(Square):
    def truth_boxes(self, index):
        return {1: (0.0, 0.0, float(index), 4.0)}

    def prompts(self):
        return {0: {1: FIRST}, 3: {2: LATER}}


def test_the_first_frames_of_the_first_videos():
    data = Excerpt(Squares(), videos=2, frames=9)
    assert len(data) == 2 and data.name == "squares-v1-first-9"
    alpha, beta = data.sequence(0), data.sequence(1)
    assert (alpha.length, beta.length) == (8, 9) and (alpha.name, beta.name) == ("alpha", "beta")
    assert isinstance(beta, VideoSequence) and not isinstance(beta, BoxedSequence)
    assert np.array_equal(beta.frame(8), Squares().videos[1].frame(8)) and beta.truth(5)[1].sum() == 0
    assert beta.prompts().keys() == {0} and beta.attributes(2) == frozenset()
    assert len(Excerpt(Squares(), videos=9, frames=9)) == 3
    one = excerpt(Squares(), videos=1, frames=None)
    assert len(one) == 1 and one.name == "squares-v1" and one.sequence(0).length == 8
    squares = Squares()
    assert excerpt(squares, videos=None, frames=None) is squares


def test_boxes_stay_and_later_prompts_go():
    video = Boxed("boxed", 8, 0)
    short = Excerpt(replace(Squares(), videos=(video,)), videos=1, frames=3).sequence(0)
    assert isinstance(short, BoxedSequence) and short.truth_boxes(2) == {1: (0.0, 0.0, 2.0, 4.0)}
    assert short.prompts() == {0: {1: FIRST}}


def test_an_excerpt_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"^an excerpt has 1 or more videos and frames, not 2 and 0$"):
        Excerpt(Squares(), videos=2, frames=0)


def test_first_frames_are_those_that_can_be_read():
    class Unreadable(Square):
        def frame(self, index):
            raise InputError("no such file")

    alpha, beta, *_ = Squares().videos
    data = Squares((alpha, Unreadable("none", 5, 0), beta, *[alpha] * 4))
    shown = list(first_frames(data))
    assert [frame.tolist() for frame in shown] == [v.frame(0).tolist() for v in (alpha, beta, alpha, alpha)]
    assert len(list(first_frames(Squares(), videos=2))) == 2
