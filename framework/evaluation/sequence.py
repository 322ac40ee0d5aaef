"""One sequence through a lockstep of trackers, compared with what is known of it."""

import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from framework.data.sequence import VideoSequence
from framework.data.truth import Truth
from framework.errors import InputError
from framework.evaluation.passes import Lent, Pass, check, passes, recollect
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.records import ObjectRecord, SequenceCost, SequenceRecord
from framework.evaluation.results import Lock
from framework.interfaces import Network
from framework.ops.device import wait_for
from framework.state import State, held_bytes
from framework.storage.hypotheses import Hypothesis, hypotheses
from framework.storage.mask_rle import encode_mask
from framework.tracker import Tracker, advance
from framework.types import Features, Frame, Prompt, Result, Track, TrackerCost, Work, in_turn


class ProgressListener:
    """Someone who wants to know how far an evaluation is; this one looks away."""

    def begin(self, total: int, finished: int) -> None:
        """Sequences in all, and how many of them are on disk already."""

    def frame(self, sequence: str, index: int, length: int) -> None:
        """A frame was tracked."""

    def sequence(self, sequence: str, failure: str | None) -> None:
        """A sequence is finished, or failed for this reason."""

    def elsewhere(self, sequence: str, length: int, failure: str | None) -> None:
        """Another process has finished a sequence of so many frames, or failed."""
        self.sequence(sequence, failure)

    def waiting(self, sequences: int) -> None:
        """Only sequences that other processes are at work on are left."""


@runtime_checkable
class LookAheadTracker(Protocol):
    """A tracker that is shown the truth of upcoming frames: a bound, not a method."""

    horizon: int
    """Frames ahead."""

    def look_ahead(self, state: State, features: Sequence[Features], truths: Sequence[Mapping[int, Tensor]]) -> State:
        """The state after a frame, changed in view of those that follow (soonest first, at most `horizon`)."""


class _RecordBuilder:
    """An `ObjectRecord` under construction; a frame that is recorded again replaces what was there."""

    def __init__(self, key: int, prompted: list[int], protocol: EvaluationProtocol, keep_hypotheses: bool) -> None:
        self.key, self.prompted, self.protocol, self.keep_hypotheses = key, prompted, protocol, keep_hypotheses
        self.rows: dict[int, dict[str, Any]] = {}
        self.hypotheses: dict[int, tuple[Hypothesis, ...]] = {}
        """By frame; only where they are kept."""

    def add(self, frame: int, found: Track, mask: np.ndarray, truth: Truth) -> None:
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
        if self.keep_hypotheses:
            self.hypotheses[frame] = hypotheses(found, (mask.shape[0], mask.shape[1]))

    def record(self) -> ObjectRecord:
        names = [field.name for field in fields(ObjectRecord) if field.name != "prompted"]
        rows = [self.rows[frame] for frame in sorted(self.rows)]
        return ObjectRecord(self.prompted, **{name: [row[name] for row in rows] for name in names})


@dataclass(frozen=True)
class _TrackerRecord:
    """What one tracker said of a video so far, by object."""

    video: VideoSequence
    objects: Mapping[int, _RecordBuilder]

    @classmethod
    def empty(
        cls,
        video: VideoSequence,
        prompts: Mapping[int, Mapping[int, Prompt]],
        protocol: EvaluationProtocol,
        keep_hypotheses: bool,
    ) -> "_TrackerRecord":
        keys = sorted({key for given in prompts.values() for key in given})
        at = {key: [frame for frame in sorted(prompts) if key in prompts[frame]] for key in keys}
        return cls(video, {key: _RecordBuilder(key, at[key], protocol, keep_hypotheses) for key in keys})

    def add(self, result: Result, truth: Truth) -> None:
        """One frame."""
        for key, mask in result.masks().items():
            self.objects[key].add(result.frame, result.tracks[key], mask.cpu().numpy(), truth)

    def revise(self, passed: Pass, past: Mapping[int, Mapping[int, Track]], only: int | None = None) -> None:
        """Records again what hindsight says in a pass: at all its times, or at one."""
        for key, revised in past.items():
            for at, found in revised.items():
                if (only is None or at == only) and passed.shows(key, at):
                    mask, index = found.mask(self.video.size).cpu().numpy(), passed.mirrored(at)
                    self.objects[key].add(index, passed.of_video(found), mask, Truth.of(self.video, index))


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

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Does not count the block, inside one that counts."""
        began = time.perf_counter()
        yield
        self.seconds -= time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class _EncodedFrame:
    features: Features
    truth: Truth


def _encoded_frames(
    video: VideoSequence, passed: Pass, network: Network, horizon: int, clock: _Clock
) -> Iterator[tuple[_EncodedFrame, Sequence[_EncodedFrame]]]:
    """Every frame of a pass, with the up to `horizon` that follow it, soonest first; each is encoded once.

    `clock` counts the encodings.
    """
    window: deque[_EncodedFrame] = deque()
    for at in range(len(passed.frames) + horizon):
        if at < len(passed.frames):
            index = passed.frames[at]
            image, truth = video.frame(index), Truth.of(video, index)
            with clock.running():
                features = network.encode(image, passed.mirrored(index), video.length)
                wait_for(features.image.device)  # or it would run on the clock of the predictions
            window.append(_EncodedFrame(features, truth))
        if at >= horizon:
            yield window.popleft(), tuple(window)


class _Run:
    """Trackers in lockstep over one video; masks never pile up in memory."""

    def __init__(
        self,
        trackers: Mapping[str, Tracker],
        video: VideoSequence,
        protocol: EvaluationProtocol,
        keep_hypotheses: bool,
    ) -> None:
        prompts, frames = protocol.prompts(video), video.length
        if not prompts or max(prompts) >= frames or min(prompts) < 0:
            raise InputError(f"{video.name} has {frames} frames and prompts on frames {sorted(prompts) or 'none'}")
        self.trackers, self.video, self.protocol = trackers, video, protocol
        self.network = next(iter(trackers.values())).network
        self.plan = passes(protocol.direction, prompts, {}, frames)
        for tracker in trackers.values():
            check(tracker, self.plan)
        self.privileged = any(tracker.policy.privileged for tracker in trackers.values())
        self.oracles = {name: tracker for name, tracker in trackers.items() if isinstance(tracker, LookAheadTracker)}
        self.records = {name: _TrackerRecord.empty(video, prompts, protocol, keep_hypotheses) for name in trackers}
        self.lent = dict.fromkeys(trackers, Lent())
        self.encoding, self.clock, self.work = _Clock(), _Clock(), Work()
        self.costs = dict.fromkeys(trackers, TrackerCost())
        self.held = dict.fromkeys(trackers, 0)

    def track(self, passed: Pass) -> Iterator[None]:
        """One frame of a pass after the other."""
        states = {name: tracker.init() for name, tracker in self.trackers.items()}
        ready = self._ready(passed)
        horizon = max((oracle.horizon for oracle in self.oracles.values()), default=0)
        for now, upcoming in _encoded_frames(self.video, passed, self.network, horizon, self.encoding):
            features, device = now.features, now.features.image.device
            with self.clock.running(until=device):
                prompts: Mapping[int, Prompt | Sequence[Prompt]] = {}
                for name, state in states.items():
                    states[name], prompts = passed.enter(state, ready[name], features.query.frame)
                started = {key: self._started(prompt, features) for key, prompt in prompts.items()}
                frame = Frame(features.image, started, truth=now.truth.on(device) if self.privileged else {})
                states, results = advance(self.trackers, states, features, frame, encodings=1)
            self.work += next(iter(results.values())).work
            for name, oracle in self.oracles.items():
                ahead = upcoming[: oracle.horizon]
                truths = [frame.truth.on(device) for frame in ahead]
                states[name] = oracle.look_ahead(states[name], [frame.features for frame in ahead], truths)
            for name, result in results.items():
                self.costs[name] += result.cost
                self.records[name].add(passed.shown(result), now.truth)
                self.lent[name] = self.lent[name].add(result.frame, passed.lent(result))
            self._revise(passed, states, features.query.frame)
            yield
        self._revise(passed, states)
        self.held = {name: max(self.held[name], held_bytes([state])) for name, state in states.items()}

    @property
    def seconds(self) -> float:
        """Of all trackers together."""
        return self.encoding.seconds + self.clock.seconds

    def cost(self, name: str) -> SequenceCost:
        """Of one tracker. What is neither encoding, prediction nor decision counts as encoding memories."""
        own, costs, count = self.costs[name], self.costs.values(), len(self.costs)
        rest = self.clock.seconds - sum(cost.predictions_shared + cost.decisions for cost in costs)
        memories = sum(cost.memories_shared for cost in costs)
        per_memory = rest / memories if memories else 0.0
        idle = 0.0 if memories else rest
        return SequenceCost(
            alone=self.encoding.seconds + own.predictions + own.memories * per_memory + own.decisions + idle,
            share=self.encoding.seconds / count
            + own.predictions_shared
            + own.memories_shared * per_memory
            + own.decisions
            + idle / count,
            decisions=own.decisions,
            held=self.held[name],
        )

    def _started(self, prompt: Prompt | Sequence[Prompt], features: Features) -> Prompt | tuple[Prompt, ...]:
        """What trackers are told for a prompt of the data."""
        (given,) = in_turn(prompt)
        return self.protocol.start(given, self.network, features)

    def _ready(self, passed: Pass) -> Mapping[str, State]:
        """What objects of a second pass begin with, where it reads the first one."""
        if not (passed.second and passed.reads_first):
            return dict.fromkeys(self.trackers, State())

        def frame(index: int) -> Frame:
            with self.clock.stopped():
                self.work += Work(encodings=1)
                truth = Truth.of(self.video, index).on(torch.device("cpu")) if self.privileged else {}
                return Frame(self.video.frame(index), truth=truth)

        with self.clock.running():
            return recollect(self.trackers, self.plan, self.lent, frame, self._started)

    def _revise(self, passed: Pass, states: Mapping[str, State], now: int | None = None) -> None:
        """Records again what hindsight says: at the time that the state is about to let go of, or in the end at all."""
        for name, tracker in self.trackers.items() if self.protocol.hindsight else ():
            if now is None:
                self.records[name].revise(passed, tracker.hindsight(states[name]))
            elif tracker.selector.lag:
                self.records[name].revise(passed, tracker.hindsight(states[name]), only=now - tracker.selector.lag)


def track(
    trackers: Mapping[str, Tracker],
    video: VideoSequence,
    protocol: EvaluationProtocol,
    listener: ProgressListener,
    locks: Iterable[Lock] = (),
    keep_hypotheses: bool = False,
) -> dict[str, SequenceRecord]:
    """Tracks one sequence with trackers named by their run hash.

    `keep_hypotheses`: the records hold all masks that the network proposed.
    """
    run = _Run(trackers, video, protocol, keep_hypotheses)
    frames = sum(len(passed.frames) for passed in run.plan)
    for index, _ in enumerate(chain.from_iterable(map(run.track, run.plan))):
        for lock in locks:
            lock.beat()
        listener.frame(video.name, index, frames)
    lockstep = uuid.uuid4().hex
    return {
        name: SequenceRecord(
            run=name,
            sequence=video.name,
            length=video.length,
            size=video.size,
            objects={key: builder.record() for key, builder in run.records[name].objects.items()},
            seconds=run.seconds,
            lockstep=lockstep,
            sharing=len(trackers),
            work=run.work,
            hypotheses={key: builder.hypotheses for key, builder in run.records[name].objects.items()}
            if keep_hypotheses
            else None,
            cost=run.cost(name),
        )
        for name in trackers
    }
