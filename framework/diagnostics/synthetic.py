"""Observations of a made-up video, to drive policies and motion models without a network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from framework.errors import calling
from framework.interfaces import MemoryPolicy
from framework.tracker import Tracker, lockstep
from framework.types import (
    Candidates,
    Entry,
    Features,
    Frame,
    FrameEncoder,
    Image,
    MemoryUse,
    Opaque,
    Outcome,
    Prompt,
    Query,
    Read,
    Scores,
    Track,
)

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
        iou = np.array([0.92, 0.5, 0.6], np.float32) + random.uniform(-0.05, 0.05, 3).astype(np.float32)
        if self.absent(frame) or frame % 17 == 0:
            iou -= 0.4
        presence = np.array([-6.0 if self.absent(frame) else 6.0 + random.normal()], np.float32)
        pointers = torch.from_numpy(random.normal(size=(1, len(masks), WIDTH)).astype(np.float32))
        prompted = torch.ones(1, 1) if frame == 0 else torch.from_numpy(iou)[None]
        return Candidates(torch.from_numpy(logits)[None], prompted, pointers, torch.from_numpy(presence))

    def features(self, frame: int) -> Features:
        """Of a stream."""
        query = Query(frame, _embedding(self.seed, frame % 50), None)
        return Features(query, _image(self.seed, frame % 50), None, VIDEO)


@cache
def _embedding(seed: int, frame: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng((seed, frame, 1)).normal(size=(WIDTH, 4, 4)).astype(np.float32))


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
    features = video.features(frame)
    return Outcome(
        frame=frame,
        candidates=candidates,
        choice=choice,
        box=box,
        scores=scores,
        size=VIDEO,
        truth=truth,
        read=read or Read(),
        attention=attention,
        embedding=features.query.embedding,
        features=features,
        compare=similarity,
    )


def similarity(memory: Opaque, others: Sequence[Opaque]) -> Tensor:
    """Of made-up memories, which say of which frame they are: less the further apart, with ups and downs."""
    at, frames = float(memory[1]), torch.tensor([float(other[1]) for other in others])
    return torch.cos((frames - at) / 7) / (1 + (frames - at).abs() / 100)


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
        with calling(policy, "read", frame, 1):
            read = Read() if frame == 0 else policy.read(state, video.features(frame).query)
        seen = outcome(video, frame, read if policy.measures and frame else None)
        encoder = _encoder(frame)
        entry = Entry(frame, seen.candidates.pointers[0, 0], ("memory", frame), seen.scores, encoder)
        with calling(policy, "write", frame, 1):
            state = policy.write(state, entry, seen)
        encoder.end()
        yield Step(frame, read, state)


def _encoder(frame: int) -> FrameEncoder:
    return FrameEncoder(lambda: ("again", frame), lambda mask: (torch.zeros(WIDTH), ("shown", frame)))


# ---------------------------------------------------------------------------------------------------- whole trackers

FRAMES = 24


@dataclass(frozen=True)
class SyntheticNetwork:
    """Says of every row what `Video.observe` does, and takes a mask prompt at its word."""

    video: Video = Video(0, FRAMES, lost=14, found=18)
    slots: int = 6
    fill_hole_area: int = 0

    def encode(self, image: Image, frame: int, length: int | None) -> Features:
        return self.video.features(frame)

    def condition(self, features: Features, reads: Sequence[Read]) -> Tensor:
        return torch.zeros(len(reads), WIDTH, 4, 4)

    def measure(self, features: Features, reads: Sequence[Read]) -> tuple[Tensor, Tensor]:
        items = len(reads[0].spatial) + len(reads[0].pointers)
        return self.condition(features, reads), torch.full((len(reads), items, 4, 4), 1 / max(items, 1))

    def decode(self, features: Features, conditioned: Tensor, presence_threshold: Tensor) -> Candidates:
        one, rows = self.video.observe(max(features.query.frame, 1)), len(conditioned)
        return Candidates(
            *(part.repeat(rows, *[1] * (part.dim() - 1)) for part in (one.logits, one.iou, one.pointers, one.presence))
        )

    def prompt(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        conditioned: Tensor | None = None,
        previous: Tensor | None = None,
    ) -> Candidates:
        masks = torch.stack([torch.from_numpy(np.asarray(prompt.mask, np.float32)) for prompt in prompts])
        logits = 16 * F.interpolate(masks[:, None], (GRID, GRID), mode="bilinear") - 8
        pointers = torch.full((len(prompts), 1, WIDTH), float(features.query.frame))
        return Candidates(logits, torch.ones(len(prompts), 1), pointers, torch.full((len(prompts),), 8.0))

    def memorise(self, features: Features, logits: Tensor, presence: Tensor, prompted: Tensor) -> list[Opaque]:
        return [("memory", features.query.frame)] * len(logits)

    def similarity(self, memory: Opaque, others: Sequence[Opaque]) -> Tensor:
        return similarity(memory, others)


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
