"""One sequence through a lockstep of trackers, compared with what is known of it."""

import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from framework.interfaces import Network
from framework.metrics.tracking import box_iou, mask_iou
from framework.ops.device import wait_for
from framework.state import State
from framework.storage.mask_rle import encode_mask
from framework.tracker import Tracker, advance
from framework.types import Box, Features, Frame, Prompt, Result, Track, Work


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
    """A tracker that is shown the truth of upcoming frames: a bound, not a method."""

    horizon: int
    """Frames ahead."""

    def look_ahead(self, state: State, features: Sequence[Features], truths: Sequence[Mapping[int, Tensor]]) -> State:
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
        """IoU of a prediction, and whether the object is visible; None where the truth is not known."""
        if key in self.masks:
            return mask_iou(mask, self.masks[key]), bool(self.masks[key].any())
        if key in self.boxes:
            return box_iou(box, self.boxes[key]), self.boxes[key] is not None
        return None


class _RecordBuilder:
    """An `ObjectRecord` under construction; a frame that is recorded again replaces what was there."""

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


@dataclass(frozen=True)
class _TrackerRecord:
    """What one tracker said of a video so far, by object."""

    video: VideoSequence
    objects: Mapping[int, _RecordBuilder]

    @classmethod
    def empty(
        cls, video: VideoSequence, prompts: Mapping[int, Mapping[int, Prompt]], protocol: EvaluationProtocol
    ) -> "_TrackerRecord":
        keys = sorted({key for given in prompts.values() for key in given})
        at = {key: [frame for frame in sorted(prompts) if key in prompts[frame]] for key in keys}
        return cls(video, {key: _RecordBuilder(key, at[key], protocol) for key in keys})

    def add(self, result: Result, truth: _Truth) -> None:
        """One frame."""
        for key, mask in result.masks().items():
            self.objects[key].add(result.frame, result.tracks[key], mask.cpu().numpy(), truth)

    def revise(self, past: Mapping[int, Mapping[int, Track]], only: int | None = None) -> None:
        """Records again what hindsight says: on all its frames, or on one."""
        for key, revised in past.items():
            for index, found in revised.items():
                if only is None or index == only:
                    mask = found.mask(self.video.size).cpu().numpy()
                    self.objects[key].add(index, found, mask, _Truth.of(self.video, index))


class _Clock:
    """Seconds that trackers and network took; reading frames, scoring and looking ahead do not count."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self, until: torch.device | None = None) -> Iterator[None]:
        """Counts the block, with all that it left `until` a device to do."""
        began = time.perf_counter()
        yield
        if until is not None:
            wait_for(until)  # or the memory encoder would run off the clock
        self.seconds += time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class _EncodedFrame:
    features: Features
    truth: _Truth


def _encoded_frames(
    video: VideoSequence, network: Network, horizon: int, clock: _Clock
) -> Iterator[tuple[_EncodedFrame, Sequence[_EncodedFrame]]]:
    """Every frame, with the up to `horizon` that follow it, soonest first; each is encoded once."""
    window: deque[_EncodedFrame] = deque()
    for index in range(video.length + horizon):
        if index < video.length:
            image, truth = video.frame(index), _Truth.of(video, index)
            with clock.running():
                window.append(_EncodedFrame(network.encode(image, index, video.length), truth))
        if index >= horizon:
            yield window.popleft(), tuple(window)


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
    network = next(iter(trackers.values())).network
    privileged = any(tracker.policy.privileged for tracker in trackers.values())
    oracles = {name: tracker for name, tracker in trackers.items() if isinstance(tracker, LookAheadTracker)}
    horizon = max((oracle.horizon for oracle in oracles.values()), default=0)
    revising = trackers if protocol.hindsight else {}
    records = {name: _TrackerRecord.empty(video, prompts, protocol) for name in trackers}
    states = {name: tracker.init() for name, tracker in trackers.items()}
    clock, work = _Clock(), Work()
    for index, (now, upcoming) in enumerate(_encoded_frames(video, network, horizon, clock)):
        features, device = now.features, now.features.image.device
        with clock.running(until=device):
            started = {key: protocol.start(prompt, network, features) for key, prompt in prompts.get(index, {}).items()}
            frame = Frame(features.image, started, truth=now.truth.on(device) if privileged else {})
            states, results = advance(trackers, states, features, frame, encodings=1)
        work += next(iter(results.values())).work
        for name, oracle in oracles.items():
            ahead = upcoming[: oracle.horizon]
            truths = [frame.truth.on(device) for frame in ahead]
            states[name] = oracle.look_ahead(states[name], [frame.features for frame in ahead], truths)
        for name, result in results.items():
            records[name].add(result, now.truth)
        for name, tracker in revising.items():
            if tracker.selector.lag:  # the state is about to let go of the oldest frame it can revise
                records[name].revise(tracker.hindsight(states[name]), only=index - tracker.selector.lag)
        for lock in locks:
            lock.beat()
        listener.frame(video.name, index, video.length)
    for name, tracker in revising.items():
        records[name].revise(tracker.hindsight(states[name]))
    lockstep = uuid.uuid4().hex
    return {
        name: SequenceRecord(
            run=name,
            sequence=video.name,
            length=video.length,
            size=video.size,
            objects={key: builder.record() for key, builder in records[name].objects.items()},
            seconds=clock.seconds,
            lockstep=lockstep,
            sharing=len(trackers),
            work=work,
        )
        for name in trackers
    }
