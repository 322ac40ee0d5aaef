"""Photographic videos: cut-outs of one's own pictures move, meet and hide over photographs."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.random import Generator
from PIL import Image

from framework.data.procedural.compose import Stock
from framework.data.procedural.cutouts import Cutout, Cutouts, shares
from framework.data.procedural.dataset import Procedural, ProceduralSequence, generator
from framework.data.procedural.levels import LEVELS, Level
from framework.data.procedural.scene import Cover, Flex, Scene, Sprite, Wander, direction
from framework.data.procedural.stills import Picture, Still, draw_warp
from framework.data.procedural.textures import outline
from framework.errors import InputError

SIZES = {"calm": (0.12, 0.42)}
"""Radii by level, in frame widths: half the diagonal of a cut-out. Photographed things fill more of their picture."""
STILL = 3
"""Half sides of a frame that the picture of a still measures."""
MARGIN = 0.12
"""Share of a patch's side left free for what swings."""


@dataclass(frozen=True, slots=True)
class PhotoLook:
    """A cut-out and what was done to it."""

    cutout: Cutout
    mirrored: bool = False
    hue: float = 0.0
    """Turn of the hue, -0.5..0.5."""
    tone: tuple[float, float] = (1.0, 1.0)
    """Factors of saturation and value."""
    bend_seed: int = 0
    """Of a lasting change of its outline; 0 for none."""


@dataclass(frozen=True)
class PhotoStock:
    """See `framework.data.procedural.compose.Stock`; one per video.

    Args:
        things, pictures: of the split.
        squash: width over height by which everything is squeezed, as a network squeezes wide frames into a square.
        ground: the picture behind everything.
    """

    things: tuple[Cutout, ...]
    pictures: tuple[Path, ...]
    squash: float
    ground: UInt8[np.ndarray, "h w 3"]

    @cached_property
    def _kinds(self) -> dict[str, list[Cutout]]:
        found: dict[str, list[Cutout]] = {}
        for one in self.things:
            found.setdefault(one.kind, []).append(one)
        return found

    def thing(self, rng: Generator) -> PhotoLook:
        share = shares(self.things)
        kind = list(share)[int(rng.choice(len(share), p=list(share.values())))]
        return self._look(rng, self._kinds[kind])

    def look_alike(self, rng: Generator, look: PhotoLook) -> PhotoLook:
        """Another pose or instance of the kind, or the same cut-out mirrored, bent and in other colours."""
        way = int(rng.integers(3))
        if way == 0:
            views = [one for one in self._kinds[look.cutout.kind] if one.thing == look.cutout.thing]
            return self._look(rng, views if len(views) > 1 else self._kinds[look.cutout.kind])
        twin = replace(look, mirrored=not look.mirrored, bend_seed=int(rng.integers(1, 2**31)))
        if way == 1:
            return replace(twin, hue=look.hue + rng.choice([-1, 1]) * rng.uniform(0.06, 0.3))
        return replace(twin, tone=(rng.uniform(0.6, 1.3), rng.uniform(0.75, 1.25)))

    def sprite(self, rng: Generator, level: Level, look: PhotoLook, radius: float, size: int, walk: Wander) -> Sprite:
        """Mostly upright, mostly not rigid."""
        side = 2 * int(np.ceil(1.5 * radius * size / (1 - 2 * MARGIN))) + 4
        patch = self._patch(rng, look, side)
        still = rng.random() < 0.25
        return Sprite(
            patch=patch,
            radius=radius * 1.15,
            scale=radius * size / (side * (0.5 - MARGIN)),
            walk=walk,
            angle=rng.uniform(0, 2 * np.pi) if rng.random() < 0.15 else rng.normal(0, 0.12),
            spin=level.change * rng.choice([0.0, rng.normal(0, 0.008), rng.normal(0, 0.04)], p=[0.5, 0.4, 0.1]),
            breathing=(
                rng.choice([0.0, rng.uniform(0.1, 0.35), rng.uniform(0.35, 0.7)], p=[0.3, 0.5, 0.2]),
                level.change * rng.uniform(0.03, 0.08),
                rng.uniform(0, 6),
            ),
            stretch=rng.choice([0.0, rng.uniform(0.05, 0.2)]),
            tint=(rng.choice([0.0, rng.uniform(0.1, 0.3)]), level.change * rng.uniform(0.02, 0.06)),
            flex=None if still else _flex(rng, level.change),
            exposure=rng.choice([0.0, rng.uniform(0.2, 0.6)]),
            shadow=rng.choice([0.0, rng.uniform(0.2, 0.6)]),
        )

    def occluder(self, rng: Generator, time: float, radius: float, size: int) -> Sprite:
        """A piece of another photograph, or a large cut-out."""
        half = radius * rng.uniform(1.3, 1.7)
        side = 2 * int(np.ceil(half * size)) + 4
        if rng.random() < 0.5:
            form = "ellipse" if rng.random() < 0.5 else "polygon"
            coverage = outline(form, int(rng.integers(2**31)), side, side / 2 - 2)
            colour = _crop(rng, self._picture(rng), side, self.squash)
            patch = np.dstack([(colour * (coverage[..., None] / 255)).astype(np.uint8), coverage])
        else:
            patch = self._patch(rng, self.thing(rng), side, margin=0.0)
        return Sprite(
            patch=patch,
            radius=half,
            scale=1.0,
            walk=Wander(np.zeros(2), np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((2, 1))),
            cover=Cover(time, float(rng.uniform(1, 8)), direction(rng) * radius * rng.uniform(0.3, 0.6)),
            angle=rng.normal(0, 0.3),
        )

    def background(self, rng: Generator, size: int, cluttered: bool) -> np.ndarray:
        side = size * 2
        ground = _crop(rng, self.ground, side, self.squash)
        if cluttered:
            for _ in range(int(rng.integers(2, 7))):
                span = int(rng.integers(side // 12, side // 4))
                patch = self._patch(rng, self.thing(rng), span, margin=0.0)
                row, column = (int(v) for v in rng.integers(0, side - span, 2))
                region = ground[row : row + span, column : column + span]
                region[...] = (region * (1 - patch[..., 3:] / 255) + patch[..., :3]).astype(np.uint8)
        return ground

    def finish(self, rng: Generator, scene: Scene) -> Scene:
        """A camera that follows, zooms, is out of focus and compresses."""
        camera = replace(scene.camera, amplitude=scene.camera.amplitude * rng.uniform(0.5, 2.0))
        return replace(
            scene,
            camera=camera,
            zoom=(rng.choice([0.0, rng.uniform(0.05, 0.25)]), rng.uniform(0.02, 0.06), rng.uniform(0, 6)),
            blur=scene.blur * rng.choice([1.0, 2.0]),
            jpeg=None if rng.random() < 0.4 else int(rng.integers(25, 95)),
        )

    def _look(self, rng: Generator, among: list[Cutout]) -> PhotoLook:
        return PhotoLook(
            among[int(rng.integers(len(among)))],
            mirrored=bool(rng.random() < 0.5),
            hue=rng.choice([0.0, rng.normal(0, 0.04)]),
            tone=(rng.uniform(0.7, 1.2), rng.uniform(0.7, 1.15)),
        )

    def _patch(self, rng: Generator, look: PhotoLook, side: int, margin: float = MARGIN) -> UInt8[np.ndarray, "S S 4"]:
        """Premultiplied, as large as the patch allows; its colours are moved towards the background's now and then."""
        pixels = look.cutout.pixels()
        pixels = pixels[:, ::-1] if look.mirrored else pixels
        height, width = pixels.shape[0], pixels.shape[1] * self.squash
        scale = side * (1 - 2 * margin) / float(np.hypot(height, width))
        shape = max(int(width * scale), 2), max(int(height * scale), 2)
        colour = _toned(np.ascontiguousarray(pixels[..., :3]), look.hue, look.tone).astype(np.float32)
        share = rng.choice([0.0, rng.uniform(0.1, 0.5)])
        colour += share * (self.ground.reshape(-1, 3).mean(0) - colour[pixels[..., 3] > 127].mean(0))
        alpha = pixels[..., 3:].astype(np.float32) / 255
        flat = np.dstack([np.clip(colour, 0, 255) * alpha, 255 * alpha])
        small = cv2.resize(flat, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        patch = np.zeros((side, side, 4), np.uint8)
        top, left = (side - shape[1]) // 2, (side - shape[0]) // 2
        patch[top : top + shape[1], left : left + shape[0]] = np.clip(small, 0, 255)
        if look.bend_seed:
            patch = _flex(np.random.default_rng(look.bend_seed), 1.0).bent(patch, 17.0)
        return patch

    def _picture(self, rng: Generator) -> UInt8[np.ndarray, "h w 3"]:
        return picture(self.pictures[int(rng.integers(len(self.pictures)))])


@dataclass(frozen=True, slots=True)
class Photo(Procedural):
    """Photographic videos of a split at one level, from folders of one's own (`framework.data.procedural.cutouts`).

    Args:
        sprites: folder of cut-outs.
        backgrounds: folder of pictures.
        The others as for `Procedural`.
    """

    family: ClassVar[str] = "photo"
    size: int = 256
    sprites: str | None = None
    backgrounds: str | None = None

    def __post_init__(self) -> None:
        for name in ("sprites", "backgrounds"):
            if not getattr(self, name):
                raise InputError(f"data.{name} is missing: give data.{name}=FOLDER of pictures (docs/procedural.md)")
        Procedural.__post_init__(self)
        self.cutouts.of(self.drawn_from)

    @property
    def cutouts(self) -> Cutouts:
        assert self.sprites and self.backgrounds
        return _cutouts(self.sprites, self.backgrounds)

    @property
    def drawn_from(self) -> str:
        """Split of the pictures."""
        return "test" if self.split == "long" else self.split

    @property
    def origin(self) -> str:
        return f"{self.family}-v{self.version}-{self.cutouts.digest}"

    @property
    def unaltered(self) -> Level:
        level = LEVELS[self.level]
        return replace(level, radius=SIZES.get(self.level, (0.11, 0.32)))

    def still(self, index: int) -> Still:
        """A photograph that warps as a whole: one with its mask where the cut-outs come with their surroundings, else
        what the video `index` shows at its start, drawn larger."""
        rng = generator(f"{self.family}-still", self.version, self.split, index, self.level)
        side = STILL * self.size // 2
        things, _ = self.cutouts.of(self.drawn_from)
        whole = [one for one in things if one.in_place]
        objects: tuple[int, ...] = (1,)
        if whole:
            thing, mirrored = whole[int(rng.integers(len(whole)))], bool(rng.random() < 0.5)
            picture: Callable[[frozenset[int]], Picture] = partial(_in_place, thing, side, mirrored)
        else:
            video = replace(self, size=side).sequence(index)
            picture, objects = partial(_at_start, video), video.objects
        rows, columns = np.nonzero(picture(frozenset())[1] == 1)
        centre = (np.array([columns.mean(), rows.mean()]) + 0.5) / side
        spread = max(np.ptp(columns), np.ptp(rows)) / side
        extent = float(np.clip(spread * rng.uniform(1.2, 3.5), 0.5, 1.0))
        warp = draw_warp(rng, centre + rng.normal(0, 0.1 * extent, 2), extent)
        return Still(self.size, self.frames, objects, picture, warp)

    def stock(self, rng: np.random.Generator) -> Stock:
        things, pictures = self.cutouts.of(self.drawn_from)
        squash = rng.choice([1.0, 9 / 16, rng.uniform(0.5, 1.6)], p=[0.3, 0.4, 0.3])
        return PhotoStock(things, pictures, squash, picture(pictures[int(rng.integers(len(pictures)))]))


def _at_start(video: ProceduralSequence, hidden: frozenset[int]) -> Picture:
    shown = video.render(0.0, hidden)
    return shown.image, shown.owner


def _in_place(thing: Cutout, side: int, mirrored: bool, hidden: frozenset[int]) -> Picture:
    """The whole photograph squeezed into a square; its object cannot be left out."""
    pixels = thing.photograph()
    pixels = np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
    smaller = min(pixels.shape[:2]) > side
    square = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.ascontiguousarray(square[..., :3]), (square[..., 3] > 127).astype(np.uint8)


@lru_cache(maxsize=8)
def _cutouts(sprites: str, backgrounds: str) -> Cutouts:
    return Cutouts(Path(os.path.expanduser(sprites)), Path(os.path.expanduser(backgrounds)))


@lru_cache(maxsize=64)
def picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB. Raises InputError for a file that is no picture."""
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"{path} cannot be read as a picture: {error}") from error
    pixels.setflags(write=False)
    return pixels


def _crop(rng: Generator, pixels: UInt8[np.ndarray, "h w 3"], side: int, squash: float) -> UInt8[np.ndarray, "S S 3"]:
    """A part of a picture, squeezed into a square."""
    height, width = pixels.shape[:2]
    tall = min(height, width * squash) * rng.uniform(0.6, 1.0)
    rows, columns = max(int(tall), 2), max(int(tall / squash), 2)
    top, left = (int(rng.integers(0, max(whole - part, 0) + 1)) for whole, part in ((height, rows), (width, columns)))
    part = pixels[top : top + rows, left : left + columns]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if rows > side else cv2.INTER_LINEAR)


def _toned(colour: UInt8[np.ndarray, "h w 3"], hue: float, tone: tuple[float, float]) -> UInt8[np.ndarray, "h w 3"]:
    h, s, v = cv2.split(cv2.cvtColor(colour, cv2.COLOR_RGB2HSV_FULL))
    h = (h.astype(np.int16) + round(256 * hue)).astype(np.uint8)  # a byte is a full turn
    s, v = (cv2.convertScaleAbs(part, alpha=factor) for part, factor in zip((s, v), tone, strict=True))
    return cv2.cvtColor(cv2.merge([h, s, v]), cv2.COLOR_HSV2RGB_FULL)


def _flex(rng: Generator, change: float) -> Flex:
    parts = int(rng.integers(2, 6))
    reach = rng.uniform(0.07, 0.22, parts)
    ways = np.stack([direction(rng) for _ in range(parts)])
    return Flex(
        centre=rng.uniform(0.15, 0.85, (parts, 2)),
        reach=reach,
        swing=ways * (reach * rng.uniform(0.1, 0.7, parts))[:, None],
        frequency=change * rng.uniform(0.06, 0.35, parts),
        phase=rng.uniform(0, 2 * np.pi, parts),
    )
