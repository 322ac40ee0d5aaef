"""SAM 3's memory selection, decision by decision, against traces of the published tracker."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from framework.interfaces import Wrapped
from framework.tracker import Tracker
from framework.types import Entry, Outcome, Query, Read
from policies.components.gates import visible_iou
from policies.sam2 import Sam2
from policies.sam3 import Sam3, Sam3State
from tests.traces import Trace, check_encodings, check_read, first_prompt, preset, scripted, traces


@dataclass(frozen=True)
class Noted(Wrapped[Sam3State]):
    """Notes the list that each read was made of, and each score."""

    policy: Sam3
    listed: dict[int, list[int]] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)

    def read(self, state: Sam3State, query: Query) -> Read:
        frames = [None if entry is None else entry.frame for entry in self.policy.listed(state, query)]
        self.listed[query.frame] = [query.frame - 1 if frame is None else frame for frame in frames]
        return super().read(state, query)

    def write(self, state: Sam3State, entry: Entry, outcome: Outcome) -> Sam3State:
        if not entry.scores.prompted:
            self.scores[entry.frame] = visible_iou(outcome)
        return super().write(state, entry, outcome)


def policy_of(config: dict[str, Any], backwards: bool) -> Sam2 | Sam3:
    """As configured. Frames of a reversed video are counted from its end, where none is left out by its number."""
    stride, anchors = config["memory_temporal_stride_for_eval"], config["max_cond_frames_in_attn"]
    if not config["use_memory_selection"]:
        return Sam2(stride=stride, max_anchors=anchors)
    return Sam3(
        stride=stride,
        max_anchors=anchors,
        threshold=config["mf_threshold"],
        quirks=True,
        first_frame=True if backwards else None,
    )


@pytest.mark.parametrize("path", traces("sam3"), ids=lambda path: path.stem)
def test_trace(path: Path) -> None:
    trace = Trace(path)
    length, backwards = int(trace["T"]), bool(trace["reverse"])
    policy = policy_of(json.loads(str(trace["cfg"])), backwards)
    network = scripted(trace, range(length)[::-1] if backwards else None)
    image, prompt = torch.zeros(3, *network.input_size), {1: first_prompt(trace)}
    noted = Noted(policy) if isinstance(policy, Sam3) else None
    tracker = Tracker(network, noted or policy, anchor_corrections=True)
    if policy == Sam3(quirks=True):
        assert Tracker(network, policy, anchor_corrections=True) == preset("sam3_published", network)

    def features(frame: int):
        return network.encode(image, network.source(frame), length)

    state, prompts, online = tracker.init(), trace["cond_frames"].tolist(), bool(trace["online"])
    for frame in () if online else prompts:
        state = tracker.absorb(state, features(frame), prompt)
    for frame in trace["order"].tolist():
        state, result = tracker.step(state, features(frame), prompt if online and frame in prompts else {})
        where, track = f"frame {frame}", result.tracks[1]
        assert int(track.mask(network.video_size).sum()) == int(trace["area_video"][frame]), where
        chosen = int(trace["chosen"][frame])
        listed = trace["listed"][frame]
        if chosen < 0:
            assert frame in prompts and frame not in network.asked, where
            assert np.isnan(trace["score"][frame]) and (listed < 0).all(), where
            continue
        (asked,) = network.asked[frame]
        check_read(trace, asked, network, frame)
        assert track.choice == chosen, where
        assert track.scores.area == int(trace["area_low"][frame]), where
        if noted is None:
            assert np.isnan(trace["score"][frame]) and (listed < 0).all(), where
            continue
        at = result.frame
        assert [network.source(each) for each in noted.listed[at]] == listed[listed >= 0].tolist(), where
        assert noted.scores[at] == float(trace["score"][frame]), where
    check_encodings(trace, network)
    assert not trace.unread
