"""What the benchmark counts; times are for people to read."""

import pytest
import torch

import framework.diagnostics.components as measured
from framework.data.procedural.dataset import Procedural
from framework.diagnostics.components import components, locksteps
from framework.diagnostics.decisions import decisions, in_the_loop
from framework.networks.micro import network
from framework.tracker import Tracker
from framework.types import Frame
from policies.dam4sam import Dam4Sam
from policies.keep_first import KeepFirst
from policies.sam2 import Sam2


def test_components_hold_the_whole_network() -> None:
    tiny = network("random")
    with torch.inference_mode():
        costs = {cost.component: cost for cost in components(tiny, repeats=1)}
    assert list(costs) == ["image encoder", "memory attention", "mask decoder", "memory encoder"]
    counted = sum(cost.parameters for cost in costs.values())
    every = sum(parameter.numel() for parameter in tiny.model.parameters())
    assert 0.99 * every < counted <= every
    # Attention over seven memories: 2 layers of projections, scores and values, two operations a multiply-add.
    tokens, keys, width = 256, 7 * 256 + 16, 64
    crossed = 2 * 2 * (2 * tokens * keys * width + 2 * keys * width * width + 2 * tokens * width * width)
    assert costs["memory attention"].gigaflops > crossed / 1e9
    assert all(cost.milliseconds > 0 and cost.gigaflops > 0 for cost in costs.values())


def test_the_peak_is_operations_over_time(monkeypatch) -> None:
    """Two operations a multiply-add, in the type that the network computes in."""
    asked = []

    def milliseconds(run) -> float:
        asked.append(run())
        return 4.0

    monkeypatch.setattr(measured, "milliseconds", milliseconds)
    peak = measured.matrix_peak(network("random", dtype="bfloat16"), repeats=2, side=64)
    assert peak == pytest.approx(2 * 64**3 / 1e9 / 0.004)
    assert measured.Cost("image encoder", 1, gigaflops=3.0, milliseconds=20.0).speed == pytest.approx(150.0)
    assert [(product.shape, product.dtype) for product in asked] == [((64, 64), torch.bfloat16)] * 2


def test_lockstep_lines_count_rows() -> None:
    video, tiny = Procedural(split="val", level="calm", length=4).sequence(0), network("random")
    frames = [Frame(video.frame(t), video.prompts().get(t, {})) for t in range(4)]
    trackers = {name: Tracker(tiny, policy) for name, policy in (("a", Sam2()), ("b", Sam2()), ("c", KeepFirst()))}
    with torch.inference_mode():
        lines = locksteps(trackers, frames, repeats=1)
    assert [line.trackers for line in lines] == [1, 2, 3]
    assert [line.rows_asked for line in lines] == [4, 8, 12]
    # Frame 0 is one prompt for all; on frame 1 all read the prompt alone; then `c` goes its own way.
    assert [line.rows_computed for line in lines] == [4, 4, 6]
    # A memory in bfloat16 and a pointer of each frame, which identical trackers share.
    assert [line.held for line in lines[:2]] == [4 * (64 * 256 * 2 + 64 * 4)] * 2 and lines[2].held >= lines[1].held


def test_decisions_are_those_of_frames_that_pass_the_gate() -> None:
    admitted = []

    class Watched(Dam4Sam):
        def write(self, state, entry, outcome):
            after = super().write(state, entry, outcome)
            admitted.append(after.admitted == entry.frame)
            return after

    (cost,) = decisions(Watched(), repeats=1, shares=(0.06,))
    assert admitted[-5:] == [False, True, False, True, True], "calm, distractor, specks, scene, tie"
    assert not any(admitted[:-5])
    assert min(cost.calm, cost.distractor, cost.specks, cost.scene, cost.tie) > 0


def test_decisions_in_the_loop_are_those_of_the_tracker() -> None:
    asked = []

    class Watched(Sam2):
        def read(self, state, query):
            asked.append((query.frame, read := super().read(state, query)))
            return read

    video, tiny = Procedural(split="val", level="calm", length=4).sequence(0), network("random")
    frames = [Frame(video.frame(t), video.prompts().get(t, {})) for t in range(4)]
    with torch.inference_mode():
        assert in_the_loop(Tracker(tiny, Watched()), frames, repeats=2) > 0
    assert [frame for frame, _ in asked] == [1, 2, 3, 1, 2, 3]
    assert [len(read.spatial) for _, read in asked] == [1, 2, 3, 1, 2, 3]
