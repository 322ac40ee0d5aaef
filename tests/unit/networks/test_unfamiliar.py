"""Photographs are told from drawn videos, and only the network that knows nothing else is warned of."""

import numpy as np
import pytest

from framework.data.procedural.dataset import Procedural
from framework.networks.by_name import network
from framework.networks.unfamiliar import PHOTOGRAPHIC, grey_steps, warn, warning


def stripes(colour: tuple[int, int, int]) -> np.ndarray:
    """Every other column."""
    image = np.full((128, 128, 3), 100, np.uint8)
    image[:, 1::2] += np.array(colour, np.uint8)
    return image


def test_steps_between_neighbours_are_grey_or_not() -> None:
    grey, red = stripes((10, 10, 10)), stripes((10, 0, 0))
    assert (grey_steps(grey), grey_steps(red)) == (1.0, 0.0)
    assert grey_steps(np.concatenate([grey[:32], red[:96]])) == 0.25
    assert grey_steps(stripes((10, 5, 5))) == 1.0  # cosine 20 / sqrt(3 * 150) = .943
    assert grey_steps(stripes((10, 2, 5))) == 0.0  # 17 / sqrt(3 * 129) = .864
    assert np.isnan(grey_steps(stripes((0, 0, 0)))) and np.isnan(grey_steps(stripes((0, 1, 0))))


def photographed(seed: int) -> np.ndarray:
    """A grey pattern in coloured light, with a little grain of its own in every colour."""
    rng = np.random.default_rng(seed)
    light = rng.normal(120, 25, (128, 128, 1)) * (1.0, 0.9, 0.75)
    return np.clip(light + rng.normal(0, 3, (128, 128, 3)), 0, 255).astype(np.uint8)


def drawn(level: str, split: str) -> list[np.ndarray]:
    return [Procedural(split, level, length=30).sequence(index).frame(29 * (index % 2)) for index in range(5)]


@pytest.mark.parametrize("level", ["calm", "distractors", "occlusion", "hard"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_no_drawn_frame_is_taken_for_a_photograph(level: str, split: str) -> None:
    assert max(map(grey_steps, drawn(level, split))) < PHOTOGRAPHIC


def test_only_the_network_that_knows_drawn_videos_alone_is_warned_of() -> None:
    photographs = [photographed(seed) for seed in range(3)]
    line = warning(network("micro", device="cpu"), photographs)
    assert line is not None and line.startswith("backbone=micro knows drawn videos alone") and "\n" not in line
    for other in (network("photo", device="cpu"), network("micro", checkpoint="random", device="cpu")):
        assert warning(other, photographs) is None


def test_the_median_over_frames_decides() -> None:
    micro, flat = network("micro", device="cpu"), stripes((0, 0, 0))
    one, two, three = (photographed(seed) for seed in range(3))
    red = stripes((10, 0, 0))
    assert warning(micro, [one, red, two]) is not None and warning(micro, [red, one, red]) is None
    assert warning(micro, drawn("hard", "val")) is None
    assert warning(micro, []) is None and warning(micro, [flat]) is None and warning(micro, [three]) is not None


def test_the_warning_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    micro = network("micro", device="cpu")
    warn(micro, [photographed(0)])
    assert capsys.readouterr().err == f"{warning(micro, [photographed(0)])}\n"
    warn(micro, drawn("calm", "val"))
    assert capsys.readouterr().err == ""
