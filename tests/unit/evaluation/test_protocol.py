"""How an evaluation starts a tracker."""

import numpy as np

from framework.evaluation.protocol import EvaluationProtocol
from framework.metrics.tracking import mask_box
from framework.types import Prompt
from tests.fakes.squares import Square, SquareNetwork

NETWORK = SquareNetwork()


def test_an_estimated_mask_is_what_the_network_makes_of_the_box():
    video, protocol = Square("alpha", 8, 0), EvaluationProtocol(prompt="estimated")
    features = NETWORK.encode(video.frame(0), 0, 8)
    ragged = video.mask(0)
    ragged[7, 1] = False
    started = protocol.start(Prompt(mask=ragged), NETWORK, features)
    assert started.box is None and np.array_equal(started.mask, video.mask(0))
    assert protocol.start(Prompt(points=((1.0, 7.0),), labels=(1,)), NETWORK, features).points
    boxed = EvaluationProtocol(prompt="box").start(Prompt(mask=ragged), NETWORK, features)
    assert boxed.box == mask_box(ragged)
    nothing = Prompt(box=(3.0, 3.0, 3.0, 3.0))
    assert protocol.start(nothing, NETWORK, features) is nothing
