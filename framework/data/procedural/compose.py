"""The scene that a random generator composes at some hardness, from things of any stock."""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.random import Generator

from framework.data.procedural.levels import Level
from framework.data.procedural.scene import Crossing, Exit, Scene, Sprite, Wander, direction


@runtime_checkable
class Stock(Protocol):
    """Where things and backgrounds come from. Radii are in frame widths; `size` is the frame's side in pixels."""

    def thing(self, rng: Generator) -> Any:
        """How something looks."""

    def look_alike(self, rng: Generator, look: Any) -> Any:
        """Close enough to be mistaken for the original, yet different to a careful eye."""

    def sprite(self, rng: Generator, level: Level, look: Any, radius: float, size: int, walk: Wander) -> Sprite:
        """The thing on its walk."""

    def occluder(self, rng: Generator, time: float, radius: float, size: int) -> Sprite:
        """Something large enough to hide the first object whole, over which it slides at `time`."""

    def background(self, rng: Generator, size: int, cluttered: bool) -> np.ndarray:
        """A square picture larger than the frame, RGB uint8; with shapes like the objects' in it where `cluttered`."""

    def finish(self, rng: Generator, scene: Scene) -> Scene:
        """The scene with what its camera does to it."""


@dataclass(frozen=True, slots=True)
class Cast:
    """A composed scene and what is known about it beyond its pixels. The first object is the one to track."""

    scene: Scene
    look_alikes: tuple[int, ...]
    objects: tuple[int, ...]  # everything that may be tracked, occluders left out
    cluttered: bool


def compose(rng: Generator, level: Level, stock: Stock, length: int, size: int) -> Cast:
    """Draw a scene of `length` frames. The first object is in view on frame 0 and, where there is room, uncovered."""
    radius = rng.uniform(*level.radius)
    look = stock.thing(rng)
    exits = tuple(_exit(rng, t) for t in _times(rng, level.exits, length, 4.0))
    first = replace(stock.sprite(rng, level, look, radius, size, _walk(rng, level, 0.26)), exits=exits)
    covers = _times(rng, level.covers, length, 16.0)
    occluders = [stock.occluder(rng, t, radius, size) for t in covers]
    twins = []
    for _ in range(int(rng.integers(level.look_alikes[0], level.look_alikes[1] + 1))):
        reach = radius * rng.uniform(0.85, 1.15)
        times = _times(rng, level.crossings, length, 16.0)
        # Some look-alikes pass while the first object is hidden: only memory can tell the two apart afterwards.
        times += [t + rng.uniform(-4, 4) for t in covers if rng.random() < 0.25]
        crossings = tuple(
            Crossing(t, rng.uniform(6, 12), direction(rng) * (radius + reach) * rng.uniform(0.15, 0.35))
            for t in sorted(times)
        )
        alike = stock.sprite(rng, level, stock.look_alike(rng, look), reach, size, _apart(rng, level, first, reach))
        twins.append(replace(alike, crossings=crossings))
    others = []
    for _ in range(int(rng.integers(level.others[0], level.others[1] + 1))):
        reach = rng.uniform(*level.radius)
        others.append(stock.sprite(rng, level, stock.thing(rng), reach, size, _apart(rng, level, first, reach)))
    moving = 1 + len(twins) + len(others)
    order = [1 + int(i) for i in rng.permutation(moving)] + [moving + 1 + i for i in range(len(occluders))]
    cluttered = bool(rng.random() < 0.4)
    shaking = rng.random() < level.shaky
    scene = Scene(
        size=size,
        background=stock.background(rng, size, cluttered),
        camera=replace(_walk(rng, level, rng.uniform(0, 0.24)), centre=np.zeros(2)),
        shake=rng.uniform(0.004, 0.012, (2, 3)) * float(shaking),
        sprites=(first, *twins, *others, *occluders),
        layers=tuple(order),
        light=(rng.choice([0.0, rng.uniform(0.1, 0.3)]), rng.uniform(0.02, 0.08), rng.uniform(0, 6)),
        blur=rng.choice([0.0, rng.uniform(0.3, 0.8)]),
        grain=rng.normal(0, rng.uniform(1, 6), (size + 61, size + 61, 3)).astype(np.int16),
    )
    return Cast(stock.finish(rng, scene), tuple(range(2, 2 + len(twins))), tuple(range(1, moving + 1)), cluttered)


def _walk(rng: Generator, level: Level, roam: float) -> Wander:
    periods = rng.uniform(45, 130, (2, 2)) / level.pace
    amplitude = rng.uniform(0.3, 1.0, (2, 2))
    amplitude *= roam * rng.uniform(0.6, 1.0) / amplitude.sum(axis=1, keepdims=True)
    return Wander(rng.uniform(0.38, 0.62, 2), amplitude, 2 * np.pi / periods, rng.uniform(0, 2 * np.pi, (2, 2)))


def _apart(rng: Generator, level: Level, first: Sprite, radius: float) -> Wander:
    """A walk that leaves the first object uncovered on frame 0, where it is prompted."""
    for _ in range(30):
        walk = _walk(rng, level, 0.36)
        if np.linalg.norm(walk(0.0) - first.walk(0.0)) > 1.3 * (first.radius + radius):
            break
    return walk


def _times(rng: Generator, rate: float, length: int, first: float) -> list[float]:
    """Event times at least 14 frames apart, `rate` per 60 frames on average."""
    if rate <= 0:
        return []
    times, t = [], first + rng.exponential(20.0)
    while t < length:
        times.append(float(t))
        t += 14 + rng.exponential(max(60 / rate - 14, 4.0))
    return times


def _exit(rng: Generator, start: float) -> Exit:
    leave, enter = (0.5 + 0.85 * direction(rng) for _ in range(2))
    return Exit(start, rng.uniform(0, 9), rng.uniform(8, 12), leave, enter if rng.random() < 0.7 else leave)
