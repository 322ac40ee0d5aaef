"""Drawn things: shapes with textures, and backgrounds of the same kind."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator

from framework.data.procedural.levels import Level
from framework.data.procedural.scene import Cover, Scene, Sprite, Wander, direction
from framework.data.procedural.textures import (
    HELD_OUT_SHAPES,
    HELD_OUT_TEXTURES,
    SHAPES,
    TEXTURES,
    Colour,
    box,
    outline,
    rgb,
    texture,
)


@dataclass(frozen=True, slots=True)
class Look:
    """A recipe for an object's appearance."""

    shape: str
    shape_seed: int
    pattern: str
    pattern_seed: int
    colours: tuple[Colour, Colour]

    def shifted(self, hue: float, value: float) -> "Look":
        first, second = (((h + hue) % 1, s, float(np.clip(v + value, 0.15, 1))) for h, s, v in self.colours)
        return replace(self, colours=(first, second))


@dataclass(frozen=True, slots=True)
class DrawnStock:
    """See `framework.data.procedural.compose.Stock`."""

    shapes: tuple[str, ...]
    patterns: tuple[str, ...]

    def thing(self, rng: Generator) -> Look:
        return Look(_pick(rng, self.shapes), _seed(rng), _pick(rng, self.patterns), _seed(rng), _vivid(rng))

    def look_alike(self, rng: Generator, look: Look) -> Look:
        side = rng.choice([-1.0, 1.0])
        kind = int(rng.integers(3))
        if kind == 0:  # another hue
            return replace(look.shifted(side * rng.uniform(0.08, 0.16), 0.0), shape_seed=_seed(rng))
        if kind == 1:  # the same colours on another shape, laid out anew
            return replace(look, shape=_pick(rng, self.shapes), shape_seed=_seed(rng), pattern_seed=_seed(rng))
        shifted = look.shifted(side * rng.uniform(0.04, 0.07), side * rng.uniform(0.05, 0.12))  # a near twin
        return replace(shifted, shape_seed=_seed(rng))

    def sprite(self, rng: Generator, level: Level, look: Look, radius: float, size: int, walk: Wander) -> Sprite:
        side = 2 * int(np.ceil(radius * size * 1.3)) + 4
        return Sprite(
            patch=_patch(look, outline(look.shape, look.shape_seed, side, side / 2 - 2)),
            radius=radius,
            scale=radius * size / (side / 2 - 2),
            walk=walk,
            angle=rng.uniform(0, 2 * np.pi),
            spin=level.change * rng.choice([0.0, rng.uniform(-0.05, 0.05)]),
            breathing=(
                rng.choice([0.0, rng.uniform(0.1, 0.35)]),
                level.change * rng.uniform(0.03, 0.1),
                rng.uniform(0, 6),
            ),
            stretch=rng.choice([0.0, rng.uniform(0.05, 0.2)]),
            tint=(rng.choice([0.0, rng.uniform(0.15, 0.4)]), level.change * rng.uniform(0.02, 0.06)),
        )

    def occluder(self, rng: Generator, time: float, radius: float, size: int) -> Sprite:
        look = replace(self.thing(rng), colours=_background_colours(rng))
        bar = rng.random() < 0.5
        towards = direction(rng)
        half = radius * rng.uniform(1.25, 1.6)
        side = 2 * int(np.ceil((0.45 if bar else half * 1.25) * size)) + 4
        if bar:
            towards = np.array([rng.choice([-1.0, 1.0]), 0.0])
            coverage, reach = box(side, 0.45 * size, half * size), 0.62
        else:
            coverage, reach = (
                outline("ellipse" if rng.random() < 0.5 else "polygon", _seed(rng), side, side / 2 - 2),
                half * 1.25,
            )
        speed = radius * rng.uniform(0.3, 0.6)
        return Sprite(
            patch=_patch(look, coverage),
            radius=reach,
            scale=1.0,
            walk=Wander(np.zeros(2), np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((2, 1))),
            cover=Cover(time, float(rng.uniform(1, 8)), towards * speed),
            angle=0.0 if bar else rng.uniform(0, 6),
        )

    def background(self, rng: Generator, size: int, cluttered: bool) -> np.ndarray:
        side, extent = size * 3 // 2, rng.uniform(0.8, 2.0)
        ground = texture(_pick(rng, self.patterns), _seed(rng), _background_colours(rng), side, extent)
        relief = texture("noise", _seed(rng), ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0)), side)
        ground = cv2.addWeighted(ground, 0.75, relief, rng.uniform(0.05, 0.25), 0.0)
        if cluttered:
            for _ in range(int(rng.integers(8, 20))):
                span = int(rng.integers(side // 24, side // 7))
                shape = outline(_pick(rng, self.shapes), _seed(rng), span, span / 2 - 1)
                row, column = (int(v) for v in rng.integers(0, side - span, 2))
                colour = rgb((rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.9)))
                ground[row : row + span, column : column + span][shape > 127] = colour.astype(np.uint8)
        return ground

    def finish(self, rng: Generator, scene: Scene) -> Scene:
        return scene


COMMON = DrawnStock(SHAPES, TEXTURES)
# Half of what the test split draws comes from families that no other split has.
HELD_OUT = DrawnStock(SHAPES + HELD_OUT_SHAPES * 2, TEXTURES + HELD_OUT_TEXTURES * 3)


def _seed(rng: Generator) -> int:
    return int(rng.integers(2**31))


def _pick(rng: Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]


def _vivid(rng: Generator) -> tuple[Colour, Colour]:
    hue, value = rng.random(), rng.uniform(0.5, 1.0)
    other = (hue + rng.choice([0.0, rng.uniform(0.08, 0.5)])) % 1
    contrast = value - rng.uniform(0.3, 0.5) if rng.random() < 0.7 else value
    return (hue, rng.uniform(0.5, 1.0), value), (float(other), rng.uniform(0.3, 1.0), max(contrast, 0.1))


def _background_colours(rng: Generator) -> tuple[Colour, Colour]:
    hue, value = rng.random(), rng.uniform(0.25, 0.8)
    return (hue, rng.uniform(0, 0.5), value), (
        (hue + rng.uniform(-0.15, 0.15)) % 1,
        rng.uniform(0, 0.5),
        float(np.clip(value + rng.uniform(-0.3, 0.3), 0.05, 1)),
    )


def _patch(look: Look, coverage: np.ndarray) -> np.ndarray:
    colour = texture(look.pattern, look.pattern_seed, look.colours, coverage.shape[0])
    edge = cv2.erode(coverage, np.ones((3, 3), np.uint8)) > 127
    shaded = np.where(edge[..., None], colour, colour * 0.45)  # a dark rim, as real objects have against the light
    premultiplied = shaded * (coverage[..., None] / 255)
    return np.dstack([premultiplied.astype(np.uint8), coverage])
