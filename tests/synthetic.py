"""Observations of a made-up video, to drive policies and motion models without a network."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from framework.interfaces import MemoryPolicy
from framework.types import Candidates, Entry, Features, Lease, Outcome, Query, Read, Scores

GRID, NETWORK, VIDEO = 16, (64, 64), (30, 40)
WIDTH = 8


@dataclass(frozen=True)
class Video:
    """Frame 0 is prompted; the target is out of view from `lost` on and in view again from `found` on.

    Now and then hypotheses are unsure, or claim a second object.
    """

    seed: int
    length: int
    lost: int = 10**9
    found: int = 10**9

    def absent(self, frame: int) -> bool:
        return self.lost <= frame < self.found

    @cache  # noqa: B019 - values, asked for again by every policy
    def observe(self, frame: int) -> Candidates:
        """Candidates of one frame."""
        random = np.random.default_rng((self.seed, frame))
        masks = np.full((1 if frame == 0 else 3, GRID, GRID), -8.0, dtype=np.float32)
        x, y = 3 + int(4 + 3 * np.sin(frame / 20)), 3 + int(3 + 3 * np.cos(frame / 31))
        if not self.absent(frame):
            masks[:, y : y + 4, x : x + 4] = 8.0
            if frame % 3 == 0:
                masks[-1, 13:, :3] = 8.0
        logits = masks + random.normal(0, 0.5, masks.shape).astype(np.float32)
        if self.absent(frame):
            logits[:] = -1024.0
        iou = np.float32([0.92, 0.5, 0.6]) + random.uniform(-0.05, 0.05, 3).astype(np.float32)
        if self.absent(frame) or frame % 17 == 0:
            iou -= 0.4
        presence = np.float32([-6.0 if self.absent(frame) else 6.0 + random.normal()])
        pointers = torch.from_numpy(random.normal(size=(1, len(masks), WIDTH)).astype(np.float32))
        prompted = torch.ones(1, 1) if frame == 0 else torch.from_numpy(iou)[None]
        return Candidates(torch.from_numpy(logits)[None], prompted, pointers, torch.from_numpy(presence))

    def features(self, frame: int) -> Features:
        query = Query(frame, _embedding(), None)
        return Features(query, _image(self.seed, frame % 50), None, VIDEO)


@cache
def _embedding() -> torch.Tensor:
    return torch.zeros(WIDTH, 4, 4)


@cache
def _image(seed: int, frame: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng((seed, frame)).normal(size=(3, *NETWORK)).astype(np.float32))


def outcome(
    video: Video, frame: int, read: Read | None = None, choice: int = 0, motion: float | None = None
) -> Outcome:
    """What became of the frame."""
    candidates = video.observe(frame)
    area = int((candidates.logits[0, choice] > 0).sum())
    scores = Scores(float(candidates.iou[0, choice]), float(candidates.presence[0]), motion, area, prompted=frame == 0)
    items = 0 if read is None else len(read.spatial) + len(read.pointers)
    truth = torch.zeros(VIDEO, dtype=torch.bool)
    truth[5:20, 5:20] = not video.absent(frame)
    reading = torch.arange(1, items + 1).float() / max(items * (items + 1) / 2, 1) if items else None
    box = (4.0, 4.0, 8.0, 8.0) if area else None
    return Outcome(frame, candidates, choice, box, scores, VIDEO, truth, reading)


@dataclass(frozen=True)
class Step:
    """One frame of a policy's life: what it read, and its state afterwards."""

    frame: int
    read: Read
    state: object


def live(policy: MemoryPolicy, video: Video, state: object = None, start: int = 0) -> Iterator[Step]:
    """Reads and writes frame after frame, as the tracker would."""
    state = policy.init() if state is None else state
    for frame in range(start, video.length):
        read = Read() if frame == 0 else policy.read(state, Query(frame, _embedding(), None))
        seen = outcome(video, frame, read if policy.measures and frame else None)
        lease = Lease(
            lambda frame=frame: ("again", frame), lambda _, frame=frame: (torch.zeros(WIDTH), ("shown", frame))
        )
        entry = Entry(frame, seen.candidates.pointers[0, 0], ("memory", frame), seen.scores, lease)
        state = policy.write(state, entry, seen)
        lease.end()
        yield Step(frame, read, state)
