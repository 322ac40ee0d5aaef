"""SAM2's memory, decision by decision, against traces of the published predictor."""

import json
from pathlib import Path

import pytest
import torch

from framework.tracker import Tracker
from policies.sam2 import Sam2
from tests.traces import Trace, check_encodings, check_read, first_prompt, scripted, traces


@pytest.mark.parametrize("path", traces("sam2"), ids=lambda path: path.stem)
def test_trace(path: Path) -> None:
    trace = Trace(path)
    config = json.loads(str(trace["cfg"]))
    limit = config.get("max_cond_frames_in_attn", -1)
    policy = Sam2(
        stride=config.get("memory_temporal_stride_for_eval", 1),
        max_anchors=None if limit < 0 else limit,
    )
    length, backwards = int(trace["T"]), bool(trace["reverse"])
    network = scripted(trace, range(length)[::-1] if backwards else None)
    image, prompt = torch.zeros(3, *network.input_size), {1: first_prompt(trace)}
    tracker = Tracker(network, policy)

    def features(frame: int):
        return network.encode(image, length - 1 - frame if backwards else frame, length)

    state = tracker.init()
    for frame in trace["cond_frames"].tolist():
        state = tracker.absorb(state, features(frame), prompt)
    for frame in trace["order"].tolist():
        state, result = tracker.step(state, features(frame))
        where, track = f"frame {frame}", result.tracks[1]
        assert int(track.mask(network.video_size).sum()) == int(trace["area_video"][frame]), where
        if int(trace["chosen"][frame]) < 0:
            assert frame in trace["cond_frames"] and frame not in network.asked, where
            continue
        (asked,) = network.asked[frame]
        check_read(trace, asked, network, frame)
        assert track.choice == int(trace["chosen"][frame]), where
        assert track.scores.area == int(trace["area_low"][frame]), where
    check_encodings(trace, network)
    assert not trace.unread
