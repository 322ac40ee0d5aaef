"""The engine beside sam2's predictor in random scenarios.

Scenarios are drawn: objects and what prompts them (masks, boxes, points, clicks in turn), when they start and return,
corrections, removals, prompts absorbed in advance or taken as their frame comes, strides, numbers of anchors, sizes of
the video, SAM 2.0 and 2.1. `--scenarios` says how many.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sam2.modeling.sam2_base import SAM2Base

from framework.networks.build import model
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker, lockstep
from framework.types import Frame, Prompt, Size, upsample
from policies.sam2 import Sam2
from tests.deterministic_weights import fill, frame
from tests.golden.test_upstream_parity import Logits, tell_upstream
from tests.upstream import upstream_predictor

LONGEST, TOLERANCE = 10, 1e-3
"""Frames; logits, times their standard deviation where that is above 1 (a wrong engine is off by .04 and more)."""


@dataclass(frozen=True)
class Event:
    """What happens on one frame."""

    removed: frozenset[int] = frozenset()
    prompts: Mapping[int, list[Prompt]] = field(default_factory=dict)
    """Either all start afresh, or all correct."""


@dataclass(frozen=True)
class Scenario:
    network: str
    size: Size
    length: int
    absorbed: bool
    events: Mapping[int, Event]
    stride: int
    anchors: int | None
    anchor_corrections: bool
    binarise: bool

    def tracker(self) -> Tracker:
        return Tracker(
            Sam2Network(built(self.network), torch.float32, rows_at_once=1),
            Sam2(stride=self.stride, max_anchors=self.anchors),
            anchor_corrections=self.anchor_corrections,
            binarise_prompts=self.binarise,
        )


@cache
def built(name: str) -> SAM2Base:
    return fill(model(name, 64))


@st.composite
def prompts(draw: st.DrawFn, size: Size, refine: bool) -> Prompt:
    height, width = size
    x0, y0 = draw(st.integers(0, width - 14)), draw(st.integers(0, height - 14))
    x1, y1 = draw(st.integers(x0 + 8, width - 1)), draw(st.integers(y0 + 8, height - 1))
    kind = draw(st.sampled_from(["mask", "box", "points"]))
    if kind == "box":
        return Prompt(box=(float(x0), float(y0), float(x1), float(y1)), refine=refine)
    if kind == "mask":
        mask = np.zeros(size, dtype=bool)
        mask[y0:y1, x0:x1] = True
        return Prompt(mask=mask, refine=refine)
    outside = draw(st.integers(0, 2))
    points = [((x0 + x1) / 2, (y0 + y1) / 2), (float(x0), float(y1)), (float(x1), float(y0))][: 1 + outside]
    return Prompt(points=tuple(points), labels=(1, 0, 0)[: 1 + outside], refine=refine)


@st.composite
def turns(draw: st.DrawFn, size: Size, refine: bool) -> list[Prompt]:
    """One prompt, and at times clicks in turn."""
    first = draw(prompts(size, refine))
    later = [prompt for prompt in draw(st.lists(prompts(size, True), max_size=2)) if prompt.points]
    return [first, *later] if draw(st.booleans()) else [first]


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    size = draw(st.sampled_from([(96, 160), (64, 64), (70, 50)]))
    length, absorbed = draw(st.integers(4, LONGEST)), draw(st.booleans())
    keys = draw(st.permutations([1, 2, 3]))[: draw(st.integers(1, 3))]
    events = {0: Event(prompts={keys[0]: draw(turns(size, False))})}
    alive = {keys[0]}
    for index in range(1, length):
        what = draw(st.sampled_from(["nothing", "nothing", "start"] + ["correct", "remove"] * (not absorbed)))
        if what == "start":
            chosen = draw(st.lists(st.sampled_from(keys), min_size=1, unique=True))
            events[index] = Event(prompts={key: draw(turns(size, False)) for key in chosen})
        elif what == "correct":
            chosen = draw(st.lists(st.sampled_from(sorted(alive)), min_size=1, unique=True))
            events[index] = Event(prompts={key: draw(turns(size, True)) for key in chosen})
        elif what == "remove" and len(alive) > 1:
            gone = draw(st.sampled_from(sorted(alive)))
            again = {gone: draw(turns(size, False))} if draw(st.booleans()) else {}
            events[index] = Event(frozenset({gone}), again)
            alive -= {gone}
        alive |= events[index].prompts.keys() if index in events else set()
    return Scenario(
        draw(st.sampled_from(["sam2_hiera_t", "sam2.1_hiera_t"])),
        size,
        length,
        absorbed,
        events,
        stride=draw(st.integers(1, 3)),
        anchors=draw(st.sampled_from([None, 2, 3])),
        anchor_corrections=draw(st.booleans()),
        binarise=draw(st.booleans()),
    )


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Size, Path]:
    folders = {size: tmp_path_factory.mktemp(f"video{size[0]}") for size in ((96, 160), (64, 64), (70, 50))}
    for (height, width), folder in folders.items():
        for index in range(LONGEST):
            Image.fromarray(frame(index, 160)[:height, :width]).save(folder / f"{index:05d}.jpg", quality=95)
    return folders


def upstream(scenario: Scenario, video: Path) -> Logits:
    """What sam2's predictor says, (frame, object) -> logits at video size."""
    predictor = upstream_predictor(
        built(scenario.network),
        memory_temporal_stride_for_eval=scenario.stride,
        max_cond_frames_in_attn=scenario.anchors or -1,
        add_all_frames_to_correct_as_cond=scenario.anchor_corrections,
        binarize_mask_from_pts_for_mem_enc=scenario.binarise,
    )
    state = predictor.init_state(str(video))
    state["num_frames"] = scenario.length
    found: Logits = {}

    def propagate(first: int, last: int) -> None:
        for index, keys, logits in predictor.propagate_in_video(state, first, last - first):
            found.update({(index, key): logits[row, 0].clone() for row, key in enumerate(keys)})

    def tell(index: int, event: Event) -> None:
        for key, several in event.prompts.items():
            for prompt in several:
                tell_upstream(predictor, state, index, key, prompt)

    if scenario.absorbed:
        for index, event in scenario.events.items():
            tell(index, event)
        propagate(0, scenario.length - 1)
        return found
    starts = sorted(scenario.events)
    for start, stop in zip(starts, [*starts[1:], scenario.length], strict=True):
        event = scenario.events[start]
        for key in event.removed:
            predictor.remove_object(state, key, need_output=False)
        corrects = any(several[0].refine for several in event.prompts.values())
        tell(start, event)
        if corrects:  # the frame is tracked already; the predictor's own record has the corrected logits
            predictor.propagate_in_video_preflight(state)
            for key in event.prompts:
                record = state["output_dict_per_obj"][state["obj_id_to_idx"][key]]
                kind = "cond_frame_outputs" if scenario.anchor_corrections else "non_cond_frame_outputs"
                # A correction of a prompted frame stays a prompt.
                shown = record[kind].get(start) or record["cond_frame_outputs"][start]
                found[start, key] = upsample(shown["pred_masks"][0, 0], scenario.size)
        after = scenario.events.get(stop)
        tracked_too = after is not None and any(several[0].refine for several in after.prompts.values())
        first, last = start + corrects, stop if tracked_too else stop - 1
        if first <= last:
            propagate(first, last)
    return found


def frames(scenario: Scenario, video: Path) -> Iterator[Frame]:
    for index in range(scenario.length):
        image = np.asarray(Image.open(video / f"{index:05d}.jpg"))
        event = scenario.events.get(index, Event()) if not scenario.absorbed else Event()
        yield Frame(image, event.prompts, event.removed)


def engine(scenario: Scenario, video: Path) -> Logits:
    absorbed = {
        index: Frame(np.asarray(Image.open(video / f"{index:05d}.jpg")), event.prompts)
        for index, event in scenario.events.items()
        if scenario.absorbed
    }
    steps = lockstep({"": scenario.tracker()}, frames(scenario, video), scenario.length, absorbed)
    return {
        (step[""].frame, key): upsample(track.logits, scenario.size)
        for step in steps
        for key, track in step[""].tracks.items()
    }


def drawn(test: Any, strategy: st.SearchStrategy, count: int) -> None:
    """Runs a test of one value on so many draws, the same ones every time."""
    limits = settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    limits(given(strategy)(test))()


@pytest.mark.slow
def test_scenarios_are_upstreams(
    videos: Mapping[Size, Path], monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setattr(torch, "bfloat16", torch.float32)  # upstream names the storage type in its code

    def agree(scenario: Scenario) -> None:
        with torch.inference_mode():
            theirs, ours = upstream(scenario, videos[scenario.size]), engine(scenario, videos[scenario.size])
        assert theirs.keys() == ours.keys()
        spread = max(1.0, *(float(logits.std()) for logits in theirs.values()))
        worst = {at: float((ours[at] - theirs[at]).abs().max()) for at in theirs}
        assert max(worst.values()) < TOLERANCE * spread, sorted(worst.items(), key=lambda item: -item[1])[:5]

    drawn(agree, scenarios(), pytestconfig.getoption("--scenarios"))
