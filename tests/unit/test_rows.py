"""Which rows are one: requests with the same prediction, and no others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from framework.rows import RowRequest
from framework.types import ANCHOR, Entry, Prompt, Read, Scores


def entry(frame: int) -> Entry:
    return Entry(frame, torch.zeros(4), object(), Scores(0.9, 5.0, None, 10, False))


ONE, OTHER = entry(0), entry(1)
READ = Read(
    spatial=((ONE, ANCHOR), (OTHER, 0)),
    pointers=((ONE, 3), (OTHER, 1)),
    pointer_span=15,
    gain=torch.ones(4),
    bias=torch.zeros(4),
)


@pytest.mark.parametrize(
    "change",
    [
        {"spatial": ((ONE, ANCHOR), (OTHER, 1))},
        {"spatial": ((OTHER, 0), (ONE, ANCHOR))},
        {"spatial": ((ONE, ANCHOR), (entry(1), 0))},
        {"pointers": ((ONE, 2), (OTHER, 1))},
        {"pointers": ((ONE, 3), (entry(1), 1))},
        {"pointer_span": 16},
        {"gain": torch.tensor([1.0, 1.0, 1.0, 0.5])},
        {"gain": None},
        {"bias": torch.tensor([0.0, 0.0, 0.0, -1.0])},
        {"bias": None},
    ],
    ids=lambda change: " ".join(change),
)
def test_what_is_read_otherwise_is_another_row(change):
    assert RowRequest(READ).identity() != RowRequest(replace(READ, **change)).identity()


def test_the_same_reading_is_one_row():
    again = replace(READ, gain=torch.ones(4), bias=torch.zeros(4))
    assert RowRequest(READ).identity() == RowRequest(again).identity()
    alone = Read(READ.spatial)
    assert RowRequest(alone).identity() == RowRequest(replace(alone, pointer_span=16)).identity()


def test_weights_that_learn_are_told_apart_by_the_object():
    learned = replace(READ, gain=torch.ones(4, requires_grad=True))
    assert RowRequest(learned).identity() == RowRequest(replace(learned, bias=torch.zeros(4))).identity()
    assert RowRequest(learned).identity() != RowRequest(READ).identity()


def test_threshold_measurement_and_prompt_are_part_of_a_row():
    request = RowRequest(READ)
    prompt = Prompt(mask=np.ones((2, 2), dtype=bool))
    others = [
        replace(request, presence_threshold=0.5),
        replace(request, measured=True),
        replace(request, prompt=prompt),
    ]
    assert len({request.identity(), *(other.identity() for other in others)}) == 4
    assert replace(request, prompt=prompt).identity() == RowRequest(prompt=prompt).identity()
