"""A procedural tracking benchmark on which memory decides: look-alikes, crossings, occlusions, exits and returns.

Every video is a function of (version, split, index, level): the same frames on every machine, any frame by its number,
nothing to download. The val, test and long splits are fixed lists; the train split has no end.
"""

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from framework.data.procedural.compose import Cast, Stock, compose
from framework.data.procedural.drawn import COMMON, HELD_OUT
from framework.data.procedural.levels import LEVELS, Level
from framework.data.procedural.scene import Rendering
from framework.errors import InputError
from framework.types import Prompt, Size

VERSION = 1
COUNTS = {"train": 1_000_000, "val": 200, "test": 1_000, "long": 50}  # train indices may go beyond
LONG = 1_000  # frames, at least, of a video of the long split
RETURN = 8  # frames, at rate 1, for which a reappearance counts as a return


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is hard about one frame for the tracked object."""

    distractor_near: bool  # a look-alike in view, closer than 1.5 radii edge to edge
    crossing: bool  # another object overlaps the object
    look_alike: bool  # a look-alike is in view
    partial_occlusion: bool  # 10-90 % of what lies within the frame is covered
    full_occlusion: bool
    out_of_view: bool
    returned: bool  # visible, and absent within the last `RETURN` frames
    scale_change: bool  # by more than 30 % since frame 0
    rotation: bool  # by more than 45 degrees since frame 0
    appearance_change: bool  # a colour channel by more than 10 % since frame 0
    fast_motion: bool  # more than a quarter of the diameter per frame
    camera_shake: bool
    clutter: bool  # shapes like the objects' in the background
    small: bool  # visible area below 2 % of the frame
    long: bool  # 1,000 frames or more

    def names(self) -> frozenset[str]:
        """Those that hold."""
        return frozenset(entry.name for entry in fields(self) if getattr(self, entry.name))


def generator(family: str, version: int, split: str, index: int, level: str) -> np.random.Generator:
    """The random generator of one video: seeded by a hash, so no two splits share a seed."""
    digest = hashlib.sha256(f"{family}/{version}/{split}/{level}/{index}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def number_of(name: str) -> int:
    """The number that the name of a video ends in; -1 where there is none."""
    number = name.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else -1


@dataclass(frozen=True)
class ProceduralSequence:
    """One video. Frames are rendered when asked for; the last few are kept."""

    name: str
    length: int
    cast: Cast
    targets: tuple[int, ...]  # ids of the objects to track
    rate: float = 1.0  # frames per frame of the scene's own time
    kinds: frozenset[str] = frozenset()  # attributes of every frame, beside those that are seen
    _recent: dict[int, Rendering] = field(default_factory=dict, repr=False, compare=False)

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        return self.cast.scene.size, self.cast.scene.size

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of all that may be tracked."""
        return self.cast.objects

    def render(self, t: float, hidden: Set[int] = frozenset()) -> Rendering:
        """Any moment of the scene, in its own time, without the objects in `hidden`."""
        return self.cast.scene.render(t, hidden)

    def frame(self, t: int) -> UInt8[np.ndarray, "H W 3"]:
        return self._rendering(t).image

    def ids(self, t: int) -> Integer[np.ndarray, "H W"]:
        """The object that owns each pixel; 0 is the background. Occluders have the highest ids."""
        return self._rendering(t).owner

    def mask(self, t: int, object_id: int = 1) -> Bool[np.ndarray, "H W"]:
        return self._rendering(t).owner == object_id

    def truth(self, t: int) -> dict[int, Bool[np.ndarray, "H W"]]:
        """Masks of the objects to track; all False where one is absent."""
        return {identity: self.mask(t, identity) for identity in self.targets}

    def prompts(self) -> dict[int, dict[int, Prompt]]:
        """Each object's mask on the first frame that shows it."""
        prompts: dict[int, dict[int, Prompt]] = {}
        for identity in self.targets:
            start = next((t for t in range(self.length) if self.visible(t, identity)), 0)
            prompts.setdefault(start, {})[identity] = Prompt(mask=self.mask(start, identity))
        return prompts

    def attributes(self, t: int) -> frozenset[str]:
        """Names of the attributes that hold for the first object."""
        return self.hardness(t).names() | self.kinds

    def visible(self, t: int, object_id: int = 1) -> bool:
        return bool(self.mask(t, object_id).any())

    def hardness(self, t: int, object_id: int = 1) -> Attributes:
        scene, rendering, now = self.cast.scene, self._rendering(t), t / self.rate
        sprite = scene.sprites[object_id - 1]
        area, shown = rendering.area[object_id - 1], np.bincount(rendering.owner.ravel(), minlength=256)
        covered = float(1 - shown[object_id] / area) if area else 0.0
        visible = bool(shown[object_id])
        place, radius = scene.position(object_id, now), sprite.radius * sprite.grown(now)
        gaps = {
            other: float(np.linalg.norm(scene.position(other, now) - place))
            - radius
            - scene.sprites[other - 1].radius * scene.sprites[other - 1].grown(now)
            for other in self.cast.objects
            if other != object_id and shown[other]
        }
        alike = {1, *self.cast.look_alikes} if object_id in (1, *self.cast.look_alikes) else set()
        growth = sprite.grown(now) / sprite.grown(0.0)
        turned = np.mod(sprite.spin * now + np.pi, 2 * np.pi) - np.pi
        step = np.linalg.norm(place - scene.position(object_id, now - 1 / self.rate))
        return Attributes(
            distractor_near=any(gap < 1.5 * radius for other, gap in gaps.items() if other in alike),
            crossing=visible and any(gap < -0.15 * radius for gap in gaps.values()),
            look_alike=any(other in alike for other in gaps),
            partial_occlusion=visible and 0.1 < covered < 0.9,
            full_occlusion=area > 0 and not visible,
            out_of_view=area == 0,
            returned=visible and not all(self.visible(s, object_id) for s in range(max(t - self._return, 0), t)),
            scale_change=bool(abs(np.log(growth)) > np.log(1.3)),
            rotation=bool(abs(turned) > np.pi / 4),
            appearance_change=bool(np.abs(sprite.toned(now) / sprite.toned(0.0) - 1).max() > 0.1),
            fast_motion=bool(step > 0.5 * radius),
            camera_shake=bool(scene.shake.any()),
            clutter=self.cast.cluttered,
            small=visible and bool(shown[object_id] < 0.02 * rendering.owner.size),
            long=self.length >= LONG,
        )

    def _rendering(self, t: int) -> Rendering:
        """Rendered frame `t`. The small cache only saves time: a frame does not depend on what was asked before."""
        if not 0 <= t < self.length:
            raise InputError(f"{self.name} has frames 0 to {self.length - 1}, not {t}")
        if t not in self._recent:
            while len(self._recent) > self._return + 1:
                self._recent.pop(next(iter(self._recent)))
            self._recent[t] = self.cast.scene.render(t / self.rate)
        return self._recent[t]

    @property
    def _return(self) -> int:
        """Frames for which a reappearance counts as a return."""
        return max(1, round(RETURN * self.rate))


@dataclass(frozen=True, slots=True)
class Procedural:
    """A split at one level of difficulty.

    Args:
        split: train, val, test or long.
        level: calm, distractors, occlusion or hard.
        length: frames per video at rate 1; by default 60, and 1,200 in the long split.
        size: height and width in pixels.
        targets: objects to track per video; the first one is what the events happen to.
        rate: frame rate: 2 shows the same scenes in twice as many frames, 0.5 in half as many.
        limit: use only the first videos of the split.
        altered: fields of the level (`framework.data.procedural.levels.Level`) to change, such as {covers: 3.0}.
        only: names of videos to use, in this order; empty for all.
    """

    family: ClassVar[str] = "procedural"
    split: str = "val"
    level: str = "distractors"
    length: int | None = None
    size: int = 128
    targets: int = 1
    limit: int | None = None
    version: int = VERSION
    rate: float = 1.0
    altered: Mapping[str, object] = field(default_factory=dict)
    only: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.split not in COUNTS:
            raise InputError(f"split {self.split!r} is unknown: use one of {', '.join(COUNTS)}")
        if self.level not in LEVELS:
            raise InputError(f"level {self.level!r} is unknown: use one of {', '.join(LEVELS)}")
        self.unaltered.altered(self.altered)
        if self.version != VERSION:
            raise InputError(f"procedural data version {self.version} is not drawn any more: use {VERSION}")
        if not 0.1 <= self.rate <= 10:
            raise InputError(
                f"the frame rate of procedural data is 0.1 to 10 times that of the scenes, not {self.rate}"
            )
        if self.size < 32 or self.duration < 1:
            raise InputError(f"a procedural video needs size >= 32 and length >= 1, not {self.size} and {self.length}")
        if self.targets < 1 or (self.limit is not None and self.limit < 1):
            raise InputError("procedural data need 1 or more targets, and a limit of 1 or more, or null for all videos")
        if self.split == "long" and self.duration < LONG:
            raise InputError(f"videos of the long split have a length of {LONG} or more, not {self.duration}")
        for name in self.only:
            if name != self.name_of(index := number_of(name)) or (
                self.split != "train" and index >= COUNTS[self.split]
            ):
                raise InputError(f"{self.name} has no video '{name}': they are called {self.name_of(0)} and so on")

    @property
    def origin(self) -> str:
        """What the videos are made of."""
        return f"{self.family}-v{self.version}"

    @property
    def name(self) -> str:
        """Part of every result's identity."""
        base = f"{self.origin}-{self.level}-{self.split}-{self.duration}x{self.size}"
        base = base if self.rate == 1 else f"{base}-rate{float(self.rate)}"
        base = base if self.targets == 1 else f"{base}-targets{self.targets}"
        numbers = {name: np.ravel(getattr(self.scenes, name)) for name in sorted(self.altered)}
        return base + "".join(f"-{name}{'to'.join(map(str, ends))}" for name, ends in numbers.items())

    @property
    def scenes(self) -> Level:
        """What its scenes hold."""
        return self.unaltered.altered(self.altered)

    @property
    def unaltered(self) -> Level:
        return LEVELS[self.level]

    @property
    def frames(self) -> int:
        """Frames per video."""
        return max(1, round(self.duration * self.rate))

    @property
    def duration(self) -> int:
        """What a scene lasts, in frames at rate 1."""
        if self.length is not None:
            return self.length
        return LONG + 200 if self.split == "long" else 60

    def stock(self, rng: np.random.Generator) -> Stock:
        """What the things of one video are taken from."""
        return HELD_OUT if self.split == "test" else COMMON

    def name_of(self, index: int) -> str:
        """Of a video, by its number in the split."""
        return f"{self.level}-{self.split}-{index:04d}"

    def __len__(self) -> int:
        count = len(self.only) or COUNTS[self.split]
        return count if self.limit is None else min(self.limit, count)

    def sequence(self, index: int) -> ProceduralSequence:
        if index < 0 or ((self.split != "train" or self.only) and index >= len(self)):
            raise InputError(f"video {index} is not in the {self.split} split: it has 0 to {len(self) - 1}")
        index = number_of(self.only[index]) if self.only else index
        rng = generator(self.family, self.version, self.split, index, self.level)
        cast = compose(rng, self.scenes, self.stock(rng), self.duration, self.size)
        return ProceduralSequence(self.name_of(index), self.frames, cast, cast.objects[: self.targets], self.rate)


@dataclass(frozen=True, slots=True)
class Mixed:
    """Videos of several levels in turn: video i is the i-th of its level, which is an attribute of all its frames.

    Args:
        videos: split, length and size; its level and limit do not count.
        levels: easy to hard or in any other order.
        rate: frame rate: 2 shows the same scenes in twice as many frames, 0.5 in half as many.
        limit: use only the first videos.
        only: names of videos to use, in this order; empty for all.
    """

    videos: Procedural = Procedural()
    levels: Sequence[str] = ("distractors", "occlusion", "hard")
    limit: int | None = None
    only: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.levels:
            raise InputError(f"a mixture needs levels: use some of {', '.join(LEVELS)}")
        for level in self.levels:
            replace(self.videos, level=level, limit=self.limit, only=())
        for name in self.only:
            replace(self.of(number_of(name)), only=(name,))

    @property
    def name(self) -> str:
        return self.videos.name.replace(self.videos.level, "+".join(self.levels), 1)

    def of(self, index: int) -> Procedural:
        """The level that has the video of this number."""
        return replace(self.videos, level=self.levels[index % len(self.levels)], limit=None, only=())

    def __len__(self) -> int:
        count = len(self.only) or len(replace(self.videos, limit=None, only=()))
        return count if self.limit is None else min(self.limit, count)

    def sequence(self, index: int) -> ProceduralSequence:
        if index >= len(self):
            raise InputError(f"video {index} is not in {self.name}: it has 0 to {len(self) - 1}")
        index = number_of(self.only[index]) if self.only else index
        videos = self.of(index)
        return replace(videos.sequence(index), kinds=frozenset({videos.level}))
