"""Every policy, motion model and published method in both directions."""

from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate

from framework.errors import InputError
from framework.evaluation.passes import REACH, Direction, passes
from framework.networks import micro
from framework.tracker import Tracker
from framework.types import Prompt, Result
from tests.composition import as_from_the_command_line
from tests.passes import run_passes
from tests.traces import with_own_points

CONF = Path(__file__).parents[2] / "conf"
LENGTH, SIDE, START = 13, 64, 6
PROMPT = Prompt(box=(9.0, 9.0, 40.0, 30.0))
LATER = Prompt(box=(20.0, 20.0, 60.0, 60.0))
IMAGES = [*torch.rand(LENGTH, 3, SIDE, SIDE, generator=torch.manual_seed(0))]
NETWORK = micro.network("random", image_size=SIDE)


def choices(group: str, quick: tuple[str, ...] | None = None) -> list[object]:
    """All of a group; those that are not quick are slow tests."""
    names = [path.stem for path in sorted((CONF / group).glob("*.yaml"))]
    slow = [] if quick is None else [name for name in names if name not in quick]
    return [pytest.param(f"{group}={name}", marks=pytest.mark.slow if name in slow else ()) for name in names]


@pytest.fixture(params=choices("policy") + choices("motion") + choices("method", ("sam2long",)), scope="module")
def tracker(request: pytest.FixtureRequest) -> Tracker:
    try:
        config = as_from_the_command_line("evaluate", [request.param])
        parts = {part: instantiate(config[part], _convert_="all") for part in ("policy", "motion", "selector")}
        made = instantiate(config.tracker, _convert_="all")(network=NETWORK, **parts)
    finally:
        GlobalHydra.instance().clear()
    assert isinstance(made, Tracker)
    return with_own_points(made)


def run(
    tracker: Tracker, direction: Direction, prompts: dict[int, dict[int, Prompt]], mirrored: bool = False
) -> list[Result]:
    with torch.inference_mode():
        return run_passes(tracker, passes(direction, prompts, {}, LENGTH), IMAGES[::-1] if mirrored else IMAGES)


def test_backward_is_forward_over_the_mirrored_video(tracker: Tracker) -> None:
    last = LENGTH - 1
    backward = run(tracker, "backward", {last: {1: PROMPT}})
    forward = run(tracker, "forward", {0: {1: PROMPT}}, mirrored=True)
    assert [result.frame for result in backward] == list(range(last, -1, -1))
    for ours, theirs in zip(backward, forward, strict=True):
        assert torch.equal(ours.tracks[1].logits, theirs.tracks[1].logits)
        use, mirrored = ours.tracks[1].memory, theirs.tracks[1].memory
        assert use.spatial == tuple((last - frame, slot) for frame, slot in mirrored.spatial)
        assert use.pointers == tuple((last - frame, ago) for frame, ago in mirrored.pointers)
        assert use.held == tuple(last - frame for frame in mirrored.held)


def test_both_directions_cover_every_frame_once(tracker: Tracker) -> None:
    prompts = {START: {1: PROMPT}, START + 3: {2: LATER}}
    direction: Direction = "both"
    if tracker.selector.hindsight:
        with pytest.raises(InputError, match=r"Beam revises later: give direction=both_independent"):
            run(tracker, "both", prompts)
        direction = "both_independent"
    results = run(tracker, direction, prompts)
    for key in (1, 2):
        assert sorted(result.frame for result in results if key in result.tracks) == list(range(LENGTH))
    backward = [result for result in results[LENGTH - START :] if 1 in result.tracks]
    held = {frame for frame in backward[0].tracks[1].memory.held if frame >= START}
    assert held <= ({START} if direction == "both_independent" else {*range(START, START + REACH + 1)})
