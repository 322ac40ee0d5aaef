"""Training clips of the procedural benchmark, drawn without end in a worker process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from framework.data.procedural.dataset import Procedural, ProceduralSequence
from framework.data.procedural.photo import Photo
from framework.data.procedural.stills import Still
from framework.errors import InputError

MAX_VIDEOS = 256  # videos of one step at most, so that no two steps share one


@dataclass(frozen=True, slots=True)
class Clips:
    """V videos of T frames; frame 0 is prompted. Every video gives K rows, one per tracked object."""

    images: UInt8[Tensor, "V T 3 H W"]
    owners: UInt8[Tensor, "V T H W"]
    """Id of the object that owns each pixel; 0 is the background."""
    objects: Int[Tensor, "V K"]
    """Ids of the tracked objects."""
    times: Int[Tensor, "V T"]
    """Frame numbers in the video."""
    sequential: bool
    """Whether the clip is to be tracked frame by frame on the network's own memories."""

    def to(self, device: torch.device) -> "Clips":
        images, owners, objects, times = (p.to(device) for p in (self.images, self.owners, self.objects, self.times))
        return Clips(images, owners, objects, times, self.sequential)


@dataclass(frozen=True, slots=True)
class Curriculum:
    """How clips change over training; `progress` runs from 0 to 1.

    Args:
        sequential_from: progress from which some clips are sequences to track on own memories.
        sequential_share: share of those steps from then on.
        videos: videos per step while memories are given.
        frames: frames per clip while memories are given: the prompted frame and two rounds of queries.
        sequence_videos: videos per sequential step.
        burn_in: fewest and most frames that a sequence is tracked before it is learned from, prompt included.
        learned: frames at the end of a sequence that are learned from.
        right, sampled, spaced: shares of the sequences that remember only what is right (as an oracle would), a sample
            of the frames, every second or third one; the others remember everything.
        hide: probability, per queried frame, that a tracked object is left out of it (an absent frame).
        occlusion: share of steps with given memories in which the newest of them, a different number in every row, saw
            nothing: only what is older tells where the object is.
        identity_switch: share of rows with given memories in which the newest of them, a different number in every row,
            are those of the video's other object: only what is older tells that they are wrong.
        clicks: share of steps in which box and point prompts are trained too.

    Raises:
        InputError: more videos than steps can have apart from one another; shares of sequences beyond 1.
    """

    sequential_from: float = 0.6
    sequential_share: float = 0.4
    videos: int = 5
    frames: int = 5
    sequence_videos: int = 3
    burn_in: Sequence[int] = (5, 20)
    learned: int = 6
    right: float = 0.32
    sampled: float = 0.1
    spaced: float = 0.08
    hide: float = 0.15
    occlusion: float = 0.4
    identity_switch: float = 0.2
    clicks: float = 0.5

    def __post_init__(self) -> None:
        if max(self.videos, self.sequence_videos) > MAX_VIDEOS:
            raise InputError(f"a step has {MAX_VIDEOS} videos at most, not {max(self.videos, self.sequence_videos)}")
        if min(shares := (self.right, self.sampled, self.spaced)) < 0 or sum(shares) > 1:
            raise InputError(f"right, sampled and spaced share out the sequences: {shares} exceed 0..1 together")

    def sequential(self, step: int, progress: float) -> bool:
        """The same answer in every process, so that all are equally long at work."""
        return progress >= self.sequential_from and np.random.default_rng(step).random() < self.sequential_share

    def length(self, step: int, sequential: bool) -> int:
        """Frames per clip of a step; the same in every process."""
        if not sequential:
            return self.frames
        fewest, most = self.burn_in
        return int(np.random.default_rng((step, 3)).integers(fewest, most, endpoint=True)) + self.learned

    def difficulty(self, progress: float) -> float:
        """How hard given memories have become, 0..1."""
        return min(progress / self.sequential_from, 1.0) if self.sequential_from > 0 else 1.0

    def gaps(self, rng: np.random.Generator, progress: float, length: int, sequential: bool) -> np.ndarray:
        """Frames between the `length` frames of a clip: consecutive at first, then with ever longer gaps."""
        if sequential:
            gaps = np.full(length - 1, int(rng.choice([1, 1, 2, 3])))
            stale = 0.4
        else:
            difficulty = self.difficulty(progress)
            longest = 2 + 14 * min(difficulty / 0.6, 1.0) * rng.random() ** 2
            gaps = 1 + rng.integers(0, max(int(longest), 1), length - 1)
            stale = 0.5 * difficulty
        if rng.random() < stale:  # what is remembered lies long ago: only its appearance helps
            gaps[rng.integers(gaps.size)] += int(rng.integers(5, 45))
        return gaps


class ClipStream(IterableDataset):
    """Batches of training clips, different at every step and the same for the same seed and step, whatever the number
    of worker processes that draw them in turn.

    Args:
        progress: one shared number from 0 to 1, written by the training loop.
        step: step at which the stream starts (not 0 when training resumes).
        photographs: photographic videos, of which the split, level, length and size do not count.
        photographic: share of the videos that are theirs.
        stills: share of those that are stills under warps (`framework.data.procedural.stills`).
    """

    LEVELS = ("calm", "distractors", "occlusion", "hard")
    SHARES = (0.1, 0.3, 0.3, 0.3)
    LENGTH = 120

    def __init__(
        self,
        progress: Float[Tensor, " 1"],
        curriculum: Curriculum,
        size: int,
        seed: int = 0,
        step: int = 0,
        photographs: Photo | None = None,
        photographic: float = 0.0,
        stills: float = 0.0,
    ) -> None:
        self.progress, self.curriculum, self.size, self.seed, self.step = progress, curriculum, size, seed, step
        self.photographs, self.photographic, self.stills = photographs, photographic, stills

    def __iter__(self) -> Iterator[Clips]:
        cv2.setNumThreads(1)
        worker = get_worker_info()
        first, every = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in count(self.step + first, every):
            rng = np.random.default_rng((self.seed, step))
            yield self.draw(rng, step, float(self.progress))

    def draw(self, rng: np.random.Generator, step: int, progress: float) -> Clips:
        plan = self.curriculum
        sequential = plan.sequential(step, progress)
        videos, frames = plan.sequence_videos if sequential else plan.videos, plan.length(step, sequential)
        clips: list[tuple[np.ndarray, ...]] = []
        while len(clips) < videos:
            level = str(rng.choice(self.LEVELS, p=self.SHARES))
            index = (step * MAX_VIDEOS + len(clips)) * 64 + self.seed % 64
            drawn: Procedural = Procedural()
            if self.photographs is not None and rng.random() < self.photographic:
                drawn = self.photographs
            drawn = replace(drawn, split="train", level=level, length=self.LENGTH, size=self.size)
            sequence: ProceduralSequence | Still
            if isinstance(drawn, Photo) and self.stills and rng.random() < self.stills:
                sequence = drawn.still(index)
            else:
                sequence = drawn.sequence(index)
            clips.append(self._clip(rng, sequence, plan.gaps(rng, progress, frames, sequential), sequential))
        images, owners, objects, times = (np.stack(part) for part in zip(*clips, strict=True))
        return Clips(
            torch.from_numpy(images).permute(0, 1, 4, 2, 3).contiguous(),
            torch.from_numpy(owners),
            torch.from_numpy(objects),
            torch.from_numpy(times),
            sequential,
        )

    def _clip(
        self, rng: np.random.Generator, sequence: ProceduralSequence | Still, gaps: np.ndarray, sequential: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        start = int(rng.integers(0, max(sequence.length - int(gaps.sum()), 1)))
        objects = self._trackable(sequence, start)
        if 1 not in objects:  # hidden right now: begin where the video itself begins
            start, objects = 0, self._trackable(sequence, 0)
        tracked = np.array([1, int(rng.choice(objects[1:])) if len(objects) > 1 else 1])
        times = np.minimum(start + np.concatenate([[0], np.cumsum(gaps)]), sequence.length - 1)
        hidden = self._hidden(rng, tracked, len(times), sequential)
        frames = [sequence.render(float(t), gone) for t, gone in zip(times, hidden, strict=True)]
        return np.stack([f.image for f in frames]), np.stack([f.owner for f in frames]), tracked, times

    def _hidden(self, rng: np.random.Generator, tracked: np.ndarray, frames: int, sequential: bool) -> list[set[int]]:
        """Tracked objects left out of each frame: here and there, or (in a sequence) for a while."""
        hide = 2 * self.curriculum.hide  # one of two objects at a time
        if not sequential:
            return [{int(rng.choice(tracked))} if i and rng.random() < hide else set() for i in range(frames)]
        # Away early enough to be back, more often than not, among the frames that are learned from.
        gone, long = {int(rng.choice(tracked))}, int(rng.integers(2, 12))
        start = max(frames - self.curriculum.learned + int(rng.integers(-4, 4)) - long // 2, 1)
        away = range(start, start + long) if rng.random() < 2 * hide else range(0)
        return [gone if i in away else set() for i in range(frames)]

    @staticmethod
    def _trackable(sequence: ProceduralSequence | Still, t: int, least: int = 40) -> list[int]:
        """Objects with at least `least` visible pixels."""
        shown = np.bincount(sequence.ids(t).ravel(), minlength=256)
        return [identity for identity in sequence.objects if shown[identity] >= least]
