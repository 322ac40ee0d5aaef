"""DAM4SAM's memory, decision by decision, against traces of the published code."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framework.tracker import Tracker
from framework.types import ANCHOR, Size, Track
from policies.components.mask_sizes import relative_size
from policies.components.regions import distractor_regions, foreground
from policies.dam4sam import Dam4Sam
from tests.traces import Trace, check_encodings, check_read, preset, replay, scripted, traces


def overlaps(track: Track, size: Size) -> list[float]:
    """Of the chosen mask's box with the one around it and the largest component that each other hypothesis adds."""
    logits = track.candidates.logits[0].numpy()
    chosen = foreground(logits[track.choice], size)
    joint = [
        chosen.corners.joined(distractor.corners).area
        for distractor in distractor_regions(logits, track.choice, chosen)
    ]
    return [chosen.corners.area / area if area else 1.0 for area in joint]


@pytest.mark.parametrize("path", traces("dam4sam"), ids=lambda path: path.stem)
def test_trace(path: Path) -> None:
    trace = Trace(path)
    config = json.loads(str(trace["cfg"]))
    network = scripted(trace)
    policy = Dam4Sam(
        interval=config["memory_temporal_stride_for_eval"], anchors=config["max_cond_frames_in_attn"], quirks=True
    )
    # Trace 008 asks for hole filling, but its recorded areas and encodings are those of unfilled masks.
    tracker = Tracker(network, policy)
    published = preset("dam4sam_published", network)
    assert replace(published, fill_hole_area=0, anchor_corrections=False) == tracker

    admitted, last = [], None
    for step in replay(trace, tracker, None):
        frame, where = step.frame, f"frame {step.frame}"
        if frame == 0:
            continue
        assert step.memory.sizes[-1] == int(trace["area_video"][frame]), where
        check_read(trace, step.asked[0], network, frame)
        assert step.track.choice == int(trace["chosen"][frame]), where
        assert step.track.scores.area == int(trace["n_pixels_pos"][frame]), where
        assert step.track.scores.area == int(trace["area_low"][frame]), where
        anchors = [read for read, slot in step.asked[0].spatial if slot == ANCHOR]
        assert anchors == [read for read in trace["drm_selected"][frame].tolist() if read >= 0], where
        ratio = relative_size(step.memory.sizes) or -1
        assert ratio == pytest.approx(float(trace["size_ratio"][frame])), where
        reliable = step.track.scores.iou > 0.8 and 0.8 <= ratio <= 1.2 and (last is None or frame - last > 5)
        found = overlaps(step.track, network.video_size) if reliable else []
        for ours, key in ((found, "alt_iou"), ([min(found)] if found else [], "alt_iou_min")):
            recorded = trace[key][frame]
            assert ours == pytest.approx(recorded[~np.isnan(recorded)].tolist()), where
        assert (step.memory.admitted == frame) == (min(found, default=1.0) <= 0.7), where
        last = step.memory.admitted
        if step.memory.admitted == frame:
            admitted.append(frame)
    assert admitted == trace["drm_added"].tolist()
    check_encodings(trace, network)
    assert not trace.unread
