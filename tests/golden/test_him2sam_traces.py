"""HiM2SAM's memory, filter and refinement, decision by decision, against traces of the published code."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from framework.ops.rle import contour
from framework.tracker import Tracker
from framework.types import upsample
from motion.components.densities import point_density
from motion.components.point_refinement import PointRefinement
from motion.components.point_trackers import CoTracker3, PointTracker, PointTracks
from motion.hierarchical import Hierarchical
from motion.kalman import Kalman
from policies.components.distractor_tests import BoxTest, ContourTest, DistractorTest
from policies.components.mask_sizes import relative_size
from policies.components.regions import Region, distractor_regions, foreground
from policies.him2sam import Him2Sam
from policies.samurai import Samurai
from tests.traces import Replayed, Trace, check_encodings, check_filter, check_read, preset, replay, scripted, traces


@dataclass
class ScriptedPoints(PointTracker):
    """Answers each call as recorded and checks what was asked; says nothing where the trace has no answers."""

    trace: Trace
    answered: list[PointTracks] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.left: Iterator[int] = iter(np.flatnonzero(self.trace["rv_status"] == SCORED))

    def track(self, clip, queries):
        call = next(self.left, None)
        if call is None:
            return PointTracks(np.zeros((len(clip), len(queries), 2)), np.zeros((len(clip), len(queries)), dtype=bool))
        np.testing.assert_array_equal(queries, self.trace["rv_query"][call, :, 1:])
        assert not self.trace["rv_query"][call, :, 0].any()
        assert len(clip) == int((self.trace["rv_window"][call] >= 0).sum())
        visible = np.unpackbits(self.trace["rv_vis"][call], axis=-1)[:, : len(queries)].astype(bool)
        self.answered.append(
            PointTracks(self.trace["rv_tracks"][call, : len(clip)].astype(float), visible[: len(clip)])
        )
        return self.answered[-1]


@dataclass(frozen=True)
class Again(PointTracker):
    """The same trails for a shorter clip."""

    trails: PointTracks

    def track(self, clip, queries):
        return PointTracks(self.trails.positions[: len(clip)], self.trails.visible[: len(clip)])


@dataclass(frozen=True, slots=True)
class Call:
    """One refinement."""

    area: int
    """Of the union of the hypotheses, on the network grid."""
    scores: tuple[tuple[float, ...], ...]
    """On each frame of the clip, newest first; those on the oldest count. One for all if no points were tracked."""
    landed: list[np.ndarray]
    """Visible points of each hypothesis on the oldest frame."""
    bandwidth: int


@dataclass(frozen=True)
class LoggedRefinement(PointRefinement):
    """Keeps what it was asked and what was answered."""

    log: list[Call] = field(default_factory=list)

    def scores(self, logits, image, past):
        points, landed, bandwidths = self.points, [], set()

        def density(at, bandwidth, grid):
            landed.append(at)
            bandwidths.add(bandwidth)
            return point_density(at, bandwidth, grid)

        known = len(points.answered)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("motion.components.point_refinement.point_density", density)
            result = super().scores(logits, image, past)
        each = [result]
        if len(points.answered) > known:
            again = PointRefinement(Again(points.answered[-1]), dice_share=self.dice_share, quirks=True)
            shorter = (replace(again, window=n).scores(logits, image, past) for n in range(1, len(past)))
            each = [*shorter, result]
        union = (upsample(logits, tuple(image.shape[-2:])) > 0).any(dim=0)
        self.log.append(Call(int(union.sum()), tuple(each), landed, max(bandwidths, default=-1)))
        return result


SCORED, SMALL, THIN, STUBBED = range(4)
"""Status of a recorded refinement: scored, union or eroded union too small, answered with zeros."""


def check_refinements(trace: Trace, log: list[Call], tracked: int) -> None:
    """Unions, what points belong to, bandwidths, and scores on every frame of the clip."""
    assert tracked == int((trace["rv_status"] == SCORED).sum())
    for call, ours in enumerate(log):
        status, window = int(trace["rv_status"][call]), trace["rv_window"][call]
        assert ours.area == int(trace["rv_union_area"][call]), f"call {call}"
        np.testing.assert_allclose(ours.scores[-1], trace["rv_scores"][call], atol=1e-3)
        assert status != SMALL or ours.area < 100
        if status != SCORED:
            assert not any(ours.scores[-1]) and (status == STUBBED or not ours.landed)
            continue
        frames = window[window >= 0].tolist()
        assert frames == [int(trace["rv_frame"][call]) - 1 - ago for ago in range(len(ours.scores))]
        np.testing.assert_allclose(np.transpose(ours.scores), trace["rv_scores_all"][call, :, : len(frames)], atol=1e-3)
        assert ours.bandwidth == int(trace["rv_bw"][call])
        oldest = len(frames) - 1
        seen = np.unpackbits(trace["rv_vis"][call, oldest])[: len(trace["rv_mapping"][call])].astype(bool)
        for landed, member in zip(ours.landed, trace["rv_mapping"][call].T.astype(bool), strict=True):
            np.testing.assert_array_equal(landed, trace["rv_tracks"][call, oldest][member & seen].astype(float))


def check_admission(trace: Trace, frame: int, step: Replayed, sizes: list[int], test: DistractorTest | None) -> None:
    """Relative size, and how far the distractors' contours reach from the chosen one's where that was asked."""
    where, grid = f"frame {frame}", step.network.input_size
    ratio = relative_size(sizes)
    if not np.isnan(trace["size_ratio"][frame]):
        assert (-1 if ratio is None else ratio) == pytest.approx(float(trace["size_ratio"][frame])), where
    furthest = float(trace["hausdorff_max"][frame])
    if np.isnan(furthest) or not isinstance(test, ContourTest):
        assert np.isnan(furthest)
        return
    assert ratio is not None and 0.75 <= ratio <= 1.25 and step.track.scores.iou > 0.8, where
    logits, choice = step.track.candidates.logits[0].numpy(), step.track.choice
    chosen = foreground(logits[choice], grid)
    own = KDTree(points(chosen))
    reach = [own.query(points(distractor))[0].max() for distractor in distractor_regions(logits, choice, chosen)]
    assert max(reach, default=0.0) == pytest.approx(furthest, abs=1e-3), where


def points(region: Region) -> np.ndarray:
    """Row and column of every pixel of its contour."""
    spans = contour(region.rle, *region.size)
    return np.array([(row, column) for row, start, end in spans for column in range(start, end)])


def memory(config) -> Him2Sam | Samurai:
    """The policy that a published file asks for."""
    thresholds = {
        "min_iou": config["memory_bank_iou_threshold"],
        "min_presence": config["memory_bank_obj_score_threshold"],
    }
    if not config["rvcot_mem_selection"]:
        return Samurai(min_motion=None, quirks=True, delayed=True, **thresholds)
    contour = ContourTest(
        distance=config["rvcot_mem_sel_hsf_thred_ratio"],
        lead=config["rvcot_siou_ratio_threshold"],
        min_motion=config["rvcot_ious_threshold"],
    )
    overlap = BoxTest(max_overlap=config["rvcot_mem_sel_intioutred"], quirks=True)
    return Him2Sam(
        distractor_test={"hsdf_dist": contour, "default": overlap}.get(config["rvcot_mem_selection_method"]),
        long=config["rvcot_mem_long_len"],
        interval=config["rvcot_mem_sel_intv"],
        stride=config["rvcot_mem_sel_short_intv"],
        quirks=True,
        **thresholds,
    )


@pytest.mark.parametrize("path", traces("him2sam"), ids=lambda path: path.stem)
def test_trace(path: Path) -> None:
    trace = Trace(path)
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

    refined, admitted, sizes, old = [], [], [], tracker.motion.init().linear
    for step in replay(trace, tracker, int(trace["T"])):
        frame, where = step.frame, f"frame {step.frame}"
        assert int(step.track.mask(network.video_size).sum()) == int(trace["area_video"][frame]), where
        if frame == 0:
            continue
        check_read(trace, step.asked[0], network, frame)
        assert step.track.choice == int(trace["chosen"][frame]), where
        assert step.track.scores.area == int(trace["area_low"][frame]), where
        assert step.track.scores.iou == pytest.approx(float(trace["best_iou"][frame]), abs=1e-7), where
        warming = int(trace["kf_stage"][frame]) == 2
        followed = int(step.track.candidates.iou[0].argmax()) if warming else step.track.choice
        check_filter(trace, frame, old, step.motion.linear, followed, tracker.motion.linear)
        old = step.motion.linear
        sizes.append(int(step.track.mask(network.input_size).sum()))
        assert int(trace["area_high"][frame]) in (sizes[-1], -1), where
        check_admission(trace, frame, step, sizes, getattr(policy, "distractor_test", None))
        refined += [frame] * (len(refinement.log) - len(refined))
        if isinstance(policy, Him2Sam) and step.memory.long and step.memory.long[-1].frame == frame:
            admitted.append(frame)
    assert refined == trace["rv_frame"].tolist()
    assert admitted == trace["long_added"].tolist()
    check_refinements(trace, refinement.log, len(refinement.points.answered))
    check_encodings(trace, network)
    points = {"rv_query", "rv_mapping", "rv_window", "rv_tracks", "rv_vis", "rv_bw", "rv_scores_all"}
    assert trace.unread <= ({"conf"} | points if STUBBED in trace["rv_status"] else set())
