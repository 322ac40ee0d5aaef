"""Passes in both directions beside sam2's predictor, which propagates forward and then in reverse from there."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from sam2.modeling.sam2_base import SAM2Base

from framework.diagnostics.deterministic_weights import fill, frame
from framework.diagnostics.upstream import Logits, Prompts, images, opened, tell, upstream_logits
from framework.evaluation.passes import Direction, passes
from framework.networks.build import model
from framework.networks.predictor import predictor
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker
from framework.types import upsample
from policies.sam2 import Sam2
from tests.golden.test_upstream_parity import (
    AGAIN,
    BOX,
    CLICK,
    CORRECTION,
    MASK,
    POINTS,
    SIZE,
    compare,
)
from tests.passes import run_passes

LENGTH = 22
"""One more than a multiple of 3, where strides of 3 count alike in both directions."""
ONE: Prompts = {5: {1: MASK}}
SEVERAL: Prompts = {5: {1: [CLICK, CORRECTION, AGAIN]}, 9: {2: BOX}, 18: {3: POINTS}}
CORRECTED: Prompts = {6: {1: BOX}, 10: {1: CORRECTION}, 13: {1: AGAIN}}
AGAIN_STARTED: Prompts = {2: {1: CLICK}, 12: {1: BOX}, 20: {1: MASK}}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video")
    for index in range(LENGTH):
        Image.fromarray(frame(index, 160)[32:128]).save(folder / f"{index:05d}.jpg", quality=95)
    return folder


def upstream(built: SAM2Base, video: Path, prompts: Prompts, direction: Direction, **options: object) -> Logits:
    """Each object by itself, which is how upstream tracks them: first forward, with what comes on the way."""
    found: Logits = {}
    for key in sorted({key for given in prompts.values() for key in given}):
        own = {index: {key: given[key]} for index, given in prompts.items() if key in given}
        made = predictor(built, **options)
        state = opened(made, video)
        if direction in ("both", "both_independent"):
            found.update(upstream_logits(made, state if direction == "both" else opened(made, video), own))
        start = max(own) if direction == "backward" else min(own)
        if direction != "both":
            told = own[start][key]
            for each in told if isinstance(told, list) else [told]:
                tell(made, state, start, key, each)
        for index, _, logits in made.propagate_in_video(state, start, reverse=True):
            if index < start or direction == "backward":
                found[index, key] = logits[0, 0]
    return found


def engine(built: SAM2Base, video: Path, prompts: Prompts, direction: Direction, stride: int = 1) -> Logits:
    tracker = Tracker(Sam2Network(built, torch.float32), Sam2(stride=stride))
    results = run_passes(tracker, passes(direction, prompts, {}, LENGTH), images(video))
    return {
        (result.frame, key): upsample(track.logits, SIZE) for result in results for key, track in result.tracks.items()
    }


@pytest.mark.parametrize(
    ("backbone", "prompts", "direction", "stride"),
    [
        pytest.param("sam2.1_hiera_t", ONE, "backward", 1, id="backward"),
        pytest.param("sam2.1_hiera_t", ONE, "both", 1, id="both"),
        pytest.param("sam2_hiera_t", ONE, "both", 1, id="both-sam2.0", marks=pytest.mark.slow),
        pytest.param("sam2.1_hiera_t", ONE, "both_independent", 1, id="independent"),
        pytest.param("sam2.1_hiera_t", SEVERAL, "both", 1, id="both-several-objects", marks=pytest.mark.slow),
        pytest.param("sam2.1_hiera_t", CORRECTED, "both", 1, id="both-corrected", marks=pytest.mark.slow),
        pytest.param("sam2.1_hiera_t", AGAIN_STARTED, "both", 1, id="both-prompted-again", marks=pytest.mark.slow),
        pytest.param("sam2.1_hiera_t", ONE, "both", 3, id="both-every-third", marks=pytest.mark.slow),
    ],
)
def test_strong_weights(
    backbone: str, prompts: Prompts, direction: Direction, stride: int, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = fill(model(backbone, 128))
    with torch.inference_mode():
        ours = engine(built, video, prompts, direction, stride)
        monkeypatch.setattr(torch, "bfloat16", torch.float32)  # upstream names the storage type in its code
        theirs = upstream(built, video, prompts, direction, memory_temporal_stride_for_eval=stride)
    assert min(float(logits.std()) for logits in theirs.values()) > 0.5
    compare(theirs, ours)


def test_the_second_pass_reads_the_first(video: Path) -> None:
    """What tells the two readings apart is more than what tells the engine from sam2."""
    built = fill(model("sam2.1_hiera_t", 128))
    with torch.inference_mode():
        both, independent = (engine(built, video, ONE, direction) for direction in ("both", "both_independent"))
    assert both.keys() == independent.keys() == {(index, 1) for index in range(LENGTH)}
    apart = {index: float((both[index, 1] - independent[index, 1]).abs().max()) for index in range(LENGTH)}
    assert all(apart[index] == 0 for index in range(5, LENGTH))
    assert min(apart[index] for index in range(5)) > 0.01
