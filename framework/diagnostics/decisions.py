"""What a memory policy and a motion model cost by themselves on this machine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import pi, sqrt
from typing import Any, TypeVar

import torch
from torch import Tensor

from framework.defaults import NoMotion
from framework.diagnostics.components import POINTERS, milliseconds
from framework.interfaces import MemoryPolicy, MotionModel, Wrapped
from framework.tracker import Tracker, lockstep
from framework.types import (
    Candidates,
    Cue,
    Entry,
    Features,
    Frame,
    FrameEncoder,
    Outcome,
    Query,
    Read,
    Scores,
    upsample,
)

T = TypeVar("T")
VIDEO, INPUT = (720, 1280), (1024, 1024)
WIDTH, TOKENS, CELLS = 256, 64, 256
"""Of SAM2's embedding and pointers; side of its token grid and of its mask-logit grid."""


@dataclass(frozen=True, slots=True)
class DecisionCost:
    """Milliseconds that a policy and a motion model take for one object on one 720p frame, without the network."""

    share: float
    """Of the frame that the target covers."""
    calm: float
    """Hypotheses agree but for their edges."""
    distractor: float
    """Another hypothesis holds a second object as well."""
    specks: float
    """Others hold a few pixels far away."""
    scene: float
    """Others hold most of the frame."""
    tie: float
    """Others are a disc of 4.7 times the target's radius around it: how far they reach is no clearer at one point of
    their contour than at another."""


def decisions(
    policy: MemoryPolicy[Any],
    motion: MotionModel[Any] | None = None,
    repeats: int = 20,
    shares: Sequence[float] = (0.01, 0.06, 0.25),
) -> list[DecisionCost]:
    """Cost of read, score, update and write behind a full bank, when the last admission is long ago; the least of
    several."""
    pair = policy, motion or NoMotion()
    return [DecisionCost(share, **_decisions(*pair, sqrt(share / pi), repeats)) for share in shares]


def _decisions(policy: MemoryPolicy[Any], motion: MotionModel[Any], radius: float, repeats: int) -> dict[str, float]:
    target = _disc(0.35, 0.5, radius)
    second = torch.maximum(target, _disc(0.9, 0.15, max(radius / 3, 0.03)))
    speck = torch.maximum(target, _disc(0.97, 0.97, 0.007))
    scene, tie = _disc(0.5, 0.5, 0.7), _disc(0.35, 0.5, 4.7 * radius)
    kinds = {"calm": target, "distractor": second, "specks": speck, "scene": scene, "tie": tie}
    noise = (
        9
        * torch.nn.functional.avg_pool2d(torch.randn(3, 1, CELLS, CELLS, generator=torch.manual_seed(0)), 9, 1, 4)[:, 0]
    )
    state = policy.init(), motion.init()
    for frame in range(POINTERS + 1):
        _, state = _decide(policy, motion, state, frame, (target + noise)[: 3 if frame else 1])
    costs = {}
    for kind, other in kinds.items():
        logits = torch.stack((target, other, other)) + noise
        costs[kind] = min(_decide(policy, motion, state, POINTERS + 1, logits)[0] for _ in range(repeats))
    return costs


def _disc(x: float, y: float, radius: float) -> Tensor:
    """Logits from -20 to 20, positive inside; centre and radius as shares of the side."""
    at = torch.arange(CELLS) / CELLS
    return 20 * (1 - ((at - x) ** 2 + (at[:, None] - y) ** 2) / radius**2).clamp(-1, 1)


def _decide(
    policy: MemoryPolicy[Any], motion: MotionModel[Any], state: tuple[Any, Any], frame: int, logits: Tensor
) -> tuple[float, tuple[Any, Any]]:
    """Milliseconds, and the next states of policy and motion model."""
    made = torch.Generator().manual_seed(frame)
    embedding = torch.randn(WIDTH, TOKENS, TOKENS, generator=made)
    pointers = torch.randn(1, len(logits), WIDTH, generator=made)
    scores = Scores(0.95, 5.0, None, int((logits[0] > 0).sum()), prompted=frame == 0)
    candidates = Candidates(
        logits[None], torch.tensor([[0.95, 0.5, 0.4][: len(logits)]]), pointers, torch.tensor([5.0])
    )
    query = Query(frame, embedding, None)
    features = Features(query, torch.zeros(1).expand(3, *INPUT), None, VIDEO)
    memory, followed = state
    read = policy.read(memory, query)
    items = len(read.spatial) + len(read.pointers)
    attention = torch.full((items, TOKENS, TOKENS), 1 / max(items, 1)) if policy.measures else None
    truth = upsample(logits[0], VIDEO) > 0 if policy.privileged else None
    outcome = Outcome(
        frame=frame,
        candidates=candidates,
        choice=0,
        box=None,
        scores=scores,
        size=VIDEO,
        truth=truth,
        read=read,
        attention=attention,
        embedding=embedding,
        features=features,
        compare=lambda memory, others: torch.zeros(len(others)),
    )
    entry = Entry(frame, pointers[0, 0], frame, scores, FrameEncoder(lambda: frame, lambda _: (pointers[0, 0], frame)))
    began = time.perf_counter()
    policy.read(memory, query)
    if frame:
        followed, _ = motion.score(followed, features, candidates)
    after = policy.write(memory, entry, outcome), motion.update(followed, features, outcome)
    return 1000 * (time.perf_counter() - began), after


def in_the_loop(tracker: Tracker, frames: Sequence[Frame], repeats: int = 3) -> float:
    """Milliseconds per frame that policy and motion model take while a video is tracked; the least of several means.

    That is more than a decision takes that is repeated, since in between the network fills the processor's caches.
    """
    return min(_spent(tracker, frames) for _ in range(repeats)) / len(frames)


def _spent(tracker: Tracker, frames: Sequence[Frame]) -> float:
    stopwatch = Stopwatch()
    timed = replace(
        tracker, policy=_TimedPolicy(tracker.policy, stopwatch), motion=_TimedMotion(tracker.motion, stopwatch)
    )
    for _ in lockstep({"": timed}, frames, len(frames)):
        pass
    return stopwatch.total


@dataclass
class Stopwatch:
    """Adds up how long calls take."""

    total: float = 0.0
    """Milliseconds."""

    def time(self, decide: Callable[..., T], *given: object) -> T:
        answers: list[T] = []
        self.total += milliseconds(lambda: answers.append(decide(*given)))
        return answers[0]


@dataclass(frozen=True)
class _TimedPolicy(Wrapped[Any]):
    """Does what `policy` does, on the clock."""

    stopwatch: Stopwatch

    def read(self, state: Any, query: Query) -> Read:
        return self.stopwatch.time(super().read, state, query)

    def write(self, state: Any, entry: Entry, outcome: Outcome) -> Any:
        return self.stopwatch.time(super().write, state, entry, outcome)


@dataclass(frozen=True)
class _TimedMotion(MotionModel[Any]):
    """Does what `motion` does, on the clock."""

    motion: MotionModel[Any]
    stopwatch: Stopwatch

    def init(self) -> Any:
        return self.motion.init()

    def score(self, state: Any, features: Features, candidates: Candidates) -> tuple[Any, Cue | None]:
        return self.stopwatch.time(self.motion.score, state, features, candidates)

    def update(self, state: Any, features: Features, outcome: Outcome) -> Any:
        return self.stopwatch.time(self.motion.update, state, features, outcome)
