"""Sequences x trackers -> results on disk -> scores. All trackers run in one lockstep per sequence."""

import time
import traceback
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework import identity
from framework.data.sequence import BoxedSequence, DataSet, VideoSequence
from framework.errors import InputError
from framework.interfaces import Network
from framework.metrics.tracking import TrackingScores, box_iou, mask_iou, mean_scores
from framework.networks.sam2 import COMPUTE, Resize, Sam2Network
from framework.results import Lock, ObjectRecord, Progress, RunFolder, SequenceRecord, claims, encode_mask
from framework.state import State
from framework.tracker import Tracker, advance
from framework.types import Box, Features, Frame, Prompt, Track, Work, upsample

POLL = 1.0  # seconds between looks at what other processes are doing


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """How tracking is started and what is scored; part of every result's identity.

    Args:
        prompt: start from the mask the data gives, from the box (around it), or from the mask that the network makes of
            that box (estimated). Data that give boxes are started from boxes whenever masks are asked for.
        box_edges: exclusive, so that width = xmax - xmin; or inclusive, with xmax and ymax the last pixels.
        empty: how an empty prediction is written where a benchmark wants a box: 0,0,0,0, -1,-1,-1,-1 or the box before.
        scored: frames after an object's prompt, or the prompted one too. Frames without annotation are never scored.
        hindsight: a selector that revises earlier frames (a beam) is read back at the end; else it answers as it goes.
        resize: how frames become network input (`framework.networks.sam2.Resize`).
        autocast: what the network computes in; None leaves it to the backbone.
    """

    prompt: Literal["mask", "box", "estimated"] = "mask"
    box_edges: Literal["exclusive", "inclusive"] = "exclusive"
    empty: Literal["zeros", "negative", "previous"] = "zeros"
    scored: Literal["tracked", "all"] = "tracked"
    hindsight: bool = True
    resize: Resize = "bicubic"
    autocast: Literal["float32", "bfloat16", "float16"] | None = None

    def __post_init__(self) -> None:
        for name, choices in (
            ("prompt", ("mask", "box", "estimated")),
            ("box_edges", ("exclusive", "inclusive")),
            ("empty", ("zeros", "negative", "previous")),
            ("scored", ("tracked", "all")),
            ("resize", get_args(Resize)),
            ("autocast", (*COMPUTE, None)),
        ):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"protocol.{name}={getattr(self, name)} is unknown: use {' or '.join(map(str, choices))}"
                )

    def network(self, network: Sam2Network) -> Sam2Network:
        """The network with this protocol's input and compute type."""
        autocast = network.autocast if self.autocast is None else COMPUTE[self.autocast]
        return replace(network, resize=self.resize, autocast=autocast)

    def start(self, prompt: Prompt, network: Network, features: Features) -> Prompt:
        """The prompt the tracker is given on a frame for one that the data gives."""
        if self.prompt != "mask" and prompt.mask is not None:
            box = mask_box(prompt.mask)
            if box is None:
                raise InputError("an empty mask has no box to start from")
            prompt = Prompt(box=box)
        if self.prompt != "estimated" or prompt.box is None:
            return prompt
        logits = network.prompt(features, [prompt]).logits[0, 0]
        mask = (upsample(logits, features.video_size) > 0).cpu().numpy()
        return Prompt(mask=mask) if mask.any() else prompt

    def box(self, mask: Bool[np.ndarray, "H W"]) -> Box | None:
        """Box around a result, as it is written."""
        box = mask_box(mask)
        if box is None or self.box_edges == "exclusive":
            return box
        return box[0], box[1], box[2] - 1, box[3] - 1


def mask_box(mask: Bool[np.ndarray, "H W"]) -> Box | None:
    """xmin, ymin, xmax, ymax with exclusive maxima; None for an empty mask."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


class Watch:
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
class Foreseeing(Protocol):
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
    watch: Watch,
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
    foreseeing = {name: tracker for name, tracker in trackers.items() if isinstance(tracker, Foreseeing)}
    reach = max((tracker.horizon for tracker in foreseeing.values()), default=0)
    coming: deque[tuple[Features, _Truth]] = deque()
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
        if device.type != "cpu":
            torch.accelerator.synchronize(device)  # or the memory encoder would run off the clock
        seconds += time.perf_counter() - began
        for name, oracle in foreseeing.items():  # off the clock: no method pays for it
            ahead = list(coming)[: oracle.horizon]
            truths = [known.on(device) for _, known in ahead]
            states[name] = oracle.foresee(states[name], [seen for seen, _ in ahead], truths)
        work = _add(work, next(iter(results.values())).work)
        for name, result in results.items():
            for key, mask in result.masks().items():
                rows[name][key].add(index, result.tracks[key], mask.cpu().numpy(), truth)
        for lock in locks:
            lock.beat()
        watch.frame(video.name, index, video.length)
    for name, tracker in trackers.items():
        for key, revised in (tracker.hindsight(states[name]) if protocol.hindsight else {}).items():
            for index, found in revised.items():
                revision = found.mask(video.size).cpu().numpy()
                rows[name][key].add(index, found, revision, _Truth.of(video, index))
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


def _add(a: Work, b: Work) -> Work:
    return Work(**{name: value + getattr(b, name) for name, value in asdict(a).items()})


@dataclass(frozen=True, slots=True)
class VideoScores:
    """What tables need of one video."""

    scores: TrackingScores
    ranges: list[float]
    """Mean IoU in each tenth of the video."""
    milliseconds: float
    """Tracking time per frame and tracker of the lockstep."""
    read: float
    """Spatial memories read per tracked frame and object; NaN where nothing was tracked."""


@dataclass(frozen=True)
class Run(ABC):
    """One row of a comparison: a variant on one data set."""

    name: str
    identity: Mapping[str, Any]
    """All that decides its results."""
    videos: Mapping[str, VideoScores]
    """By sequence name, in the order of the data set."""
    failures: Mapping[str, str]
    """Sequence -> reason."""
    bound: bool
    """Sees the truth: not a method."""

    @abstractmethod
    def record(self, sequence: str) -> SequenceRecord:
        """Its result on a sequence in `videos`."""

    @property
    def hash(self) -> str:
        """The same for the same experiment."""
        return identity.run_hash(self.identity)

    def values(self, metric: str, sequences: Iterable[str]) -> Float[np.ndarray, " videos"]:
        """One score (a field of `TrackingScores`) on these sequences."""
        return np.array([getattr(self.videos[name].scores, metric) for name in sequences], dtype=np.float64)

    def mean(self, sequences: Iterable[str]) -> TrackingScores:
        """Mean over sequences."""
        return mean_scores([self.videos[name].scores for name in sequences])

    def milliseconds(self, sequences: Iterable[str]) -> float:
        """Tracking time per frame, a share of the lockstep's."""
        return float(np.mean([self.videos[name].milliseconds for name in sequences]))

    def read(self, sequences: Iterable[str]) -> float:
        """Spatial memories read per tracked frame and object; NaN where nothing was tracked."""
        counts = np.array([self.videos[name].read for name in sequences])
        known = counts[~np.isnan(counts)]
        return float(known.mean()) if len(known) else float("nan")


@dataclass(frozen=True)
class TrackedRun(Run):
    """A tracker's results."""

    folder: RunFolder

    def record(self, sequence: str) -> SequenceRecord:
        return self.folder.load(sequence)


@dataclass(frozen=True)
class Comparison:
    """Variants on the same sequences; the first one is the baseline."""

    data: str
    runs: tuple[Run, ...]
    frames: int
    """Video frames of all locksteps the results came from; a frame that was tracked in two counts twice."""
    work: Work
    """Of all those locksteps together."""
    lost: Mapping[str, str] = field(default_factory=dict)
    """Variants without a single result, with the reason; they are not in `runs`."""

    @property
    def sequences(self) -> list[str]:
        """Those that every variant finished."""
        first, *others = self.runs
        return [name for name in first.videos if all(name in run.videos for run in others)]

    @property
    def failures(self) -> dict[str, str]:
        """Sequence -> reason, over all variants."""
        return {name: reason for run in self.runs for name, reason in run.failures.items()}


def run_identity(tracker: Tracker, data: DataSet, protocol: EvaluationProtocol) -> dict[str, Any]:
    """All that decides the results of one tracker on one data set."""
    return {
        "tracker": identity.describe(tracker),
        "data": data.name,
        "protocol": identity.describe(protocol),
        "code": identity.code_digest(__name__, tracker, data),
    }


def status(
    trackers: Mapping[str, Tracker], data: DataSet, output: Path, protocol: EvaluationProtocol
) -> dict[str, Progress]:
    """How far an evaluation is, by variant; reads the disk only."""
    names = [data.sequence(index).name for index in range(len(data))]
    runs = {name: identity.run_hash(run_identity(tracker, data, protocol)) for name, tracker in trackers.items()}
    return {name: RunFolder.at(output, data.name, run).progress(names) for name, run in runs.items()}


def evaluate(
    trackers: Mapping[str, Tracker],
    data: DataSet,
    output: Path,
    protocol: EvaluationProtocol = EvaluationProtocol(),
    watch: Watch | None = None,
) -> Comparison:
    """Tracks whatever is not on disk yet, waits for what other processes are tracking, and reads the scores.

    A sequence that fails is recorded with its reason and the others go on; it is tried again in the next run.
    Raises InputError when the output cannot be written, holds something else, or when no sequence could be tracked.
    """
    watch = watch or Watch()
    names = [data.sequence(index).name for index in range(len(data))]  # before anything is written
    began = time.time()
    notes = {"commit": identity.commit(), "torch": torch.__version__}
    folders: dict[str, RunFolder] = {}
    distinct: dict[str, Tracker] = {}
    identities: dict[str, dict[str, Any]] = {}
    for name, tracker in trackers.items():
        identities[name] = run_identity(tracker, data, protocol)
        run = identity.run_hash(identities[name])
        distinct.setdefault(run, tracker)
        folders[name] = RunFolder.open(output, data.name, run, identities[name], {**notes, "name": name})
    by_run = {folder.hash: folder for folder in folders.values()}

    todo = [i for i, name in enumerate(names) if not all(folder.finished(name) for folder in by_run.values())]
    watch.begin(len(names), len(names) - len(todo))
    while todo:
        left = [i for i in todo if not _attempt(distinct, by_run, data.sequence(i), protocol, watch, began)]
        if len(left) == len(todo):
            watch.waiting(len(left))
            time.sleep(POLL)
        todo = left
    bounds = {name for name, t in trackers.items() if t.policy.privileged or isinstance(t, Foreseeing)}
    comparison = _read(folders, identities, bounds, data.name, names)
    if not comparison.runs or not comparison.sequences:
        if names and all(folder.finished(name) for folder in by_run.values() for name in names):
            paths = ", ".join(str(folder.path) for folder in by_run.values())
            raise InputError(
                f"{data.name} is tracked and kept in {paths}, but its truth is secret: python -m experiments.export "
                "writes what its server takes"
            )
        reasons = {**comparison.lost, **comparison.failures}
        reason = next(iter(reasons.values()), "the data set has no sequence")
        raise InputError(f"no sequence of {data.name} could be tracked by every variant: {reason}")
    return comparison


def _attempt(
    trackers: Mapping[str, Tracker],
    folders: Mapping[str, RunFolder],
    video: VideoSequence,
    protocol: EvaluationProtocol,
    watch: Watch,
    since: float,
) -> bool:
    """Tracks a sequence where it is unfinished; says whether it is done with, that is finished or failed."""
    missing = {run: f for run, f in folders.items() if not f.finished(video.name)}
    reasons = [reason for folder in missing.values() if (reason := folder.failure(video.name, since))]
    if not missing or len(reasons) == len(missing):
        watch.sequence(video.name, reasons[0] if reasons else None)
        return True
    open_ = [folder for folder in missing.values() if not folder.failure(video.name, since)]
    with claims(open_, video.name) as locks:
        if not locks:
            return False
        failed: dict[str, Exception] = {}
        records: dict[str, SequenceRecord] = {}
        try:
            records = track({run: trackers[run] for run in locks}, video, protocol, watch, locks.values())
        except Exception as error:
            failed = dict.fromkeys(locks, error)
            if len(locks) > 1:  # find out which tracker it was
                failed = {}
                for run in locks:
                    try:
                        records |= track({run: trackers[run]}, video, protocol, watch, locks.values())
                    except Exception as own:
                        failed[run] = own
        for run, record in records.items():
            folders[run].save(record)
        for run, failure in failed.items():
            reason = f"{type(failure).__name__}: {failure}" if not isinstance(failure, InputError) else str(failure)
            folders[run].fail(video.name, " ".join(reason.split()), "".join(traceback.format_exception(failure)))
    watch.sequence(video.name, str(next(iter(failed.values()))) if failed else None)
    return True


def _read(
    folders: Mapping[str, RunFolder],
    identities: Mapping[str, Mapping[str, Any]],
    bounds: Collection[str],
    data: str,
    names: list[str],
) -> Comparison:
    runs: list[Run] = []
    locksteps: dict[str, SequenceRecord] = {}
    for name, folder in folders.items():
        videos: dict[str, VideoScores] = {}
        failures: dict[str, str] = {}
        for sequence in names:
            if not folder.finished(sequence):
                failures[sequence] = folder.failure(sequence) or "not tracked"
                continue
            record = folder.load(sequence)
            scores = record.scores()
            if scores is None:
                failures[sequence] = "no annotated frame to score"
                continue
            locksteps[record.lockstep] = record
            share = 1000 * record.seconds / (record.length * record.sharing)
            videos[sequence] = VideoScores(scores, record.ranges(), share, record.read())
        runs.append(TrackedRun(name, identities[name], videos, failures, name in bounds, folder))
    work = reduce(_add, (record.work for record in locksteps.values()), Work())
    lost = {run.name: next(iter(run.failures.values()), "no sequence") for run in runs if not run.videos}
    kept = tuple(run for run in runs if run.videos)
    return Comparison(data, kept, sum(record.length for record in locksteps.values()), work, lost)
