"""What policies went through, as training records: evidence with the truth beside it, and decisions with their worth.

One video is tracked once, by all policies in lockstep. At some decisions of the policy that is to learn, every
alternative is followed over the upcoming frames (`framework/counterfactuals.py`) on the features encoded already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float

from framework.counterfactuals import branched, followed
from framework.data.sequence import DataSet, VideoSequence
from framework.interfaces import Network
from framework.learning.supervised.cached import CachedRecords, TrackerParts
from framework.metrics.tracking import mask_iou
from framework.state import State
from framework.tracker import advance
from framework.types import Features, Frame


@runtime_checkable
class DescribesFrames(Protocol):
    """A policy that can say what it saw."""

    def evidence(self, state: Any) -> Sequence[float] | None:
        """Features of the last frame; None if it was prompted."""


@runtime_checkable
class OffersAlternatives(DescribesFrames, Protocol):
    """A policy whose decisions can be taken otherwise."""

    def candidates(self, state: Any) -> Sequence[Sequence[float]]:
        """Features of what the last decision was between; empty without one."""

    def alternatives(self, state: Any) -> Sequence[Any]:
        """The state that giving up each candidate leads to, in the same order."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One video as several policies went through it."""

    evidence: Float[np.ndarray, "policies frames features"]
    """Of the tracked frames, in order."""
    iou: Float[np.ndarray, "policies frames"]
    """True IoU; 1 where mask and truth are both empty, NaN where the truth is not known."""
    visible: Bool[np.ndarray, " frames"]
    candidates: Float[np.ndarray, "decisions k inputs"]
    followed: Float[np.ndarray, "decisions k ahead"]
    """True IoU on the frames after giving up each candidate; NaN where the truth is unknown and after the video."""


class RolloutVideos(CachedRecords[Rollout]):
    """The first object of each video, under several trackers and under the learner.

    Args:
        network: frozen.
        watched: those that gather evidence, by name.
        learner: the one whose decisions are tried otherwise.
        decisions: most decisions tried per video, drawn at random.
        ahead: frames that each alternative is followed.
        branch_every: n, if decisions are tried on every n-th video; evidence alone is far quicker to gather.
        cache, folder: see `CachedRecords`.
    """

    def __init__(
        self,
        network: Network,
        watched: Mapping[str, TrackerParts],
        learner: TrackerParts,
        data: DataSet,
        videos: range,
        decisions: int,
        ahead: int,
        branch_every: int,
        cache: Path,
        folder: str | None = None,
    ) -> None:
        self.network = network
        self.trackers = {name: parts.on(network) for name, parts in watched.items()}
        self.learner = learner.on(network)
        self.decisions, self.ahead, self.branch_every = decisions, ahead, branch_every
        decided_by = {"trackers": self.trackers, "learner": self.learner, "branches": [decisions, ahead, branch_every]}
        super().__init__(Rollout, data, videos, decided_by, cache, folder)

    def record(self, video: VideoSequence, seed: int) -> Rollout:
        (start, given), *_ = sorted(video.prompts().items())
        key = min(given)
        trackers = {**self.trackers, "": self.learner}
        states = {name: tracker.init() for name, tracker in trackers.items()}
        seen: list[Features] = []
        truths: list[np.ndarray | None] = []
        decided: list[tuple[int, State]] = []
        rows: list[list[Sequence[float]]] = []
        overlaps: list[list[float]] = []
        for t in range(start, video.length):
            features = self.network.encode(video.frame(t), t, video.length)
            frame = Frame(features.image, {key: given[key]} if t == start else {})
            states, results = advance(trackers, states, features, frame)
            truth = video.truth(t).get(key)
            seen.append(features)
            truths.append(truth)
            if t == start:
                continue
            memories = {name: state.objects[key][0].memory for name, state in states.items()}
            found = {name: trackers[name].policy.evidence(memory) for name, memory in memories.items()}  # type: ignore[attr-defined]
            rows.append([row for row in found.values() if row is not None])
            masks = [results[name].masks()[key].cpu().numpy() for name in trackers]
            overlaps.append([np.nan if truth is None else mask_iou(mask, truth) for mask in masks])
            if self.learner.policy.candidates(memories[""]) and t + 1 < video.length:  # type: ignore[attr-defined]
                decided.append((t - start, states[""]))
        most = 0 if seed % self.branch_every else self.decisions  # the seed is the video's number
        picked = np.random.default_rng(seed).permutation(len(decided))[:most]
        tried = [self._try(at, state, key, seen, truths) for at, state in (decided[i] for i in sorted(picked))]
        return Rollout(
            evidence=np.array(rows, dtype=np.float32).swapaxes(0, 1),
            iou=np.array(overlaps, dtype=np.float32).T,
            visible=np.array([truth is not None and truth.any() for truth in truths[1:]]),
            candidates=np.array([candidates for candidates, _ in tried] or np.zeros((0, 0, 0)), dtype=np.float32),
            followed=np.array([overlaps for _, overlaps in tried] or np.zeros((0, 0, 0)), dtype=np.float32),
        )

    def _try(
        self, at: int, state: State, key: int, seen: Sequence[Features], truths: Sequence[np.ndarray | None]
    ) -> tuple[Sequence[Sequence[float]], Float[np.ndarray, "k ahead"]]:
        """Features of the candidates of a decision on the `at`-th frame, and how it goes on without each."""
        policy: Any = self.learner.policy
        memory = state.objects[key][0].memory
        arms = [branched(state, key, other) for other in policy.alternatives(memory)]
        ahead = slice(at + 1, at + 1 + self.ahead)
        upcoming = [{} if truth is None else {key: torch.from_numpy(truth)} for truth in truths[ahead]]
        overlaps = np.full((len(arms), self.ahead), np.nan, dtype=np.float32)
        overlaps[:, : len(upcoming)] = followed(self.learner, arms, seen[ahead], upcoming).numpy()
        return policy.candidates(memory), overlaps
