"""Observations of a made-up video, to drive policies and motion models without a network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from framework.interfaces import MemoryPolicy
from framework.tracker import Tracker, lockstep
from framework.types import (
    Candidates,
    Entry,
    Features,
    Frame,
    FrameEncoder,
    MemoryUse,
    Outcome,
    Prompt,
    Query,
    Read,
    Scores,
    Track,
)
from tests.fakes.scripted import Script, ScriptedNetwork

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
    """What became of the frame, with the attention to the items of `read`: ever more of it."""
    candidates = video.observe(frame)
    area = int((candidates.logits[0, choice] > 0).sum())
    scores = Scores(float(candidates.iou[0, choice]), float(candidates.presence[0]), motion, area, prompted=frame == 0)
    items = 0 if read is None else len(read.spatial) + len(read.pointers)
    truth = torch.zeros(VIDEO, dtype=torch.bool)
    truth[5:20, 5:20] = not video.absent(frame)
    shares = torch.arange(1, items + 1).float() / max(items * (items + 1) / 2, 1)
    attention = shares[:, None, None].expand(-1, 4, 4) if items else None
    box = (4.0, 4.0, 8.0, 8.0) if area else None
    return Outcome(frame, candidates, choice, box, scores, VIDEO, truth, read or Read(), attention)


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
        encoder = FrameEncoder(
            lambda frame=frame: ("again", frame), lambda _, frame=frame: (torch.zeros(WIDTH), ("shown", frame))
        )
        entry = Entry(frame, seen.candidates.pointers[0, 0], ("memory", frame), seen.scores, encoder)
        state = policy.write(state, entry, seen)
        encoder.end()
        yield Step(frame, read, state)


# ---------------------------------------------------------------------------------------------------- whole trackers

FRAMES = 24


def scripted() -> ScriptedNetwork:
    """A network that sees a target, now and then something else, and is not always sure."""
    random = np.random.default_rng(0)
    logits = np.full((FRAMES, 1, 3, GRID, GRID), -6.0, dtype=np.float32)
    logits[..., 5:11, 4:10] = 6.0
    logits[:, :, 2, 12:, 12:] = 6.0
    script = Script(
        logits + random.normal(0, 0.5, logits.shape).astype(np.float32),
        random.uniform(0.3, 1, (FRAMES, 1, 3)).astype(np.float32),
        random.normal(2, 2, (FRAMES, 1)).astype(np.float32),
    )
    return ScriptedNetwork(script, NETWORK, VIDEO)


def tracked(tracker: Tracker, objects: set[int], *others: Tracker) -> list[Mapping[int, Track]]:
    """What `tracker` says, in lockstep with others, of object 1 from frame 0 and object 2 from frame 5 on."""
    mask = np.zeros(VIDEO, dtype=bool)
    mask[10:20, 10:25] = True
    start, truth = {0: 1, 5: 2}, {key: torch.from_numpy(mask) for key in objects}
    frames = []
    for t in range(FRAMES):
        prompts = {start[t]: Prompt(mask=mask)} if start.get(t) in objects else {}
        frames.append(Frame(_image(0, t), prompts, truth=truth))
    rows = [tracker, *(replace(other, network=tracker.network) for other in others)]
    together = lockstep({str(index): row for index, row in enumerate(rows)}, frames)
    return [results["0"].tracks for results in together]


def seen(frames: Sequence[Mapping[int, Track]], key: int) -> list[tuple[int, Scores, MemoryUse]]:
    """All that was decided about one object."""
    return [(tracks[key].choice, tracks[key].scores, tracks[key].memory) for tracks in frames if key in tracks]
