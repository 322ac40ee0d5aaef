"""Replays a golden trace through the tracker and compares what was attended to, frame by frame."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from numpy.typing import ArrayLike
from omegaconf import DictConfig

from framework.config.checks import build
from framework.interfaces import Network
from framework.ops.boxes import EMPTY_BOX, box_iou
from framework.tracker import State, Tracker
from framework.types import ANCHOR, Prompt, Track
from motion.components.box_filter import BoxFilter
from motion.components.point_trackers import LucasKanade
from motion.hierarchical import Hierarchical
from motion.kalman import Kalman, KalmanState
from tests.fakes.scripted import Asked, Script, ScriptedMemory, ScriptedNetwork

ASSETS = Path(__file__).parent / "assets/traces"

INFORMATIVE = {"policy", "cfg", "seed", "regime"}
"""Records that nothing can be compared with."""


class Trace(Mapping[str, np.ndarray]):
    """The records of a golden trace; it knows which of them nobody has looked at."""

    def __init__(self, path: Path) -> None:
        self._records = dict(np.load(path))
        self.unread = set(self._records) - INFORMATIVE

    def __getitem__(self, key: str) -> np.ndarray:
        self.unread.discard(key)
        return self._records[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: object) -> bool:
        return key in self._records


def traces(method: str) -> list[Path]:
    return sorted((ASSETS / method).glob("*.npz"))


@dataclass(frozen=True)
class Replayed:
    """One frame of a replay."""

    frame: int
    state: State
    track: Track
    network: ScriptedNetwork

    @property
    def asked(self) -> list[Asked]:
        """The rows of this frame; none on a prompted one."""
        return self.network.asked.get(self.frame, [])

    @property
    def motion(self) -> Any:
        """State of the motion model."""
        return self.state.objects[1][0].motion

    @property
    def memory(self) -> Any:
        """State of the memory policy."""
        return self.state.objects[1][0].memory


def scripted(trace: Trace, order: Sequence[int] | None = None) -> ScriptedNetwork:
    side = int(trace["image_size"])
    height, width = (int(value) for value in trace["HW"])
    return ScriptedNetwork(Script.of_trace(trace), (side, side), (height, width), order)


def first_prompt(trace: Trace) -> Prompt:
    """The mask prompt of frame 0."""
    height, width = (int(value) for value in trace["HW"])
    return Prompt(mask=np.unpackbits(trace["init_mask"])[: height * width].reshape(height, width).astype(bool))


def preset(method: str, network: Network) -> Tracker:
    """The tracker of `conf/method/<method>.yaml`."""
    GlobalHydra.instance().clear()
    with initialize_config_module(config_module="conf", version_base="1.3"):
        config: DictConfig = compose("evaluate", overrides=[f"method={method}"])
    parts = {group: build(config[group]) for group in ("policy", "motion", "selector")}
    return build(config.tracker)(network=network, **parts)


def with_own_points(method: Tracker) -> Tracker:
    """Published point trackers have code and weights of their own, which are elsewhere."""
    if not isinstance(method.motion, Hierarchical):
        return method
    refinement = replace(method.motion.refinement, points=LucasKanade())
    return replace(method, motion=replace(method.motion, refinement=refinement))


def replay(trace: Trace, tracker: Tracker, length: int | None) -> Iterator[Replayed]:
    """Tracks the prompt of frame 0 through the whole script. `length` is what the network is told of the video."""
    network = tracker.network
    assert isinstance(network, ScriptedNetwork)
    image = torch.zeros(1).expand(3, *network.input_size)
    state = tracker.init()
    for frame in range(int(trace["T"])):
        prompts = {1: first_prompt(trace)} if frame == 0 else {}
        state, result = tracker.step(state, network.encode(image, frame, length), prompts)
        yield Replayed(frame, state, result.tracks[1], network)


def row(trace: Trace, key: str, *at: int) -> tuple[float, ...]:
    """A padded row of a trace; what is padding shows in its column of frames."""
    frames = trace["mem_frame" if key.startswith("mem") else "ptr_frame"][at]
    return tuple(trace[key][at][frames >= 0].tolist())


def check_read(trace: Trace, asked: Asked, network: ScriptedNetwork, *at: int) -> None:
    """Spatial memories, their slots and encodings, pointers, their distances and span: exactly the trace's."""
    where = f"frame {at}"
    assert tuple(frame for frame, _ in asked.spatial) == row(trace, "mem_frame", *at), where
    slots = tuple(6 if slot == ANCHOR else slot for _, slot in asked.spatial)
    assert slots == row(trace, "mem_tpos", *at), where
    assert tuple(int(memory.no_object) for memory in asked.memories) == row(trace, "mem_noobj", *at), where
    again = tuple(before(network, memory) for memory in asked.memories)
    branched = "mem_branch" in trace
    assert (tuple(0 for _ in again) if branched else again) == row(trace, "mem_ver", *at), where
    assert not branched or again == row(trace, "mem_branch", *at), where
    assert tuple(frame for frame, _ in asked.pointers) == row(trace, "ptr_frame", *at), where
    assert tuple(ago for _, ago in asked.pointers) == row(trace, "ptr_dist", *at), where
    assert asked.span == int(trace["ptr_tmax"][at[0]]), where
    assert [ago / asked.span for _, ago in asked.pointers] == pytest.approx(row(trace, "ptr_pos", *at)), where
    pairs = zip(row(trace, "ptr_hyp", *at), row(trace, "ptr_absent", *at), strict=True)
    assert asked.hypotheses == tuple(-1 if absent else hypothesis for hypothesis, absent in pairs), where


def before(network: ScriptedNetwork, memory: ScriptedMemory) -> int:
    """How many memories of the same frame were encoded earlier: its branch or, where there is one, its version."""
    return [other.frame for other in network.encoded[: memory.order]].count(memory.frame)


def check_encodings(trace: Trace, network: ScriptedNetwork) -> None:
    """Memory encoder calls in order, and the masks they were given."""
    branched = "mem_branch" in trace
    calls = []
    for memory in network.encoded:
        again = before(network, memory)
        branch, version = (again, 0) if branched else (0, again)
        calls.append([network.source(memory.frame), branch, version, int(memory.binarised), memory.pixels])
    assert calls == trace["enc_log"].tolist()
    np.testing.assert_allclose([memory.mean for memory in network.encoded], trace["enc_mean"], atol=1e-4)


def check_filter(trace: Trace, frame: int, old: KalmanState, new: KalmanState, followed: int, model: Kalman) -> None:
    """Stage, prediction, hypotheses' boxes and overlaps, measurement and belief after the frame."""
    where, nothing = f"frame {frame}", [np.nan] * 4
    stage = 3 if old.stable >= model.stable_frames else 2 if model.follows(old) else 1
    assert stage == int(trace["kf_stage"][frame]), where
    assert (stage > 1 and new.stable > 0) == bool(trace["kf_updated"][frame]), where
    assert new.stable == int(trace["stable_frames"][frame]), where
    predicted = old.belief.predict() if stage > 1 and old.belief else None
    close(predicted.mean if predicted else [np.nan] * 8, trace["kf_pred_mean"][frame], where)
    close(predicted.box() if predicted else nothing, trace["kf_pred_xyxy"][frame], where)
    scored = predicted is not None and stage == 3
    overlaps = [box_iou(predicted.box(), box) for box in new.boxes] if predicted and scored else [np.nan] * 3
    close(overlaps, trace["kf_ious"][frame], where)
    close(new.boxes if scored else [[-1.0] * 4] * 3, trace["hyp_boxes"][frame], where)
    measured = BoxFilter.start(new.boxes[followed] or EMPTY_BOX).mean[:4] if new.stable > 0 else nothing
    close(measured, trace["kf_meas"][frame], where)
    assert new.belief is not None
    close(new.belief.mean, trace["kf_mean"][frame], where)
    close(new.belief.covariance, trace["kf_cov"][frame], where)


def close(ours: ArrayLike, theirs: np.ndarray, where: str) -> None:
    """Equal to 1e-6, absolutely or relatively; what is missing is missing in both."""
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6, err_msg=where)
