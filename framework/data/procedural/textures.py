"""Shapes and textures of the procedural benchmark, each a small function of a random generator.

The families named in `HELD_OUT_SHAPES` and `HELD_OUT_TEXTURES` appear in the test split alone.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator

Colour = tuple[float, float, float]  # hue 0..1, saturation 0..1, value 0..1
Pattern = Callable[[Generator, np.ndarray, np.ndarray], np.ndarray]


def _smooth_noise(rng: Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    coarse = rng.random((cells, cells), dtype=np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _stripes(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle, frequency = rng.uniform(0, np.pi), rng.uniform(1.5, 3.5)
    wave = np.sin(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + rng.uniform(0, 6))
    return np.clip(0.5 + 2 * wave, 0, 1)


def _checks(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle, frequency = rng.uniform(0, np.pi / 2), rng.uniform(1.2, 2.5)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    return np.clip(0.5 + 4 * np.sin(np.pi * frequency * u) * np.sin(np.pi * frequency * v), 0, 1)


def _dots(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    frequency, radius = rng.uniform(1.5, 3.0), rng.uniform(0.28, 0.4)
    u, v = np.mod(x * frequency, 1) - 0.5, np.mod(y * frequency, 1) - 0.5
    return np.clip((radius - np.hypot(u, v)) * 12 + 0.5, 0, 1)


def _gradient(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.clip(0.5 + 0.6 * (np.cos(angle) * x + np.sin(angle) * y), 0, 1)


def _rings(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    centre = rng.uniform(-0.4, 0.4, 2)
    return np.clip(0.5 + 2 * np.sin(rng.uniform(6, 12) * np.hypot(x - centre[0], y - centre[1])), 0, 1)


def _noise(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    octaves = _smooth_noise(rng, x.shape, int(rng.integers(3, 6))) * 0.65 + 0.35 * _smooth_noise(
        rng, x.shape, int(rng.integers(8, 14))
    )
    return np.clip((octaves - 0.5) * 3 + 0.5, 0, 1)


def _cells(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Voronoi cells, each of its own shade."""
    count = int(rng.integers(10, 18))
    sites, shades = rng.uniform(-1.1, 1.1, (count, 2)), rng.random(count)
    nearest = np.full(x.shape, np.inf)
    shade = np.zeros(x.shape)
    for site, value in zip(sites, shades, strict=True):
        distance = (x - site[0]) ** 2 + (y - site[1]) ** 2
        shade = np.where(distance < nearest, value, shade)
        nearest = np.minimum(distance, nearest)
    return shade


def _zigzag(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    frequency, height = rng.uniform(1.5, 3.0), rng.uniform(0.2, 0.5)
    fold = np.abs(np.mod(x * frequency, 2) - 1) * height
    return np.clip(0.5 + 2 * np.sin(2 * np.pi * frequency * (y + fold)), 0, 1)


PATTERNS: dict[str, Pattern] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "gradient": _gradient,
    "rings": _rings,
    "noise": _noise,
    "cells": _cells,
    "zigzag": _zigzag,
}
HELD_OUT_TEXTURES = ("cells", "zigzag")
TEXTURES = tuple(name for name in PATTERNS if name not in HELD_OUT_TEXTURES)


def rgb(colour: Colour) -> Float[np.ndarray, "3"]:
    """Hue, saturation, value (each 0..1, the hue modulo 1) to RGB in 0..255."""
    hue, saturation, value = colour
    sector = np.mod(np.array([5.0, 3.0, 1.0]) + 6 * hue, 6)
    return 255 * value * (1 - saturation * np.clip(np.minimum(sector, 4 - sector), 0, 1))


def texture(
    family: str, seed: int, colours: tuple[Colour, Colour], side: int, extent: float = 1.0
) -> UInt8[np.ndarray, "S S 3"]:
    """A square texture mixing two colours; `extent` is how many pattern units half a side spans."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(-extent, extent, side, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    mix = PATTERNS[family](rng, x, y)[..., None].astype(np.float32)
    first, second = rgb(colours[0]).astype(np.float32), rgb(colours[1]).astype(np.float32)
    return np.clip(first + (second - first) * mix, 0, 255).astype(np.uint8)


def _blob(rng: Generator, angle: np.ndarray) -> np.ndarray:
    radius = np.ones_like(angle)
    for order in range(2, 6):
        radius += rng.uniform(0, 0.45 / order) * np.sin(order * angle + rng.uniform(0, 2 * np.pi))
    return radius


def _polygon(rng: Generator, angle: np.ndarray) -> np.ndarray:
    half = np.pi / int(rng.integers(3, 7))
    return np.cos(half) / np.cos(np.mod(angle, 2 * half) - half)


def _star(rng: Generator, angle: np.ndarray) -> np.ndarray:
    points, depth = int(rng.integers(4, 8)), rng.uniform(0.3, 0.55)
    return 1 - depth * np.abs(np.mod(angle * points / (2 * np.pi), 1) * 2 - 1)


def _ellipse(rng: Generator, angle: np.ndarray) -> np.ndarray:
    ratio = rng.uniform(0.45, 0.9)
    return ratio / np.hypot(ratio * np.cos(angle), np.sin(angle))


def _gear(rng: Generator, angle: np.ndarray) -> np.ndarray:
    return 0.85 + 0.15 * np.sign(np.sin(int(rng.integers(6, 11)) * angle))


def _bean(rng: Generator, angle: np.ndarray) -> np.ndarray:
    """A disc with one deep notch."""
    return 1 - rng.uniform(0.5, 0.7) * np.exp(-((np.mod(angle, 2 * np.pi) - np.pi) ** 2) / rng.uniform(0.15, 0.4))


OUTLINES: dict[str, Callable[[Generator, np.ndarray], np.ndarray]] = {
    "blob": _blob,
    "polygon": _polygon,
    "star": _star,
    "ellipse": _ellipse,
    "gear": _gear,
    "bean": _bean,
}
HELD_OUT_SHAPES = ("gear", "bean")
SHAPES = tuple(name for name in OUTLINES if name not in HELD_OUT_SHAPES)


def outline(family: str, seed: int, side: int, radius: float) -> UInt8[np.ndarray, "S S"]:
    """Coverage 0..255 of a shape whose farthest point lies `radius` pixels from the middle of a square."""
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    reach = np.maximum(OUTLINES[family](np.random.default_rng(seed), angle), 0.1)
    reach = reach * (radius / reach.max())
    middle = (side - 1) / 2
    points = np.stack([middle + reach * np.cos(angle), middle + reach * np.sin(angle)], axis=1)
    coverage = np.zeros((side, side), np.uint8)
    cv2.fillPoly(coverage, [np.round(points * 16).astype(np.int32)], (255.0,), cv2.LINE_AA, 4)
    return coverage


def box(side: int, half_length: float, half_width: float) -> UInt8[np.ndarray, "S S"]:
    """Coverage 0..255 of an upright bar in the middle of a square (sizes in pixels)."""
    middle = (side - 1) / 2
    coverage = np.zeros((side, side), np.uint8)
    low, high = (
        np.array([middle - half_width, middle - half_length]),
        np.array([middle + half_width, middle + half_length]),
    )
    corner, opposite = (
        np.round(np.maximum(low, 0)).astype(int).tolist(),
        np.round(np.minimum(high, side - 1)).astype(int).tolist(),
    )
    cv2.rectangle(coverage, corner, opposite, (255.0,), cv2.FILLED)
    return coverage
