"""Replays a golden trace through the tracker and compares what was attended to, frame by frame."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from framework.cli import build
from framework.tracker import State, Tracker
from framework.types import ANCHOR, Prompt, Track
from tests.scripted import Asked, Script, ScriptedNetwork

ASSETS = Path(__file__).parent / "assets/traces"

Trace = Mapping[str, np.ndarray]


def traces(method: str) -> list[Path]:
    return sorted((ASSETS / method).glob("*.npz"))


def load(path: Path) -> Trace:
    return dict(np.load(path))


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


def scripted(trace: Trace) -> ScriptedNetwork:
    side = int(trace["image_size"])
    height, width = (int(value) for value in trace["HW"])
    return ScriptedNetwork(Script.of_trace(trace), (side, side), (height, width))


def first_prompt(trace: Trace) -> Prompt:
    """The mask prompt of frame 0."""
    height, width = (int(value) for value in trace["HW"])
    return Prompt(mask=np.unpackbits(trace["init_mask"])[: height * width].reshape(height, width).astype(bool))


def preset(method: str, network: ScriptedNetwork) -> Tracker:
    """The tracker of `conf/method/<method>.yaml`."""
    GlobalHydra.instance().clear()
    with initialize_config_module(config_module="conf", version_base="1.3"):
        config: DictConfig = compose("evaluate", overrides=[f"method={method}"])
    parts = {group: build(config[group]) for group in ("policy", "motion", "selector")}
    return build(config.tracker)(network=network, **parts)


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


def row(trace: Trace, key: str, *at: int) -> tuple[int, ...]:
    """A padded row of a trace; what is padding shows in its column of frames."""
    frames = trace["mem_frame" if key.startswith("mem") else "ptr_frame"][at]
    return tuple(int(value) for value in trace[key][at][frames >= 0])


def check_read(trace: Trace, asked: Asked, network: ScriptedNetwork, *at: int) -> None:
    """Spatial memories, their slots and encodings, pointers, their distances and span: exactly the trace's."""
    where = f"frame {at}"
    assert tuple(frame for frame, _ in asked.spatial) == row(trace, "mem_frame", *at), where
    slots = tuple(6 if slot == ANCHOR else slot for _, slot in asked.spatial)
    assert slots == row(trace, "mem_tpos", *at), where
    assert tuple(int(memory.no_object) for memory in asked.memories) == row(trace, "mem_noobj", *at), where
    earlier = [[other.frame for other in network.encoded[: memory.order]] for memory in asked.memories]
    if "mem_branch" not in trace:
        versions = tuple(known.count(memory.frame) for known, memory in zip(earlier, asked.memories, strict=True))
        assert versions == row(trace, "mem_ver", *at), where
    assert tuple(frame for frame, _ in asked.pointers) == row(trace, "ptr_frame", *at), where
    assert tuple(ago for _, ago in asked.pointers) == row(trace, "ptr_dist", *at), where
    assert asked.span == int(trace["ptr_tmax"][at[0]]), where
    pairs = zip(row(trace, "ptr_hyp", *at), row(trace, "ptr_absent", *at), strict=True)
    assert asked.hypotheses == tuple(-1 if absent else hypothesis for hypothesis, absent in pairs), where


def check_encodings(trace: Trace, network: ScriptedNetwork) -> None:
    """Memory encoder calls in order, and the masks they were given."""
    calls = [(memory.frame, int(memory.binarised), memory.pixels) for memory in network.encoded]
    assert calls == [(int(frame), int(sharp), int(pixels)) for frame, _, _, sharp, pixels in trace["enc_log"]]
    np.testing.assert_allclose([memory.mean for memory in network.encoded], trace["enc_mean"], atol=1e-4)
