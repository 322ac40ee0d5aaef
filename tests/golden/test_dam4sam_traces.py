"""DAM4SAM's memory, decision by decision, against traces of the published code."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from framework.tracker import Tracker
from policies.dam4sam import Dam4Sam
from policies.regions import relative_size
from tests.traces import check_encodings, check_read, load, preset, replay, scripted, traces


@pytest.mark.parametrize("path", traces("dam4sam"), ids=lambda path: path.stem)
def test_trace(path: Path) -> None:
    trace = load(path)
    config = json.loads(str(trace["cfg"]))
    network = scripted(trace)
    policy = Dam4Sam(
        interval=config["memory_temporal_stride_for_eval"], anchors=config["max_cond_frames_in_attn"], quirks=True
    )
    # Trace 008 asks for hole filling, but its recorded areas and encodings are those of unfilled masks.
    tracker = Tracker(network, policy)
    published = preset("dam4sam_published", network)
    assert replace(published, fill_hole_area=0, anchor_corrections=False) == tracker

    admitted = []
    for step in replay(trace, tracker, None):
        frame, where = step.frame, f"frame {step.frame}"
        if frame == 0:
            continue
        assert step.memory.sizes[-1] == int(trace["area_video"][frame]), where
        check_read(trace, step.asked[0], network, frame)
        assert step.track.choice == int(trace["chosen"][frame]), where
        assert step.track.scores.area == int(trace["n_pixels_pos"][frame]), where
        assert (relative_size(step.memory.sizes) or -1) == pytest.approx(float(trace["size_ratio"][frame])), where
        if step.memory.admitted == frame:
            admitted.append(frame)
    assert admitted == trace["drm_added"].tolist()
    check_encodings(trace, network)
