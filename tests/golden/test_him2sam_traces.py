"""HiM2SAM's memory, filter and refinement, decision by decision, against traces of the published code."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from framework.tracker import Tracker
from motion.hierarchical import Hierarchical
from motion.kalman import Kalman
from motion.points import CoTracker3, PointTracker, Trails
from motion.refinement import PointRefinement
from policies.distinction import BoxOverlap, ContourDistance
from policies.him2sam import Delayed, Him2Sam
from tests.traces import Trace, check_encodings, check_read, load, preset, replay, scripted, traces


@dataclass
class ScriptedPoints(PointTracker):
    """Answers each call as recorded and checks what was asked; says nothing where the trace has no answers."""

    trace: Trace
    calls: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        recorded = "rv_status" in self.trace and "rv_query" in self.trace
        self.left: Iterator[int] = iter(np.flatnonzero(self.trace["rv_status"] == 0) if recorded else ())

    def track(self, clip, queries):
        call = next(self.left, None)
        if call is None:
            return Trails(np.zeros((len(clip), len(queries), 2)), np.zeros((len(clip), len(queries)), dtype=bool))
        self.calls.append(int(call))
        np.testing.assert_array_equal(queries, self.trace["rv_query"][call, :, 1:])
        assert len(clip) == int((self.trace["rv_window"][call] >= 0).sum())
        visible = np.unpackbits(self.trace["rv_vis"][call], axis=-1)[:, : len(queries)].astype(bool)
        return Trails(self.trace["rv_tracks"][call, : len(clip)].astype(float), visible[: len(clip)])


@dataclass(frozen=True)
class LoggedRefinement(PointRefinement):
    """Keeps what was answered."""

    log: list[tuple[float, ...]] = field(default_factory=list)

    def scores(self, logits, image, past):
        result = super().scores(logits, image, past)
        self.log.append(result)
        return result


def memory(config) -> Him2Sam | Delayed:
    """The policy that a published file asks for."""
    thresholds = {
        "min_iou": config["memory_bank_iou_threshold"],
        "min_presence": config["memory_bank_obj_score_threshold"],
    }
    if not config["rvcot_mem_selection"]:
        return Delayed(**thresholds)
    contour = ContourDistance(
        distance=config["rvcot_mem_sel_hsf_thred_ratio"],
        lead=config["rvcot_siou_ratio_threshold"],
        min_motion=config["rvcot_ious_threshold"],
    )
    overlap = BoxOverlap(max_overlap=config["rvcot_mem_sel_intioutred"], quirks=True)
    return Him2Sam(
        rule={"hsdf_dist": contour, "default": overlap}.get(config["rvcot_mem_selection_method"]),
        long=config["rvcot_mem_long_len"],
        interval=config["rvcot_mem_sel_intv"],
        stride=config["rvcot_mem_sel_short_intv"],
        quirks=True,
        **thresholds,
    )


@pytest.mark.parametrize("path", traces("him2sam"), ids=lambda path: path.stem)
def test_trace(path: Path) -> None:
    trace = load(path)
    config = json.loads(str(trace["cfg"]))
    network = scripted(trace)
    refinement = LoggedRefinement(
        ScriptedPoints(trace),
        window=config["rvcot_frame_far"],
        dice_share=config["rvcot_predict_iouweight"],
        average=config["rvcot_iou_aggregation_method"] == "mean",
        quirks=True,
    )
    motion = Hierarchical(
        Kalman(config["kf_score_weight"], config["stable_frames_threshold"], config["stable_ious_threshold"], True),
        refinement,
        weight=config["rvcot_weight"],
        doubt=config["rvcot_ious_threshold"],
        quirks=True,
    )
    policy = memory(config)
    threshold = float(config["min_obj_score_logits"])
    tracker = Tracker(network, policy, motion, presence_threshold=threshold)
    if int(trace["refinement"]):
        data_set, size = str(trace["conf"]).split("/sam2.1_hiera_")
        name = "him2sam_published_lasotext" if data_set == "lasotext" else f"him2sam_published_{data_set}_{size}"
        published = preset(name, network)
        assert published.policy == policy
        assert isinstance(published.motion.refinement.points, CoTracker3)
        recorded = LoggedRefinement(
            refinement.points, log=refinement.log, dice_share=refinement.dice_share, quirks=True
        )
        assert replace(published.motion, refinement=recorded) == motion
        assert published.motion.refinement.dice_share == refinement.dice_share
        assert replace(published, fill_hole_area=0, motion=motion) == tracker

    refined, admitted = [], []
    for step in replay(trace, tracker, int(trace["T"])):
        frame, where = step.frame, f"frame {step.frame}"
        assert int(step.track.mask(network.video_size).sum()) == int(trace["area_video"][frame]), where
        if frame == 0:
            continue
        check_read(trace, step.asked[0], network, frame)
        assert step.track.choice == int(trace["chosen"][frame]), where
        assert step.track.scores.area == int(trace["area_low"][frame]), where
        assert step.track.scores.iou == pytest.approx(float(trace["best_iou"][frame]), abs=1e-7), where
        linear = step.motion.linear
        assert linear.stable == int(trace["stable_frames"][frame]), where
        np.testing.assert_allclose(linear.belief.mean, trace["kf_mean"][frame], atol=1e-6, err_msg=where)
        covariance = trace["kf_cov"][frame]
        np.testing.assert_allclose(linear.belief.covariance, covariance, rtol=1e-6, atol=1e-6, err_msg=where)
        refined += [frame] * (len(refinement.log) - len(refined))
        if isinstance(policy, Him2Sam) and step.memory.long and step.memory.long[-1].frame == frame:
            admitted.append(frame)
    assert refined == trace["rv_frame"].tolist()
    assert admitted == trace["long_added"].tolist()
    np.testing.assert_allclose(refinement.log, trace["rv_scores"].reshape(len(refined), 3), atol=1e-3)
    check_encodings(trace, network)
