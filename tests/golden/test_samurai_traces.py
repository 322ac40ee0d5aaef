"""SAMURAI's memory and filter, decision by decision, against traces of the published code."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framework.tracker import Tracker
from motion.kalman import Kalman
from policies.samurai import Samurai
from tests.traces import Trace, check_encodings, check_filter, check_read, preset, replay, scripted, traces


@pytest.mark.parametrize("path", traces("samurai"), ids=lambda path: path.stem)
def test_trace(path: Path) -> None:
    trace = Trace(path)
    config = json.loads(str(trace["cfg"]))
    network = scripted(trace)
    tracker = Tracker(
        network,
        Samurai(
            min_iou=config["memory_bank_iou_threshold"],
            min_presence=config["memory_bank_obj_score_threshold"],
            min_motion=config["memory_bank_kf_score_threshold"],
            quirks=True,
        ),
        Kalman(
            weight=config["kf_score_weight"],
            stable_frames=config["stable_frames_threshold"],
            stable_iou=config["stable_ious_threshold"],
            quirks=True,
        ),
        presence_threshold=float(config["min_obj_score_logits"]),
    )
    assert float(trace["kf_weight"]) == config["kf_score_weight"]
    size = "l" if config["kf_score_weight"] == 0.15 else "t"
    assert replace(preset(f"samurai_published_{size}", network), fill_hole_area=0) == tracker

    old = tracker.motion.init()
    for step in replay(trace, tracker, int(trace["T"])):
        frame, where = step.frame, f"frame {step.frame}"
        assert int(step.track.mask(network.video_size).sum()) == int(trace["area_video"][frame]), where
        if frame == 0:
            continue
        check_read(trace, step.asked[0], network, frame)
        assert step.track.choice == int(trace["chosen"][frame]), where
        assert step.track.scores.area == int(trace["area_low"][frame]), where
        assert step.track.scores.iou == pytest.approx(float(trace["best_iou"][frame]), abs=1e-7), where
        score = float(trace["kf_score"][frame])
        assert step.track.scores.motion == (None if np.isnan(score) else pytest.approx(score, abs=1e-6)), where
        check_filter(trace, frame, old, step.motion, step.track.choice, tracker.motion)
        old = step.motion
    np.testing.assert_allclose(step.motion.belief.covariance, trace["kf_final_cov"], atol=1e-6)
    check_encodings(trace, network)
    assert not trace.unread
