"""What enters the loop is what it says it is."""

import numpy as np
import pytest

from framework.types import Prompt

CORNER = np.zeros((4, 6), dtype=bool)
CORNER[:2, :3] = True


@pytest.mark.parametrize(
    "mask",
    [CORNER, CORNER.astype(np.uint8) * 255, CORNER.astype(np.float32), -CORNER.astype(int)],
    ids=["bool", "bytes", "floats", "negative"],
)
def test_a_mask_of_two_values_is_cast(mask: object) -> None:
    assert np.array_equal(Prompt(mask=mask).mask, CORNER) and Prompt(mask=mask).mask.dtype == bool


def test_an_empty_and_a_full_mask_are_cast() -> None:
    assert not Prompt(mask=np.zeros((3, 3))).mask.any() and Prompt(mask=np.full((3, 3), 255)).mask.all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.arange(24.0).reshape(4, 6) / 24, "holds 0, 0.0416667, 0.0833333 ...: threshold it"),
        (CORNER + 1, "holds 1, 2 ...: threshold it"),
        (np.where(CORNER, np.nan, 0.0), "holds 0, nan ...: threshold it"),
    ],
    ids=["probabilities", "labels", "nan"],
)
def test_any_other_mask_is_refused(mask: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prompt(mask=mask)


def test_points_may_be_inside_and_outside_at_once() -> None:
    both = Prompt(points=((1.0, 1.0), (5.0, 3.0)), labels=(1, 0))
    assert both.labels == (1, 0) and Prompt(points=((1.0, 1.0),), labels=(0,)).labels == (0,)


def test_a_prompt_is_one_thing_with_a_label_for_each_point() -> None:
    with pytest.raises(ValueError, match="a prompt is a mask, or a box and/or points"):
        Prompt(mask=CORNER, box=(0.0, 0.0, 2.0, 2.0))
    with pytest.raises(ValueError, match="a prompt is a mask, or a box and/or points"):
        Prompt()
    with pytest.raises(ValueError, match="one label"):
        Prompt(points=((1.0, 1.0),), labels=(2,))
