"""What policies went through, as training records: the features of every frame with the truth beside them.

One video is tracked once, by all policies in lockstep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from framework.data.sequence import DataSet, VideoSequence
from framework.interfaces import Network
from framework.learning.supervised.cached import CachedRecords, TrackerParts
from framework.metrics.tracking import mask_iou
from framework.tracker import advance
from framework.types import Frame


@runtime_checkable
class DescribesFrames(Protocol):
    """A policy that can say what it saw."""

    def features(self, state: Any) -> Sequence[float] | None:
        """Features of the last frame; None if it was prompted."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One video as several policies went through it."""

    features: Float[np.ndarray, "policies frames features"]
    """Of the tracked frames, in order."""
    iou: Float[np.ndarray, "policies frames"]
    """True IoU; 1 where mask and truth are both empty, NaN where the truth is not known."""
    visible: Bool[np.ndarray, " frames"]


class RolloutVideos(CachedRecords[Rollout]):
    """The first object of each video, under several trackers whose policies describe frames.

    Args:
        network: frozen.
        watched: policies and motion models, by name.
        cache, folder: see `CachedRecords`.
    """

    def __init__(
        self,
        network: Network,
        watched: Mapping[str, TrackerParts],
        data: DataSet,
        videos: range,
        cache: Path,
        folder: str | None = None,
    ) -> None:
        self.network = network
        self.trackers = {name: parts.on(network) for name, parts in watched.items()}
        super().__init__(Rollout, data, videos, {"trackers": self.trackers}, cache, folder)

    def record(self, video: VideoSequence, seed: int) -> Rollout:
        (start, given), *_ = sorted(video.prompts().items())
        key = min(given)
        states = {name: tracker.init() for name, tracker in self.trackers.items()}
        rows: list[list[Sequence[float]]] = []
        overlaps: list[list[float]] = []
        visible: list[bool] = []
        for t in range(start, video.length):
            encoded = self.network.encode(video.frame(t), t, video.length)
            frame = Frame(encoded.image, {key: given[key]} if t == start else {})
            states, results = advance(self.trackers, states, encoded, frame)
            if t == start:
                continue
            policies = {name: cast(DescribesFrames, tracker.policy) for name, tracker in self.trackers.items()}
            described = [policy.features(states[name].objects[key][0].memory) for name, policy in policies.items()]
            rows.append([row for row in described if row is not None])
            masks = [result.masks()[key].cpu().numpy() for result in results.values()]
            truth = video.truth(t).get(key)
            overlaps.append([np.nan if truth is None else mask_iou(mask, truth) for mask in masks])
            visible.append(truth is not None and bool(truth.any()))
        return Rollout(
            features=np.array(rows, dtype=np.float32).swapaxes(0, 1),
            iou=np.array(overlaps, dtype=np.float32).T,
            visible=np.array(visible),
        )
