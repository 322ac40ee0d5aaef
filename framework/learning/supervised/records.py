"""What trackers went through, as records of what was measured: made once, by worker processes, and kept on disk.

Features are computed when records are read (`framework.learning.supervised.examples`), so another feature needs no new
tracking.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, UInt8
from torch.utils.data import Dataset

from framework.data.sequence import DataSet, VideoSequence
from framework.defaults import NoMotion
from framework.interfaces import MemoryPolicy, MotionModel, Network
from framework.metrics.tracking import mask_iou
from framework.ops.features.hypotheses import HypothesisFeatures, describe
from framework.storage import identity
from framework.storage.files import write_atomic
from framework.tracker import Tracker, advance
from framework.types import Frame, upsample


@dataclass(frozen=True)
class TrackerParts:
    """What a tracker is made of beside its network."""

    policy: MemoryPolicy
    motion: MotionModel = NoMotion()

    def on(self, network: Network) -> Tracker:
        return Tracker(network, self.policy, self.motion)


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One frame as one tracker went through it."""

    hypotheses: HypothesisFeatures
    choice: int
    prompted: bool
    iou: Float32[np.ndarray, " M"]
    """True IoU of each hypothesis, 0..1; NaN where the truth is not known."""
    visible: bool


@dataclass(frozen=True, slots=True)
class TrackedRecord:
    """One object of one video under T trackers on F frames, and all their K hypotheses one after the other."""

    size: Int64[np.ndarray, " 2"]
    """Of a mask: rows, columns."""
    hypotheses: Int64[np.ndarray, "F T"]
    """How many there are."""
    choice: Int64[np.ndarray, "F T"]
    presence: Float32[np.ndarray, "F T"]
    """Object-score logit."""
    prompted: Bool[np.ndarray, "F T"]
    visible: Bool[np.ndarray, "F T"]
    """Whether the object is in view; false where the truth is not known."""
    true_iou: Float32[np.ndarray, " K"]
    masks: UInt8[np.ndarray, "K bytes"]
    """Eight cells a byte."""
    counts: Int64[np.ndarray, "K 7"]
    sums: Float64[np.ndarray, " K"]
    looks: Float32[np.ndarray, "K C"]
    pointers: Float32[np.ndarray, "K D"]
    colours: Float32[np.ndarray, "K colours"]
    iou: Float32[np.ndarray, " K"]

    @staticmethod
    def of(frames: Sequence[Sequence[RecordedFrame]]) -> "TrackedRecord":
        """Of the frames of a video, each under every tracker."""
        flat = [one for tracked in frames for one in tracked]
        known = [one.hypotheses for one in flat]
        shape = len(frames), len(frames[0])

        def each(values: Sequence[Any], kind: type) -> np.ndarray:
            return np.array(values, kind).reshape(shape)

        return TrackedRecord(
            size=np.array(known[0].masks.shape[1:]),
            hypotheses=each([len(one.masks) for one in known], np.int64),
            choice=each([one.choice for one in flat], np.int64),
            presence=each([one.presence for one in known], np.float32),
            prompted=each([one.prompted for one in flat], bool),
            visible=each([one.visible for one in flat], bool),
            true_iou=np.concatenate([one.iou for one in flat]),
            masks=np.concatenate([np.packbits(one.masks.reshape(len(one.masks), -1), axis=1) for one in known]),
            counts=np.concatenate([one.counts for one in known]),
            sums=np.concatenate([one.sums for one in known]),
            looks=np.concatenate([one.looks for one in known]),
            pointers=np.concatenate([one.pointers for one in known]),
            colours=np.concatenate([one.colours for one in known]),
            iou=np.concatenate([one.iou for one in known]),
        )

    def frames(self) -> Iterator[list[RecordedFrame]]:
        """What it was made of."""
        height, width = self.size.tolist()
        ends = np.cumsum(self.hypotheses).reshape(self.hypotheses.shape)
        for t, (counted, until) in enumerate(zip(self.hypotheses.tolist(), ends.tolist(), strict=True)):
            parts = [slice(end - count, end) for count, end in zip(counted, until, strict=True)]
            yield [
                RecordedFrame(
                    HypothesisFeatures(
                        masks=np.unpackbits(self.masks[part], axis=1, count=height * width).reshape(-1, height, width),
                        counts=self.counts[part],
                        sums=self.sums[part],
                        looks=self.looks[part],
                        pointers=self.pointers[part],
                        colours=self.colours[part],
                        iou=self.iou[part],
                        presence=float(self.presence[t, tracker]),
                    ),
                    int(self.choice[t, tracker]),
                    bool(self.prompted[t, tracker]),
                    self.true_iou[part],
                    bool(self.visible[t, tracker]),
                )
                for tracker, part in enumerate(parts)
            ]


class TrackedVideos(Dataset):
    """The first object of each video under several trackers in lockstep, on every frame from its prompt on.

    Args:
        network: frozen.
        trackers: by name.
        cache: folder of folders of records, each under all that decides it.
        folder: where they are, if they need not be those that are described.
    """

    def __init__(
        self,
        network: Network,
        trackers: Mapping[str, TrackerParts],
        data: DataSet,
        videos: range,
        cache: Path,
        folder: str | None = None,
    ) -> None:
        self.network, self.data, self.videos = network, data, videos
        self.trackers = {name: parts.on(network) for name, parts in trackers.items()}
        described = {
            "trackers": identity.describe(self.trackers),
            "data": data.name,
            "code": identity.code_digest(__name__, *self.trackers.values(), data),
        }
        self.folder = Path(folder) if folder else cache / identity.run_hash(described)

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> TrackedRecord:
        video = self.data.sequence(self.videos[index])
        path = self.folder / f"{video.name}.npz"
        try:
            return _load(path)
        except (FileNotFoundError, EOFError, ValueError, TypeError, BadZipFile):  # not recorded yet, or damaged since
            with torch.inference_mode():
                _save(self._track(video), path)
            return _load(path)

    def _track(self, video: VideoSequence) -> TrackedRecord:
        (start, given), *_ = sorted(video.prompts().items())
        key = min(given)
        states = {name: tracker.init() for name, tracker in self.trackers.items()}
        frames: list[list[RecordedFrame]] = []
        for t in range(start, video.length):
            features = self.network.encode(video.frame(t), t, video.length)
            frame = Frame(features.image, {key: given[key]} if t == start else {})
            states, results = advance(self.trackers, states, features, frame)
            truth, recorded = video.truth(t).get(key), []
            for result in results.values():
                track = result.tracks[key]
                assert track.candidates is not None
                masks = (upsample(track.candidates.logits[0], video.size) > 0).cpu().numpy()
                ious = [np.nan if truth is None else mask_iou(mask, truth) for mask in masks]
                recorded.append(
                    RecordedFrame(
                        describe(track.candidates, features),
                        track.choice,
                        t == start,
                        np.array(ious, np.float32),
                        truth is not None and bool(truth.any()),
                    )
                )
            frames.append(recorded)
        return TrackedRecord.of(frames)


def _load(path: Path) -> TrackedRecord:
    with np.load(path, allow_pickle=False) as stored:
        return TrackedRecord(**{name: stored[name] for name in stored.files})


def _save(record: TrackedRecord, path: Path) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, **{field.name: getattr(record, field.name) for field in fields(record)})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
