"""How hard a procedural video is, and the scene a random generator composes at that hardness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
from numpy.random import Generator

from framework.data.procedural.scene import Cover, Crossing, Exit, Point, Scene, Sprite, Wander
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
from framework.errors import InputError


@dataclass(frozen=True, slots=True)
class Level:
    """What a scene holds. Rates are events per 60 frames."""

    look_alikes: tuple[int, int]  # objects like the first one: fewest, most
    others: tuple[int, int]  # objects unlike it: fewest, most
    crossings: float  # of the first object by each look-alike
    covers: float  # of the first object by an occluder
    exits: float  # of the first object
    pace: float  # multiplies every walk's speed
    shaky: float  # probability of a shaking camera
    radius: tuple[float, float]  # frame widths
    change: float = 1.0  # multiplies how fast objects turn, grow and change colour

    def altered(self, changes: Mapping[str, object]) -> "Level":
        """This level with other numbers in some of its fields. Raises `InputError` where one does not fit."""
        present = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        for name, value in changes.items():
            if name not in present:
                raise InputError(f"a level has no {name!r} to alter: it has {', '.join(present)}")
            pair = isinstance(present[name], tuple)
            given = value if pair and isinstance(value, Sequence) else [value]
            ends = sorted(end for end in given if isinstance(end, int | float) and end >= 0)
            if len(ends) != len(given) or len(ends) != 1 + pair:
                fitting = "two numbers, least and most" if pair else "a number of 0 or more"
                raise InputError(f"{name} of a level is {fitting}, like {present[name]}, not {value}")
            present[name] = tuple(ends) if pair else float(ends[0])
        level = Level(**present)
        if not (level.pace and level.radius[0]):
            raise InputError("pace and radius of a level are above 0: without them nothing moves or is seen")
        return level


LEVELS: dict[str, Level] = {
    "calm": Level((0, 0), (0, 2), 0.0, 0.0, 0.0, 0.8, 0.1, (0.09, 0.16)),
    "distractors": Level((2, 3), (0, 1), 1.4, 0.0, 0.0, 1.0, 0.2, (0.08, 0.14)),
    "occlusion": Level((1, 2), (0, 1), 0.5, 1.5, 0.5, 1.0, 0.2, (0.08, 0.14)),
    "hard": Level((2, 4), (0, 1), 1.2, 1.2, 0.5, 1.3, 0.4, (0.07, 0.14)),
}


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
class Families:
    shapes: tuple[str, ...]
    patterns: tuple[str, ...]


COMMON = Families(SHAPES, TEXTURES)
# Half of what the test split draws comes from families that no other split has.
HELD_OUT = Families(SHAPES + HELD_OUT_SHAPES * 2, TEXTURES + HELD_OUT_TEXTURES * 3)


def _seed(rng: Generator) -> int:
    return int(rng.integers(2**31))


def _pick(rng: Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]


def _vivid(rng: Generator) -> tuple[Colour, Colour]:
    hue, value = rng.random(), rng.uniform(0.5, 1.0)
    other = (hue + rng.choice([0.0, rng.uniform(0.08, 0.5)])) % 1
    contrast = value - rng.uniform(0.3, 0.5) if rng.random() < 0.7 else value
    return (hue, rng.uniform(0.5, 1.0), value), (float(other), rng.uniform(0.3, 1.0), max(contrast, 0.1))


def _look(rng: Generator, families: Families) -> Look:
    return Look(_pick(rng, families.shapes), _seed(rng), _pick(rng, families.patterns), _seed(rng), _vivid(rng))


def _look_alike(rng: Generator, look: Look, families: Families) -> Look:
    """Close enough to be mistaken for the original, yet different to a careful eye."""
    side = rng.choice([-1.0, 1.0])
    kind = int(rng.integers(3))
    if kind == 0:  # another hue
        return replace(look.shifted(side * rng.uniform(0.08, 0.16), 0.0), shape_seed=_seed(rng))
    if kind == 1:  # the same colours on another shape, laid out anew
        return replace(look, shape=_pick(rng, families.shapes), shape_seed=_seed(rng), pattern_seed=_seed(rng))
    shifted = look.shifted(side * rng.uniform(0.04, 0.07), side * rng.uniform(0.05, 0.12))  # a near twin
    return replace(shifted, shape_seed=_seed(rng))


def _patch(look: Look, coverage: np.ndarray) -> np.ndarray:
    colour = texture(look.pattern, look.pattern_seed, look.colours, coverage.shape[0])
    edge = cv2.erode(coverage, np.ones((3, 3), np.uint8)) > 127
    shaded = np.where(edge[..., None], colour, colour * 0.45)  # a dark rim, as real objects have against the light
    premultiplied = shaded * (coverage[..., None] / 255)
    return np.dstack([premultiplied.astype(np.uint8), coverage])


def _walk(rng: Generator, level: Level, roam: float) -> Wander:
    periods = rng.uniform(45, 130, (2, 2)) / level.pace
    amplitude = rng.uniform(0.3, 1.0, (2, 2))
    amplitude *= roam * rng.uniform(0.6, 1.0) / amplitude.sum(axis=1, keepdims=True)
    return Wander(rng.uniform(0.38, 0.62, 2), amplitude, 2 * np.pi / periods, rng.uniform(0, 2 * np.pi, (2, 2)))


def _unit(rng: Generator) -> Point:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _times(rng: Generator, rate: float, length: int, first: float) -> list[float]:
    """Event times at least 14 frames apart, `rate` per 60 frames on average."""
    if rate <= 0:
        return []
    times, t = [], first + rng.exponential(20.0)
    while t < length:
        times.append(float(t))
        t += 14 + rng.exponential(max(60 / rate - 14, 4.0))
    return times


def _apart(rng: Generator, level: Level, first: Sprite, radius: float) -> Wander:
    """A walk that leaves the first object uncovered on frame 0, where it is prompted."""
    for _ in range(30):
        walk = _walk(rng, level, 0.36)
        if np.linalg.norm(walk(0.0) - first.walk(0.0)) > 1.3 * (first.radius + radius):
            break
    return walk


def _sprite(rng: Generator, level: Level, look: Look, radius: float, size: int, walk: Wander) -> Sprite:
    side = 2 * int(np.ceil(radius * size * 1.3)) + 4
    return Sprite(
        patch=_patch(look, outline(look.shape, look.shape_seed, side, side / 2 - 2)),
        radius=radius,
        scale=radius * size / (side / 2 - 2),
        walk=walk,
        angle=rng.uniform(0, 2 * np.pi),
        spin=level.change * rng.choice([0.0, rng.uniform(-0.05, 0.05)]),
        breathing=(rng.choice([0.0, rng.uniform(0.1, 0.35)]), level.change * rng.uniform(0.03, 0.1), rng.uniform(0, 6)),
        stretch=rng.choice([0.0, rng.uniform(0.05, 0.2)]),
        tint=(rng.choice([0.0, rng.uniform(0.15, 0.4)]), level.change * rng.uniform(0.02, 0.06)),
    )


def _exit(rng: Generator, start: float) -> Exit:
    leave, enter = (0.5 + 0.85 * _unit(rng) for _ in range(2))
    return Exit(start, rng.uniform(0, 9), rng.uniform(8, 12), leave, enter if rng.random() < 0.7 else leave)


def _occluder(rng: Generator, families: Families, time: float, radius: float, size: int) -> Sprite:
    """Large enough to hide the first object whole; a bar or a shape."""
    look = replace(_look(rng, families), colours=_background_colours(rng))
    bar = rng.random() < 0.5
    direction = _unit(rng)
    half = radius * rng.uniform(1.25, 1.6)
    side = 2 * int(np.ceil((0.45 if bar else half * 1.25) * size)) + 4
    if bar:
        direction = np.array([rng.choice([-1.0, 1.0]), 0.0])
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
        cover=Cover(time, float(rng.uniform(1, 8)), direction * speed),
        angle=0.0 if bar else rng.uniform(0, 6),
    )


def _background_colours(rng: Generator) -> tuple[Colour, Colour]:
    hue, value = rng.random(), rng.uniform(0.25, 0.8)
    return (hue, rng.uniform(0, 0.5), value), (
        (hue + rng.uniform(-0.15, 0.15)) % 1,
        rng.uniform(0, 0.5),
        float(np.clip(value + rng.uniform(-0.3, 0.3), 0.05, 1)),
    )


def _background(rng: Generator, families: Families, side: int, cluttered: bool) -> np.ndarray:
    extent = rng.uniform(0.8, 2.0)
    ground = texture(_pick(rng, families.patterns), _seed(rng), _background_colours(rng), side, extent)
    relief = texture("noise", _seed(rng), ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0)), side)
    ground = cv2.addWeighted(ground, 0.75, relief, rng.uniform(0.05, 0.25), 0.0)
    if cluttered:
        for _ in range(int(rng.integers(8, 20))):
            span = int(rng.integers(side // 24, side // 7))
            shape = outline(_pick(rng, families.shapes), _seed(rng), span, span / 2 - 1)
            row, column = (int(v) for v in rng.integers(0, side - span, 2))
            colour = rgb((rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.9)))
            ground[row : row + span, column : column + span][shape > 127] = colour.astype(np.uint8)
    return ground


@dataclass(frozen=True, slots=True)
class Cast:
    """A composed scene and what is known about it beyond its pixels. The first object is the one to track."""

    scene: Scene
    look_alikes: tuple[int, ...]
    objects: tuple[int, ...]  # everything that may be tracked, occluders left out
    cluttered: bool


def compose(rng: Generator, level: Level, families: Families, length: int, size: int) -> Cast:
    """Draw a scene of `length` frames. The first object is in view and uncovered on frame 0."""
    radius = rng.uniform(*level.radius)
    look = _look(rng, families)
    exits = tuple(_exit(rng, t) for t in _times(rng, level.exits, length, 4.0))
    first = replace(_sprite(rng, level, look, radius, size, _walk(rng, level, 0.26)), exits=exits)
    covers = _times(rng, level.covers, length, 16.0)
    occluders = [_occluder(rng, families, t, radius, size) for t in covers]
    twins = []
    for _ in range(int(rng.integers(level.look_alikes[0], level.look_alikes[1] + 1))):
        reach = radius * rng.uniform(0.85, 1.15)
        times = _times(rng, level.crossings, length, 16.0)
        # Some look-alikes pass while the first object is hidden: only memory can tell the two apart afterwards.
        times += [t + rng.uniform(-4, 4) for t in covers if rng.random() < 0.25]
        crossings = tuple(
            Crossing(t, rng.uniform(6, 12), _unit(rng) * (radius + reach) * rng.uniform(0.15, 0.35))
            for t in sorted(times)
        )
        alike = _sprite(rng, level, _look_alike(rng, look, families), reach, size, _apart(rng, level, first, reach))
        twins.append(replace(alike, crossings=crossings))
    others = []
    for _ in range(int(rng.integers(level.others[0], level.others[1] + 1))):
        reach = rng.uniform(*level.radius)
        others.append(_sprite(rng, level, _look(rng, families), reach, size, _apart(rng, level, first, reach)))
    moving = 1 + len(twins) + len(others)
    order = [1 + int(i) for i in rng.permutation(moving)] + [moving + 1 + i for i in range(len(occluders))]
    cluttered = bool(rng.random() < 0.4)
    shaking = rng.random() < level.shaky
    scene = Scene(
        size=size,
        background=_background(rng, families, size * 3 // 2, cluttered),
        camera=replace(_walk(rng, level, rng.uniform(0, 0.24)), centre=np.zeros(2)),
        shake=rng.uniform(0.004, 0.012, (2, 3)) * float(shaking),
        sprites=(first, *twins, *others, *occluders),
        layers=tuple(order),
        light=(rng.choice([0.0, rng.uniform(0.1, 0.3)]), rng.uniform(0.02, 0.08), rng.uniform(0, 6)),
        blur=rng.choice([0.0, rng.uniform(0.3, 0.8)]),
        grain=rng.normal(0, rng.uniform(1, 6), (size + 61, size + 61, 3)).astype(np.int16),
    )
    return Cast(scene, tuple(range(2, 2 + len(twins))), tuple(range(1, moving + 1)), cluttered)
