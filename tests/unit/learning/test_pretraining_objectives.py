"""What pretraining is trained towards on a clip, number by number."""

import math

import numpy as np
import pytest
import torch

from framework.learning.losses import LossTerms
from framework.learning.pretraining import objectives as module
from framework.learning.pretraining.clip_rows import ClipRows
from framework.learning.pretraining.memory_augmentation import in_slot
from framework.learning.pretraining.objectives import Objectives, PretrainingLossWeights
from framework.learning.pretraining.sam2_steps import Decoded, RowMemories, RowPyramid
from framework.networks.micro import MicroSize, micro
from tests.fakes.draws import ScriptedDraws


@pytest.fixture(scope="module")
def network():
    return micro(32, MicroSize(width=32, memory_width=32, layers=1, feedforward=64, trunk_widths=(8, 16, 32)))


def of(network, *draws, progress=0.0, clicks=0.0):
    return Objectives(network, PretrainingLossWeights(), progress, clicks, ScriptedDraws(*draws), LossTerms())


def clip(times, low=None) -> ClipRows:
    """One video of two rows; frame t has the embedding t. Masks are the cells of `low` that are covered at all."""
    frames = len(times[0])
    low = torch.zeros(2, frames, 4, 4) if low is None else low
    number = torch.arange(frames).float().view(frames, 1, 1, 1)
    pyramid = RowPyramid(
        number.expand(frames, 32, 2, 2),
        number.expand(frames, 2, 4, 4),
        number.expand(frames, 4, 2, 2),
        torch.zeros(1, 32, 2, 2),
    )
    row = torch.zeros(2, dtype=torch.long)
    return ClipRows(pyramid, row, frames, low > 0, low > 2, torch.tensor(times), low, torch.zeros(2, frames, 4))


def memory(*times: int) -> RowMemories:
    rows = len(times)
    return RowMemories(torch.zeros(rows, 8, 2, 2), torch.zeros(rows, 8), torch.zeros(rows, 4), torch.tensor(times))


def test_object_and_background_weigh_the_same_at_first():
    weights = PretrainingLossWeights()
    assert [weights.balance(progress) for progress in (0.0, 0.25, 0.6)] == pytest.approx([1.0, 0.6, 0.15])
    assert PretrainingLossWeights(even=0.5).balance(0.1) == pytest.approx(0.34)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    """1 * 2 + .5 * 3 + .5 * 4 + .2 * .5 * 5 + 1 * 6 + .5 * 7 + .5 * 8; J is no loss."""
    names = ("mask", "iou", "presence", "prompted", "reading", "box", "point", "J")
    means = {name: torch.tensor(float(value)) for value, name in enumerate(names, start=2)}
    assert float(PretrainingLossWeights().total(means)) == pytest.approx(19.5)


@pytest.mark.parametrize(
    ("draw", "corners"),
    [
        (0.5, [[2.0, 4.0], [10.0, 8.0]]),  # tight
        (0.49, [[2.8, 3.6], [11.6, 12.0]]),  # a tenth of 8 x 4 pixels times what is drawn, at most 4
    ],
)
def test_a_box_is_tight_or_loose_and_a_point_is_inside(network, draw, corners):
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[0, 4:8, 2:10] = True
    objectives = of(network, [[1.0, -1.0], [2.0, 30.0]], draw, 9)
    boxes, points = objectives._draw_prompts(mask)
    assert boxes[0].tolist() == [pytest.approx(corner) for corner in corners]
    assert points.tolist() == [[[3.0, 5.0]]]  # second row, second column
    assert objectives.rng.asked == [("normal", 0, 1, (2, 2)), ("random",), ("integers", 32)]
    assert boxes.dtype == points.dtype == torch.float32


@pytest.fixture
def steps(monkeypatch):
    """What is asked of the network; it answers with the row as presence."""
    asked: list = []

    def condition(network, pyramid, spatial, pointers):
        asked.append((pyramid.embedding[:, 0, 0, 0].tolist(), spatial, pointers))
        return pyramid.embedding, [torch.zeros(len(pyramid.embedding), 4)]

    def decode(network, pyramid, conditioned, *prompts):
        asked.append(prompts)
        rows = len(conditioned)
        logits = torch.zeros(rows, 4, 4, 4)
        return Decoded(logits, torch.full((rows, 4), 0.5), torch.zeros(rows, 4, 8), torch.arange(rows).float())

    monkeypatch.setattr(module, "condition", condition)
    monkeypatch.setattr(module, "decode", decode)
    return asked


def test_memories_are_as_old_as_they_are_and_the_prompt_sometimes_older(network, steps):
    seen = clip([[0, 3, 5, 9], [10, 11, 14, 20]])
    bank = [in_slot(memory(0, 10), 6), in_slot(memory(3, 11), 0)]
    objectives = of(network, 0.39, math.log(100.5))
    decoded = objectives.track(seen, [2, 3], bank, learn=False)
    embeddings, spatial, pointers = steps[0]
    assert embeddings == [2.0, 2.0, 3.0, 3.0] and decoded.presence.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert [slot.tolist() for _, slot in spatial] == [[6] * 4, [0] * 4]
    assert [each.time.tolist() for each, _ in spatial] == [[0, 10, 0, 10], [3, 11, 3, 11]]
    assert [ago.tolist() for _, ago in pointers] == [[105.0, 104.0, 109.0, 110.0], [2.0, 3.0, 6.0, 9.0]]
    assert objectives.rng.asked == [("random",), ("uniform", 0, math.log(1000))]
    assert not objectives.terms.values and not objectives.terms.presence

    of(network, 0.4).track(seen, [3], bank, [memory(5, 14)], learn=False)
    assert [ago.tolist() for _, ago in steps[2][2]] == [[9.0, 10.0], [4.0, 6.0]]
    assert len(steps[2][1]) == 2


def test_slivers_do_not_count_and_absent_rows_are_judged_by_presence(network, steps, monkeypatch):
    """Three rows that are learned from have 3, 2 and 0 covered cells; the fourth has 4."""
    low = torch.zeros(2, 3, 4, 4)
    low[0, 1, 0, :3], low[1, 1, 0, :2], low[1, 2, 0, :4] = 1.0, 1.0, 1.0
    fixed = {
        "mask_loss": lambda logits, truth, balance: torch.full((4, 3), balance) * torch.tensor([[1.0, 2.0, 3.0]]),
        "best_hypothesis_loss": lambda loss, share: loss[:, 0] + torch.tensor([0.0, 5.0, 6.0, 2.0]),
        "quality_loss": lambda quality, logits, truth: torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9], [0, 0, 3]]),
        "reading_loss": lambda mass, covered: torch.tensor(7.0),
        "iou": lambda prediction, truth: torch.tensor([0.5, 1.0, 1.0, 0.9]),
    }
    for name, loss in fixed.items():
        monkeypatch.setattr(module, name, loss)
    objectives = of(network, 0.4, progress=0.25)
    objectives.track(clip([[0, 1, 2]] * 2, low), [1, 2], [in_slot(memory(0, 0), 6)])
    terms = {name: [float(value) for value in values] for name, values in objectives.terms.values.items()}
    assert terms == {
        "mask": [pytest.approx((0.6 + 0.6 + 2.0) / 2)],  # balance .6 of rows 0 and 3
        "iou": [pytest.approx((2.0 + 0.3 * 5.0 + 0.3 * 8.0 + 1.0) / 4)],
        "reading": [7.0],
        "J": [pytest.approx((0.5 + 0.9) / 2)],
    }
    ((presence, visible, counts),) = objectives.terms.presence
    assert presence.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert visible.tolist() == [True, True, False, True] and counts.tolist() == [True, False, True, True]


def test_prompts_are_drawn_on_objects_of_sixteen_pixels(network, steps):
    low = torch.zeros(2, 1, 4, 4)
    low[0], low[1, 0].view(-1)[:15] = 1.0, 1.0
    objectives = of(network, np.zeros((2, 2)), 0.5, 5)
    objectives.click(clip([[0]] * 2, low), 0)
    (corners, boxed), (points, inside) = steps
    assert corners.tolist() == [[[0.0, 0.0], [4.0, 4.0]]] and boxed.tolist() == [[2, 3]]
    assert points.tolist() == [[[1.0, 1.0]]] and inside.tolist() == [[1]]
    assert {name: len(values) for name, values in objectives.terms.values.items()} == {
        "box": 1,
        "iou": 2,
        "prompted": 1,
        "point": 1,
    }
    nothing = of(network)
    nothing.click(clip([[0]] * 2), 0)
    assert not nothing.terms.values
