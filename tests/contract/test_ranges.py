"""Options out of range are refused one by one, and the last ones within are taken."""

from math import inf, nan

import pytest

from motion.components.point_refinement import PointRefinement
from motion.constant_velocity import ConstantVelocity
from motion.hierarchical import Hierarchical
from motion.kalman import Kalman
from motion.learned_judge import LearnedJudge
from policies.components.read_gate import ReadGate
from policies.dam4sam import Dam4Sam
from policies.every_nth import EveryNth
from policies.evict_oldest import EvictOldest
from policies.gated import Gated
from policies.him2sam import Him2Sam
from policies.learned_read_gate import LearnedReadGate
from policies.learned_write_gate import LearnedWriteGate
from policies.prompt_bias import PromptBias
from policies.random import Random
from policies.resurgsam2 import ReSurgSam2
from policies.rmem import RMem
from policies.sam2 import Sam2
from policies.sam2long import Sam2Long
from policies.sam2long_beam import Beam
from policies.sam3 import Sam3
from policies.samurai import Samurai
from policies.spread import Spread
from policies.surgical_sam2 import SurgicalSam2


def write_gate(**options):
    return LearnedWriteGate("untrained", **options)


def read_gate(budget):
    return LearnedReadGate(ReadGate(), Sam2(), budget)


def judge(weight):
    return LearnedJudge("untrained", weight)


def prompt_bias(bias):
    return PromptBias(Sam2(), bias)


MODELS = (ConstantVelocity, Hierarchical, Kalman, judge)
REFUSED = [
    *((Dam4Sam, {name: 0}) for name in ("memories", "interval", "anchors")),
    (Dam4Sam, {"pointers": -1}),
    (EveryNth, {"interval": 0}),
    *((EvictOldest, {name: least - 1}) for name, least in {"slots": 1, "pointers": 0}.items()),
    *((Gated, {name: value}) for name, value in {"slots": -1, "candidates": 5, "pointers": -1}.items()),
    (Gated, {"max_anchors": 1}),
    *((Gated, {"shot_change": value}) for value in (-0.1, 1.1)),
    *((Him2Sam, {name: -1}) for name in ("slots", "pointers", "stride", "long")),
    (Him2Sam, {"interval": 0}),
    (Him2Sam, {"slots": 2, "long": 3}),
    (read_gate, {"budget": 0}),
    *((write_gate, {name: -1}) for name in ("slots", "pointers")),
    (prompt_bias, {"bias": nan}),
    *((Random, {name: -1}) for name in ("slots", "pointers", "seed")),
    *((RMem, {name: value}) for name, value in {"slots": 0, "pointers": -1, "prior": 0.0, "decay": 1.0}.items()),
    (RMem, {"decay": -0.1}),
    *((ReSurgSam2, {name: value}) for name, value in {"slots": -1, "pointers": -1, "pool": 0, "long": -1}.items()),
    *((Sam2, {name: value}) for name, value in {"slots": -1, "stride": 0, "pointers": -1, "max_anchors": 1}.items()),
    *((Sam3, {name: value}) for name, value in {"slots": -1, "stride": 0, "pointers": -1, "max_anchors": 1}.items()),
    *((method, {name: -1}) for method in (Sam2Long, Samurai) for name in ("slots", "pointers")),
    *((SurgicalSam2, {name: -1}) for name in ("slots", "pointers", "drop")),
    (Beam, {"width": 0}),
    (Beam, {"lag": -1}),
    *((Spread, {name: value}) for name, value in {"older": -1, "interval": 0}.items()),
    *((model, {"weight": value}) for model in MODELS for value in (-0.1, 1.1)),
    *((ConstantVelocity, {name: value}) for name, value in {"inertia": 1.0, "patience": 0}.items()),
    (ConstantVelocity, {"inertia": -0.1}),
    (Kalman, {"stable_frames": 0}),
    *((PointRefinement, {name: value}) for name, value in {"window": 0, "samples": 0, "grid": 31}.items()),
    *((PointRefinement, {"dice_share": value}) for value in (-0.1, 1.1)),
]

TAKEN = [
    (Dam4Sam, {"memories": 1, "pointers": 0, "interval": 1, "anchors": 1}),
    (EveryNth, {"interval": 1}),
    (EvictOldest, {"slots": 1, "pointers": 0}),
    (Gated, {"slots": 0, "candidates": 0, "pointers": 0, "max_anchors": 2, "shot_change": 0.0}),
    (Him2Sam, {"slots": 0, "pointers": 0, "stride": 0, "long": 0, "interval": 1}),
    (Him2Sam, {"slots": 2, "long": 2}),
    (read_gate, {"budget": 1}),
    (write_gate, {"slots": 0, "pointers": 0}),
    (prompt_bias, {"bias": -inf}),
    (Random, {"slots": 0, "pointers": 0, "seed": 0}),
    (RMem, {"slots": 1, "pointers": 0, "prior": 0.001, "decay": 0.0}),
    (ReSurgSam2, {"slots": 0, "pointers": 0, "pool": 1, "long": 0}),
    (Sam2, {"slots": 0, "stride": 1, "pointers": 0, "max_anchors": 2}),
    (Sam2Long, {"slots": 0, "pointers": 0}),
    (Sam3, {"slots": 0, "stride": 1, "pointers": 0, "max_anchors": 2}),
    (Samurai, {"slots": 0, "pointers": 0}),
    (SurgicalSam2, {"slots": 0, "pointers": 0, "drop": 0}),
    (Beam, {"width": 1, "lag": 0}),
    (Spread, {"older": 0, "interval": 1}),
    *((model, {"weight": value}) for model in MODELS for value in (0.0, 1.0)),
    (ConstantVelocity, {"inertia": 0.0, "patience": 1}),
    (Kalman, {"stable_frames": 1}),
    *((PointRefinement, {"window": 1, "samples": 1, "grid": 32, "dice_share": value}) for value in (0.0, 1.0)),
]


def name(part):
    return part.__name__ if callable(part) else str(part)


@pytest.mark.parametrize(("build", "options"), REFUSED, ids=name)
def test_an_option_out_of_range_is_refused_by_name(build, options):
    with pytest.raises(ValueError, match=list(options)[-1]):
        build(**options)


@pytest.mark.parametrize(("build", "options"), TAKEN, ids=name)
def test_the_last_values_within_the_range_are_taken(build, options):
    made = build(**options)
    assert {name: getattr(made, name) for name in options} == options
