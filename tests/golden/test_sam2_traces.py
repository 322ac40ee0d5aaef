"""SAM2's memory, decision by decision, against traces of the published predictor."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from framework.tracker import Tracker, lockstep
from framework.types import ANCHOR, Frame, Prompt
from policies.sam2 import Sam2
from tests.scripted import PROMPT_HYPOTHESIS, Script, ScriptedNetwork

TRACES = sorted((Path(__file__).parents[1] / "assets/traces/sam2").glob("*.npz"))


def listed(trace, key, frame):
    """A padded row of a trace as a tuple; what padding is can be told from the frame column alone."""
    frames = trace["mem_frame" if key.startswith("mem") else "ptr_frame"][frame]
    return tuple(int(value) for value in trace[key][frame][frames >= 0])


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_trace(path: Path) -> None:
    trace = dict(np.load(path))
    config = json.loads(str(trace["cfg"]))
    limit = config.get("max_cond_frames_in_attn", -1)
    policy = Sam2(
        stride=config.get("memory_temporal_stride_for_eval", 1),
        max_anchors=None if limit < 0 else limit,
    )
    order = [int(frame) for frame in trace["order"]]
    height, width = (int(side) for side in trace["HW"])
    side = int(trace["image_size"])
    network = ScriptedNetwork(Script.of_trace(trace), (side, side), (height, width), order)
    mask = np.unpackbits(trace["init_mask"])[: height * width].reshape(height, width).astype(bool)
    image = torch.zeros(3, side, side)
    prompts = {order.index(int(frame)): Frame(image, {1: Prompt(mask=mask)}) for frame in trace["cond_frames"]}
    tracker = Tracker(network, policy)

    results = lockstep({"sam2": tracker}, [Frame(image)] * len(order), int(trace["T"]), absorbed=prompts)
    for frame, result in zip(order, (step["sam2"] for step in results), strict=True):
        where, track = f"frame {frame}", result.tracks[1]
        chosen = int(trace["chosen"][frame])
        assert int(track.mask((height, width)).sum()) == int(trace["area_video"][frame]), where
        if chosen < 0:
            assert frame in trace["cond_frames"] and frame not in network.asked, where
            continue
        (asked,) = network.asked[frame]
        assert track.choice == chosen and track.scores.area == int(trace["area_low"][frame]), where
        rows = tuple(slot if slot != ANCHOR else 6 for _, slot in asked.spatial)
        assert tuple(f for f, _ in asked.spatial) == listed(trace, "mem_frame", frame), where
        assert rows == listed(trace, "mem_tpos", frame), where
        assert tuple(int(m.no_object) for m in asked.memories) == listed(trace, "mem_noobj", frame), where
        assert tuple(f for f, _ in asked.pointers) == listed(trace, "ptr_frame", frame), where
        assert tuple(ago for _, ago in asked.pointers) == listed(trace, "ptr_dist", frame), where
        assert asked.span == int(trace["ptr_tmax"][frame]), where
        hypotheses = tuple(-1 if absent else hyp for hyp, absent in _pointers(trace, frame))
        assert asked.hypotheses == hypotheses, where

    calls = [(network.source(m.frame), int(m.binarised), m.pixels) for m in network.encoded]
    assert calls == [(int(f), int(b), int(n)) for f, _, _, b, n in trace["enc_log"]]
    np.testing.assert_allclose([m.mean for m in network.encoded], trace["enc_mean"], atol=1e-4)


def _pointers(trace, frame):
    pairs = zip(listed(trace, "ptr_hyp", frame), listed(trace, "ptr_absent", frame), strict=True)
    return [(PROMPT_HYPOTHESIS if hyp == PROMPT_HYPOTHESIS else hyp, absent) for hyp, absent in pairs]
