"""One sequence through a lockstep of trackers, compared with what is known of it."""

import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from framework.data.sequence import BoxedSequence, VideoSequence
from framework.errors import InputError
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.records import ObjectRecord, SequenceRecord
from framework.evaluation.results import Lock
from framework.metrics.tracking import box_iou, mask_iou
from framework.ops.device import wait_for
from framework.state import State
from framework.storage.mask_rle import encode_mask
from framework.tracker import Tracker, advance
from framework.types import Box, Features, Frame, Track, Work


class ProgressListener:
    """Someone who wants to know how far an evaluation is; this one looks away."""

    def begin(self, total: int, finished: int) -> None:
        """Sequences in all, and how many of them are on disk already."""

    def frame(self, sequence: str, index: int, length: int) -> None:
        """A frame was tracked."""

    def sequence(self, sequence: str, failure: str | None) -> None:
        """A sequence is finished, or failed for this reason."""

    def waiting(self, sequences: int) -> None:
        """Only sequences that other processes are at work on are left."""


@runtime_checkable
class LookAheadTracker(Protocol):
    """A tracker that is shown the truth of coming frames: a bound, not a method."""

    horizon: int
    """Frames ahead."""

    def foresee(self, state: State, features: Sequence[Features], truths: Sequence[Mapping[int, Tensor]]) -> State:
        """The state after a frame, changed in view of those that follow (soonest first, at most `horizon`)."""


@dataclass(frozen=True, slots=True)
class _Truth:
    """What is known of one frame: masks, or boxes where there are none."""

    masks: Mapping[int, np.ndarray]
    boxes: Mapping[int, Box | None]

    @classmethod
    def of(cls, video: VideoSequence, index: int) -> "_Truth":
        return cls(video.truth(index), video.truth_boxes(index) if isinstance(video, BoxedSequence) else {})

    def on(self, device: torch.device) -> dict[int, Tensor]:
        """The masks as tensors."""
        return {key: torch.from_numpy(mask).to(device) for key, mask in self.masks.items()}

    def compare(self, key: int, mask: np.ndarray, box: Box | None) -> tuple[float, bool] | None:
        """IoU of an answer, and whether the object is visible; None where the truth is not known."""
        if key in self.masks:
            return mask_iou(mask, self.masks[key]), bool(self.masks[key].any())
        if key in self.boxes:
            return box_iou(box, self.boxes[key]), self.boxes[key] is not None
        return None


class _Rows:
    """An `ObjectRecord` under construction; a frame that is answered again replaces its first answer."""

    def __init__(self, key: int, prompted: list[int], protocol: EvaluationProtocol) -> None:
        self.key, self.prompted, self.protocol = key, prompted, protocol
        self.rows: dict[int, dict[str, Any]] = {}

    def add(self, frame: int, found: Track, mask: np.ndarray, truth: _Truth) -> None:
        box = self.protocol.box(mask)
        scored = self.protocol.scored == "all" or frame not in self.prompted
        iou, visible = (truth.compare(self.key, mask, box) if scored else None) or (None, None)
        self.rows[frame] = {
            "frame": frame,
            "box": box,
            "mask": encode_mask(mask),
            "predicted_iou": found.scores.iou,
            "presence": found.scores.presence,
            "motion": found.scores.motion,
            "area": found.scores.area,
            "choice": found.choice,
            "iou": iou,
            "visible": visible,
            "memory": found.memory,
        }

    def record(self) -> ObjectRecord:
        names = [field.name for field in fields(ObjectRecord) if field.name != "prompted"]
        return ObjectRecord(self.prompted, **{name: [row[name] for row in self.rows.values()] for name in names})


def track(
    trackers: Mapping[str, Tracker],
    video: VideoSequence,
    protocol: EvaluationProtocol,
    listener: ProgressListener,
    locks: Iterable[Lock] = (),
) -> dict[str, SequenceRecord]:
    """Tracks one sequence with trackers named by their run hash; masks never pile up in memory."""
    prompts = video.prompts()
    if not prompts or max(prompts) >= video.length or min(prompts) < 0:
        raise InputError(f"{video.name} has {video.length} frames and prompts on frames {sorted(prompts) or 'none'}")
    keys = sorted({key for given in prompts.values() for key in given})
    at = {key: [frame for frame in sorted(prompts) if key in prompts[frame]] for key in keys}
    rows = {name: {key: _Rows(key, at[key], protocol) for key in keys} for name in trackers}
    privileged = any(tracker.policy.privileged for tracker in trackers.values())
    network = next(iter(trackers.values())).network
    foreseeing = {name: tracker for name, tracker in trackers.items() if isinstance(tracker, LookAheadTracker)}
    reach = max((tracker.horizon for tracker in foreseeing.values()), default=0)
    coming: deque[tuple[Features, _Truth]] = deque()
    revising = trackers if protocol.hindsight else {}
    states = {name: tracker.init() for name, tracker in trackers.items()}
    seconds, work = 0.0, Work()
    for index in range(video.length):
        fresh = range(index + len(coming), min(index + reach + 1, video.length))
        read = [(at, video.frame(at), _Truth.of(video, at)) for at in fresh]
        began = time.perf_counter()
        coming.extend((network.encode(image, at, video.length), known) for at, image, known in read)
        features, truth = coming.popleft()
        device = features.image.device
        given = truth.on(device) if privileged else {}
        started = {key: protocol.start(prompt, network, features) for key, prompt in prompts.get(index, {}).items()}
        frame = Frame(features.image, started, truth=given)
        states, results = advance(trackers, states, features, frame, encodings=1)
        wait_for(device)  # or the memory encoder would run off the clock
        seconds += time.perf_counter() - began
        for name, oracle in foreseeing.items():  # off the clock: no method pays for it
            ahead = list(coming)[: oracle.horizon]
            truths = [known.on(device) for _, known in ahead]
            states[name] = oracle.foresee(states[name], [seen for seen, _ in ahead], truths)
        work += next(iter(results.values())).work
        for name, result in results.items():
            for key, mask in result.masks().items():
                rows[name][key].add(index, result.tracks[key], mask.cpu().numpy(), truth)
        for name, tracker in revising.items():
            if tracker.selector.lag:  # the state is about to let go of the oldest frame it can revise
                _revise(rows[name], tracker.hindsight(states[name]), video, index - tracker.selector.lag)
        for lock in locks:
            lock.beat()
        listener.frame(video.name, index, video.length)
    for name, tracker in revising.items():
        _revise(rows[name], tracker.hindsight(states[name]), video)
    lockstep = uuid.uuid4().hex
    return {
        name: SequenceRecord(
            run=name,
            sequence=video.name,
            length=video.length,
            size=video.size,
            objects={key: row.record() for key, row in rows[name].items()},
            seconds=seconds,
            lockstep=lockstep,
            sharing=len(trackers),
            work=work,
        )
        for name in trackers
    }


def _revise(
    rows: Mapping[int, _Rows], past: Mapping[int, Mapping[int, Track]], video: VideoSequence, only: int | None = None
) -> None:
    """Answers again what the past says otherwise now: on all its frames, or on one."""
    for key, revised in past.items():
        for index, found in revised.items():
            if only is None or index == only:
                rows[key].add(index, found, found.mask(video.size).cpu().numpy(), _Truth.of(video, index))
