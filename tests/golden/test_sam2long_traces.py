"""SAM2Long's pathways and memory, decision by decision, against traces of the published code."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framework.tracker import Tracker
from policies.sam2long import Sam2Long
from policies.sam2long_beam import Beam
from tests.fakes.scripted import InPasses
from tests.traces import Trace, check_encodings, check_read, preset, replay, row, scripted, traces


def recorded(trace: Trace, what: str, frame: int, branch: int) -> list[float]:
    """Of the spatial memories, then of the pointers."""
    columns = [trace[f"{items}_{what}"][frame, branch] for items in ("frame", "ptr")]
    return np.concatenate([column[~np.isnan(column)] for column in columns]).tolist()


@pytest.mark.parametrize("path", traces("sam2long"), ids=lambda path: path.stem)
def test_trace(path: Path) -> None:
    trace = Trace(path)
    network = scripted(trace)
    width = int(trace["num_pathway"])
    tracker = Tracker(
        network,
        InPasses(Sam2Long(min_iou=float(trace["iou_thre"]), quirks=True)),
        selector=Beam(width=width, uncertainty=float(trace["uncertainty"])),
    )
    if (float(trace["iou_thre"]), float(trace["uncertainty"]), width) == (0.1, 2.0, 3):
        assert replace(preset("sam2long_published", network), policy=tracker.policy) == tracker
        assert preset("sam2long_published", network).policy == tracker.policy.inner

    nodes = {}
    for step in replay(trace, tracker, int(trace["T"])):
        frame, where = step.frame, f"frame {step.frame}"
        if frame == 0:
            continue
        asked = sorted(step.asked, key=lambda read: read.forward)
        assert len(asked) == int(trace["n_calls"][frame]), where
        for branch, read in enumerate(asked):
            check_read(trace, read, network, frame, branch)
            assert read.forwards == row(trace, "ptr_slot", frame, branch), where
            gain = recorded(trace, "weights", frame, branch)
            assert (read.gain or (1.0,) * len(gain)) == pytest.approx(gain, abs=1e-6), where
            assert read.presence == pytest.approx(recorded(trace, "scores", frame, branch)), where
        branches = step.state.objects[1]
        nodes[frame] = [branch.past[-1] for branch in branches]
        kept = int(trace["num_branches"][frame])
        assert len(branches) == width, where
        tracks = [branch.past[-1].track for branch in branches][:kept]
        assert [track.choice for track in tracks] == trace["topk_hyp"][frame, :kept].tolist(), where
        parents = [int(branch.memory.recent[-1].pointer[2]) for branch in branches][:kept]
        assert parents == trace["topk_parent"][frame, :kept].tolist(), where
        assert [branch.total for branch in branches] == pytest.approx(trace["acc_score"][frame].tolist(), abs=1e-12)
        assert [track.scores.iou for track in tracks] == pytest.approx(trace["topk_iou"][frame, :kept].tolist())
        assert [track.scores.presence for track in tracks] == pytest.approx(trace["topk_obj"][frame, :kept].tolist())
        assert [track.scores.area for track in tracks] == trace["area_low"][frame, :kept].tolist(), where
    check_encodings(trace, network)

    final = tracker.hindsight(step.state)[1]
    assert sorted(final) == list(range(int(trace["T"])))
    for frame in range(1, int(trace["T"])):
        assert final[frame].choice == int(trace["chosen"][frame]), f"frame {frame}"
        area = int(final[frame].mask(network.video_size).sum())
        assert area == int(trace["area_video_final"][frame]), f"frame {frame}"

    for branch, path in zip(branches, trace["mem_pick_last"].tolist(), strict=True):
        walked = {node.frame: node for node in branch.past if node.frame > 1}
        assert all(nodes[frame].index(node) == path[frame] for frame, node in walked.items())
    assert trace["final_branch"][1:].tolist() == trace["mem_pick_last"][0, 1:].tolist()
    assert not trace.unread
