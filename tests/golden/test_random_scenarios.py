"""The engine beside sam2's predictor in random scenarios.

Scenarios are drawn: moving pictures of any size, objects and what prompts them (masks with and without holes, boxes,
points, clicks in turn), when they start, go and return, corrections, prompts absorbed in advance or taken as their
frame comes, strides, numbers of anchors and pointers, exclusive objects, filled holes, objects that the network finds
absent, SAM 2.0 and 2.1. `--scenarios` says how many.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from PIL import Image
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from framework.diagnostics.deterministic_weights import OBJ_SCORE_BIAS, fill, frame
from framework.diagnostics.upstream import tell
from framework.masks import HOLE_LOGIT
from framework.networks.build import model
from framework.networks.predictor import predictor
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker
from framework.types import Prompt, Size, upsample
from policies.sam2 import Sam2

SHORTEST, LONGEST, SIDE = 4, 10, 160
"""Frames, frames, pixels of the longest picture."""
TOLERANCE = 1e-3
"""Logits, times their standard deviation where that is above 1 (a wrong engine is off by .04 and more)."""
OFTEN_ABSENT = 0.25
"""Bias of the object score with which a third of all frames has none; the weights' own has one everywhere."""
KINDS = {"absent", "holes", "overlaps", "ties", "removed", "none left", "absorbed", "corrected", "in turn", "cut"}
"""What some of a hundred scenarios must have."""
NETWORKS = ("sam2_hiera_t", "sam2.1_hiera_t")
Turns = Mapping[int, list[Prompt]]
"""Object -> its prompts on one frame."""

# ------------------------------------------------------------------------------------------------------- scenarios


@dataclass(frozen=True)
class Clip:
    """A moving picture."""

    size: Size
    length: int
    speed: int
    """Of what is seen; 0 stands still."""
    pan: tuple[int, int]
    """Pixels by which the camera goes right and down each frame."""
    cut: int
    """Frame from which the scene is another."""

    def image(self, index: int) -> np.ndarray:
        seen = frame(self.speed * index + (7 if index >= self.cut else 0), SIDE)
        right, down = self.pan
        return np.roll(seen, (-down * index, -right * index), (0, 1))[: self.size[0], : self.size[1]]

    def save(self, folder: Path) -> None:
        """As sam2's predictor reads it."""
        for index in range(self.length):
            Image.fromarray(self.image(index)).save(folder / f"{index:05d}.jpg", quality=95)


@dataclass(frozen=True)
class Event:
    """What happens on one frame, in this order."""

    absorbed: Mapping[int, Turns] = field(default_factory=dict)
    """By the later frame that the prompts are of."""
    removed: frozenset[int] = frozenset()
    prompts: Turns = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    network: str
    often_absent: bool
    clip: Clip
    events: Mapping[int, Event]
    policy: Sam2
    anchor_corrections: bool
    binarise: bool
    hole_area: int
    exclusive: bool

    def built(self) -> SAM2Base:
        return _built(self.network, self.often_absent)

    def tracker(self) -> Tracker:
        return Tracker(
            Sam2Network(self.built(), torch.float32, rows_at_once=1),
            self.policy,
            anchor_corrections=self.anchor_corrections,
            binarise_prompts=self.binarise,
            fill_hole_area=self.hole_area,
            exclusive=self.exclusive,
        )

    def options(self) -> dict[str, object]:
        """What sam2's builder sets for the same."""
        return {
            "memory_temporal_stride_for_eval": self.policy.stride,
            "max_cond_frames_in_attn": self.policy.max_anchors or -1,
            "max_obj_ptrs_in_encoder": self.policy.pointers + 1,
            "add_all_frames_to_correct_as_cond": self.anchor_corrections,
            "binarize_mask_from_pts_for_mem_enc": self.binarise,
            "fill_hole_area": self.hole_area,
            "non_overlap_masks": self.exclusive,
        }


@cache
def _built(name: str, often_absent: bool) -> SAM2Base:
    return fill(model(name, 64), {OBJ_SCORE_BIAS: OFTEN_ABSENT} if often_absent else None)


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    side = st.integers(24, SIDE)
    length = draw(st.integers(SHORTEST, LONGEST))
    return Clip(
        size=draw(st.one_of(st.sampled_from([(96, 160), (64, 64), (70, 50)]), st.tuples(side, side))),
        length=length,
        speed=draw(st.integers(0, 3)),
        pan=(draw(st.integers(-4, 4)), draw(st.integers(-4, 4))),
        cut=draw(st.integers(1, 2 * length)),
    )


@st.composite
def prompts(draw: st.DrawFn, size: Size, refine: bool, click: bool = False) -> Prompt:
    height, width = size
    x0, y0 = draw(st.integers(0, width - 14)), draw(st.integers(0, height - 14))
    x1, y1 = draw(st.integers(x0 + 8, width - 1)), draw(st.integers(y0 + 8, height - 1))
    outside = draw(st.integers(0, 2))
    points = (((x0 + x1) / 2, (y0 + y1) / 2), (float(x0), float(y1)), (float(x1), float(y0)))[: 1 + outside]
    labels = (1, 0, 0)[: 1 + outside]
    kind = "points" if click else draw(st.sampled_from(["mask", "box", "points", "both"]))
    if kind == "mask":
        return Prompt(mask=draw(masks(size, (x0, y0, x1, y1))), refine=refine)
    if kind == "points":
        return Prompt(points=points, labels=labels, refine=refine)
    box = (float(x0), float(y0), float(x1), float(y1))
    return Prompt(box=box, refine=refine) if kind == "box" else Prompt(None, box, points, labels, refine)


@st.composite
def masks(draw: st.DrawFn, size: Size, within: tuple[int, int, int, int]) -> np.ndarray:
    """A rectangle, at times with a hole, or so small that nothing is left of it at the network's size."""
    x0, y0, x1, y1 = within
    mask = np.zeros(size, dtype=bool)
    shape = draw(st.sampled_from(["full", "full", "hole", "dot"]))
    if shape == "dot":
        x1, y1 = x0 + 1, y0 + 1
    mask[y0:y1, x0:x1] = True
    if shape == "hole":
        third_x, third_y = (x1 - x0) // 3, (y1 - y0) // 3
        mask[y0 + third_y : y1 - third_y, x0 + third_x : x1 - third_x] = False
    return mask


@st.composite
def turns(draw: st.DrawFn, size: Size, refine: bool) -> list[Prompt]:
    """One prompt, and at times clicks in turn."""
    clicks = [draw(prompts(size, True, click=True)) for _ in range(draw(st.sampled_from([0, 0, 1, 2])))]
    return [draw(prompts(size, refine)), *clicks]


@st.composite
def some(draw: st.DrawFn, keys: Sequence[int]) -> list[int]:
    """At least one of them, in any order."""
    return list(draw(st.permutations(keys)))[: draw(st.integers(1, len(keys)))]


@st.composite
def events(draw: st.DrawFn, clip: Clip) -> dict[int, Event]:
    """Objects that start, on the first frame or later, and all that may become of them."""
    keys = draw(some([1, 2, 3]))
    found: dict[int, Event] = {}
    alive: list[int] = []
    ahead: set[tuple[int, int]] = set()  # (frame, object) with a prompt that is absorbed
    for index in range(draw(st.integers(0, 1)), clip.length):
        what = draw(st.sampled_from(["nothing", "start", "absorb", "absorb", "correct", "remove"]))
        absorbed: dict[int, dict[int, list[Prompt]]] = {}
        if what == "absorb" or (not found and draw(st.booleans())):
            for key in draw(some(keys)):
                later = draw(st.integers(index, clip.length - 1))
                if (later, key) not in ahead:
                    absorbed.setdefault(later, {})[key] = draw(turns(clip.size, False))
                    ahead.add((later, key))
        known = list(dict.fromkeys([*alive, *(key for given in absorbed.values() for key in given)]))
        removed: frozenset[int] = frozenset()
        if what == "remove" and known:
            removed = frozenset(draw(some(known))[: draw(st.sampled_from([1, 1, 3]))])
            ahead -= {(later, key) for later, key in ahead if key in removed}
        known = [key for key in known if key not in removed]
        now: dict[int, list[Prompt]] = {}
        if what in ("start", "correct") or (removed and draw(st.booleans())) or not (found or absorbed):
            for key in draw(some(keys)):
                # A prompt that its frame has already is corrected: sam2's predictor starts no other one afresh.
                refine = (index, key) in ahead or (key in known and what != "start")
                alike = [several for several in now.values() if several[0].refine == refine]  # exclusive ones then tie
                now[key] = alike[0] if alike and draw(st.booleans()) else draw(turns(clip.size, refine))
        if absorbed or removed or now:
            found[index] = Event(absorbed, removed, now)
        alive = list(dict.fromkeys([*known, *now]))
    return found


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    clip = draw(clips())
    return Scenario(
        network=draw(st.sampled_from(NETWORKS)),
        often_absent=draw(st.booleans()),
        clip=clip,
        events=draw(events(clip)),
        policy=Sam2(
            stride=draw(st.integers(1, 3)),
            max_anchors=draw(st.sampled_from([None, 2, 3])),
            pointers=draw(st.sampled_from([15, 4, 1])),
        ),
        anchor_corrections=draw(st.booleans()),
        binarise=draw(st.booleans()),
        hole_area=draw(st.sampled_from([0, 1, 3, 8])),
        exclusive=draw(st.booleans()),
    )


# ------------------------------------------------------------------------------------------------------ both sides


@dataclass(frozen=True)
class Shown:
    """What is shown of one object on one frame."""

    logits: Tensor
    """At video size, before objects exclude each other."""
    mask: Tensor
    """At video size."""
    presence: float


def components(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Labels and areas of 8-connected components (N, 1, H, W): sam2's CUDA extension, with OpenCV."""
    labels, areas = np.zeros(mask.shape, np.int32), np.zeros(mask.shape, np.int32)
    for row, each in enumerate(mask[:, 0].numpy().astype(np.uint8)):
        _, labels[row, 0], statistics, _ = cv2.connectedComponentsWithStats(each, connectivity=8)
        areas[row, 0] = statistics[labels[row, 0], cv2.CC_STAT_AREA] * each
    return torch.from_numpy(labels), torch.from_numpy(areas)


def upstream(scenario: Scenario, video: Path) -> list[dict[int, Shown]]:
    """What sam2's predictor shows, frame by frame, the object added first to begin with."""
    theirs = predictor(scenario.built(), **scenario.options())
    state = theirs.init_state(str(video))
    return [
        _upstream_frame(theirs, state, index, scenario.events.get(index, Event()))
        for index in range(scenario.clip.length)
    ]


def _upstream_frame(theirs: Any, state: Any, index: int, event: Event) -> dict[int, Shown]:
    def told(at: int, by_object: Turns) -> None:
        for key, several in by_object.items():
            for prompt in several:
                tell(theirs, state, at, key, prompt)

    def record(key: int) -> Mapping[str, Tensor]:
        """Of what was prompted or, without a prompt, tracked."""
        kinds = state["output_dict_per_obj"][state["obj_id_to_idx"][key]]
        return kinds["cond_frame_outputs"].get(index) or kinds["non_cond_frame_outputs"][index]

    for later, several in event.absorbed.items():
        told(later, several)
    for key in event.removed:
        theirs.remove_object(state, key, need_output=False)
    tracked = [key for key in state["obj_ids"] if not _has_prompt(state, key, index)]
    corrections = {key: event.prompts[key] for key in event.prompts if key in tracked and event.prompts[key][0].refine}
    told(index, {key: several for key, several in event.prompts.items() if key not in corrections})
    if not state["obj_ids"]:
        return {}
    ((_, keys, shown),) = theirs.propagate_in_video(state, index, 0)
    if corrections:  # the predictor would track the frame again; its own record has the corrected logits
        told(index, corrections)
        theirs.propagate_in_video_preflight(state)
        _, shown = theirs._get_orig_video_res_output(state, torch.cat([record(key)["pred_masks"] for key in keys]))
    size = tuple(shown.shape[-2:])
    return {
        key: Shown(
            upsample(record(key)["pred_masks"][0, 0], size),
            shown[row, 0] > 0,
            float(record(key)["object_score_logits"]),
        )
        for row, key in enumerate(keys)
    }


def _has_prompt(state: Any, key: int, index: int) -> bool:
    at = state["obj_id_to_idx"][key]
    return index in state["point_inputs_per_obj"][at] or index in state["mask_inputs_per_obj"][at]


def engine(scenario: Scenario, video: Path) -> list[dict[int, Shown]]:
    tracker, length = scenario.tracker(), scenario.clip.length
    images = (np.asarray(Image.open(video / f"{index:05d}.jpg")) for index in range(length))
    features = [tracker.network.encode(image, index, length) for index, image in enumerate(images)]
    state, found = tracker.init(), []
    for index in range(length):
        event = scenario.events.get(index, Event())
        for later, several in event.absorbed.items():
            state = tracker.absorb(state, features[later], several)
        state, result = tracker.step(state, features[index], event.prompts, event.removed)
        shown = result.masks()
        found.append(
            {
                key: Shown(upsample(track.logits, result.size), shown[key], track.scores.presence)
                for key, track in result.tracks.items()
            }
        )
    return found


# -------------------------------------------------------------------------------------------------------- comparing


def differences(theirs: dict[int, Shown], ours: dict[int, Shown], exclusive: bool) -> tuple[float, int]:
    """Largest difference of logits and presence on one frame; pixels that differ though they are not on the brink."""
    assert list(theirs) == list(ours)
    if not theirs:
        return 0.0, 0
    logits = [torch.stack([one.logits for one in each.values()]) for each in (theirs, ours)]
    shown = [torch.stack([one.mask for one in each.values()]) for each in (theirs, ours)]
    presence = max(abs(theirs[key].presence - ours[key].presence) for key in theirs)
    tolerance = TOLERANCE * spread(theirs)
    sure = torch.minimum(logits[0].abs(), logits[1].abs()) > tolerance
    if exclusive and len(theirs) > 1:  # exact ties have their rule
        first, second = logits[0].topk(2, dim=0).values
        ours_first, ours_second = logits[1].topk(2, dim=0).values
        gap, our_gap = first - second, ours_first - ours_second
        sure &= (torch.minimum(gap, our_gap) > tolerance) | ((gap == 0) & (our_gap == 0))
    return max(presence, float((logits[0] - logits[1]).abs().max())), int(((shown[0] != shown[1]) & sure).sum())


def spread(shown: Mapping[int, Shown]) -> float:
    """Standard deviation of logits, at least 1."""
    return max([1.0, *(float(one.logits.std()) for one in shown.values())])


def kinds(scenario: Scenario, frames: Sequence[Mapping[int, Shown]]) -> set[str]:
    """Its network, and which of `KINDS` it has."""
    every = list(scenario.events.values())
    shown = [one for each in frames for one in each.values()]
    prompted = [several for event in every for several in event.prompts.values()]
    overlapping = [sum((one.logits > 0).int() for one in each.values()) > 1 for each in frames if each]
    ties = [
        bool(((one.logits == other.logits) & (one.logits > 0)).any())
        for each in frames
        for one in each.values()
        for other in each.values()
        if one is not other
    ]
    found = {
        "absent": any(one.presence < 0 for one in shown),
        "holes": scenario.hole_area > 0 and any(bool((one.logits == HOLE_LOGIT).any()) for one in shown),
        "overlaps": scenario.exclusive and any(bool(each.any()) for each in overlapping),
        "ties": scenario.exclusive and any(ties),
        "removed": any(event.removed for event in every),
        "none left": any(not each for each in frames[1:]),
        "absorbed": any(event.absorbed for event in every),
        "corrected": any(several[0].refine for several in prompted),
        "in turn": any(len(several) > 1 for several in prompted),
        "cut": scenario.clip.cut < scenario.clip.length,
        scenario.network: True,
    }
    return {kind for kind, is_so in found.items() if is_so}


def drawn(test: Any, strategy: st.SearchStrategy, count: int) -> None:
    """Runs a test of one value on so many draws, the same ones every time."""
    limits = settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    limits(given(strategy)(test))()


@pytest.mark.slow
def test_scenarios_are_upstreams(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setattr(torch, "bfloat16", torch.float32)  # upstream names the storage type in its code
    monkeypatch.setattr("sam2.utils.misc.get_connected_components", components)
    seen: Counter[str] = Counter()

    def agree(scenario: Scenario) -> None:
        video = tmp_path_factory.mktemp("video")
        scenario.clip.save(video)
        with torch.inference_mode():
            theirs, ours = upstream(scenario, video), engine(scenario, video)
        seen.update(kinds(scenario, theirs))
        found = [differences(*both, scenario.exclusive) for both in zip(theirs, ours, strict=True)]
        note(f"difference of logits, pixels that differ: {found}")
        scale = max(map(spread, theirs))
        assert max(logits for logits, _ in found) < TOLERANCE * scale
        assert sum(pixels for _, pixels in found) == 0

    drawn(agree, scenarios(), pytestconfig.getoption("--scenarios"))
    if pytestconfig.getoption("--scenarios") >= 100:
        assert seen.keys() == {*KINDS, *NETWORKS}, seen
