"""Stills under smooth warps: one photograph with its masks that shifts, turns, grows, shears and bends as a whole.

What a video of moving cut-outs does not teach, an object among its own surroundings does: where it ends.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float, Integer, UInt8
from numpy.random import Generator

from framework.data.procedural.scene import Rendering

COARSE = 33
"""Points a side at which a warp is computed; between them it is linear."""
FOLD = 0.6
"""Steepest change of a displacement, per length: at 1 the picture would fold."""
Picture = tuple[UInt8[np.ndarray, "B B 3"], Integer[np.ndarray, "B B"]]
"""A picture, and the object that owns each of its pixels; 0 is the background."""


@dataclass(frozen=True, slots=True)
class Warp:
    """A smooth function of time from places in a frame to places in a picture. Lengths are sides of the picture.

    Each number swings as a sine: `swing` has amplitude, radians per frame and phase of shift along x and y, of the
    logarithm of the scale, of the angle and of the shear.
    """

    centre: Float[np.ndarray, "2"]
    extent: float
    """Side of the frame in the picture."""
    swing: Float[np.ndarray, "5 3"]
    waves: Float[np.ndarray, "K 2"]
    """Radians per length, along x and y, of the waves that bend it."""
    bend: Float[np.ndarray, "K 2"]
    """Their displacement along x and y."""
    motion: Float[np.ndarray, "K 2"]
    """Their radians per frame, and phase."""

    def places(self, t: float) -> Float[np.ndarray, "C C 2"]:
        """Where a grid over the frame, edges included, lies in the picture: x and y, sides of it."""
        amplitude, frequency, phase = self.swing.T
        x, y, growth, angle, shear = amplitude * np.sin(frequency * t + phase)
        grid = np.linspace(-0.5, 0.5, COARSE) * self.extent * np.exp(growth)
        frame = np.stack(np.meshgrid(grid, grid), axis=-1)
        cosine, sine = np.cos(angle), np.sin(angle)
        turned = frame @ np.array([[1.0, 0.0], [shear, 1.0]]) @ np.array([[cosine, sine], [-sine, cosine]])
        rigid = turned + self.centre + np.array([x, y])
        moving = np.sin(rigid @ self.waves.T + self.motion[:, 0] * t + self.motion[:, 1])
        return rigid + moving @ self.bend


def draw_warp(rng: Generator, centre: Float[np.ndarray, "2"], extent: float) -> Warp:
    """Of a frame that shows `extent` of the picture around `centre`, as far as the picture goes."""
    most = np.array([0.12 * extent, 0.12 * extent, 0.3, 0.35, 0.2])
    swing = np.stack([most * rng.uniform(0, 1, 5), rng.uniform(0.02, 0.15, 5), rng.uniform(0, 2 * np.pi, 5)], axis=1)
    count = int(rng.integers(2, 6))
    angle = rng.uniform(0, 2 * np.pi, count)
    waves = (2 * np.pi * rng.uniform(0.7, 2.5, count) / extent)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    ways = rng.normal(size=(count, 2))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    steep = FOLD * rng.uniform(0, 1) * rng.dirichlet(np.ones(count))
    motion = np.stack([rng.uniform(-0.2, 0.2, count), rng.uniform(0, 2 * np.pi, count)], axis=1)
    half = min(extent / 2, 0.5)
    bend = ways * (steep / np.linalg.norm(waves, axis=1))[:, None]
    return Warp(np.clip(centre, half, 1 - half), extent, swing, waves, bend, motion)


@dataclass(frozen=True, slots=True)
class Still:
    """A picture shown as a video, in frames of `size` pixels a side. Beyond its edges it goes on as at the edge.

    Args:
        objects: ids of what may be tracked.
        picture: with its owners, without the objects that it is given, as far as they can be left out.
    """

    size: int
    length: int
    objects: tuple[int, ...]
    picture: Callable[[frozenset[int]], Picture]
    warp: Warp
    _pictures: dict[frozenset[int], Picture] = field(default_factory=dict, repr=False, compare=False)

    def render(self, t: float, hidden: Set[int] = frozenset()) -> Rendering:
        """The frame at time `t`, without the objects in `hidden`; areas are those that are seen."""
        without = frozenset(hidden)
        if without not in self._pictures:
            self._pictures[without] = self.picture(without)
        image, owner = self._pictures[without]
        side, coarse = image.shape[0], self.warp.places(t).astype(np.float32)
        position = (np.arange(self.size, dtype=np.float32) + 0.5) * ((COARSE - 1) / self.size)
        columns, rows = np.meshgrid(position, position)
        places = np.clip(cv2.remap(coarse, columns, rows, cv2.INTER_LINEAR) * side - 0.5, 0, side - 1)
        shown = cv2.remap(image, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
        owned = cv2.remap(owner, places[..., 0], places[..., 1], cv2.INTER_NEAREST)
        counts = np.bincount(owned.ravel(), minlength=256)
        return Rendering(shown, owned, tuple(int(counts[identity]) for identity in self.objects))

    def ids(self, t: int) -> Integer[np.ndarray, "H W"]:
        """The object that owns each pixel; 0 is the background."""
        return self.render(float(t)).owner
