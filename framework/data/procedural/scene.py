"""Layered sprites over a moving background: a scene that renders any moment of itself.

A scene is continuous in time and holds no state, so frames may be asked for in any order and at any spacing. Positions
and radii are in units of the frame's width, times in frames. Masks come from the layering itself (every pixel knows the
object drawn last on it) and are therefore exact.
"""

from collections.abc import Set
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Integer, UInt8

Point = Float[np.ndarray, "2"]


def smoothstep(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


@dataclass(frozen=True, slots=True)
class Wander:
    """A smooth closed walk: a centre plus a few sine waves per axis."""

    centre: Point
    amplitude: Float[np.ndarray, "2 waves"]
    frequency: Float[np.ndarray, "2 waves"]  # radians per frame
    phase: Float[np.ndarray, "2 waves"]

    def __call__(self, t: float) -> Point:
        return self.centre + (self.amplitude * np.sin(self.frequency * t + self.phase)).sum(axis=1)


@dataclass(frozen=True, slots=True)
class Exit:
    """The object walks out of the frame along one direction and comes back along another."""

    start: float  # frame at which it sets off
    stay: float  # frames outside
    travel: float  # frames each way takes
    leave: Point
    enter: Point  # far points outside the frame

    def apply(self, position: Point, t: float) -> Point:
        out = smoothstep((t - self.start) / self.travel)
        back = smoothstep((t - self.start - self.travel - self.stay) / self.travel)
        far = self.leave if t < self.start + self.travel + self.stay / 2 else self.enter
        return position + (out - back) * (far - position)


@dataclass(frozen=True, slots=True)
class Crossing:
    """The object is drawn to the first object around `time` and passes across it."""

    time: float
    width: float  # frames over which it approaches, and over which it leaves
    velocity: Point  # relative to the first object, frame widths per frame

    def apply(self, position: Point, leader: Point, t: float) -> Point:
        pull = 1 - smoothstep((abs(t - self.time) - 0.5 * self.width) / (0.8 * self.width))
        return position + pull * (leader + self.velocity * (t - self.time) - position)


@dataclass(frozen=True, slots=True)
class Cover:
    """An occluder slides over the first object, dwells on it and slides on; far away it stays out of the frame."""

    time: float
    dwell: float  # frames
    velocity: Point

    def position(self, leader: Point, t: float) -> Point:
        away = t - self.time
        slide = np.sign(away) * max(abs(away) - self.dwell / 2, 0.0)
        return leader + self.velocity * slide


@dataclass(frozen=True, slots=True)
class Sprite:
    """One thing drawn: its look (premultiplied RGBA), its walk and its slow changes."""

    patch: UInt8[np.ndarray, "S S 4"]
    radius: float  # frame widths, of the farthest point from the centre
    scale: float  # patch pixels to frame pixels
    walk: Wander
    exits: tuple[Exit, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    cover: Cover | None = None
    angle: float = 0.0
    spin: float = 0.0  # radians per frame
    breathing: tuple[float, float, float] = (0.0, 1.0, 0.0)  # of the scale: amplitude, radians per frame, phase
    stretch: float = 0.0  # amplitude of the aspect's change
    tint: tuple[float, float] = (0.0, 0.0)  # of the colours: amplitude, radians per frame

    def grown(self, t: float) -> float:
        amplitude, frequency, phase = self.breathing
        return float(np.exp(amplitude * np.sin(frequency * t + phase)))

    def toned(self, t: float) -> Float[np.ndarray, "3"]:
        """Gain per colour channel."""
        amplitude, frequency = self.tint
        return 1 + amplitude * (np.sin(frequency * t + np.array([0.0, 2.1, 4.2])) - 1) / 2


@dataclass(frozen=True, slots=True)
class Rendering:
    """One frame: the image, which object owns each pixel (0: background), and each object's area in the frame before
    occlusion, in pixels (0: out of view)."""

    image: UInt8[np.ndarray, "H W 3"]
    owner: Integer[np.ndarray, "H W"]
    area: tuple[int, ...]  # area[i] belongs to the object with id i + 1


@dataclass(frozen=True, slots=True)
class Scene:
    """Sprites have ids 1, 2, ... in their order; `layers` lists the same ids from the farthest to the nearest."""

    size: int  # pixels, the frame is square
    background: UInt8[np.ndarray, "B B 3"]
    camera: Wander  # background shift
    shake: Float[np.ndarray, "2 waves"]  # amplitude of each of the shake's waves, frame widths
    sprites: tuple[Sprite, ...]
    layers: tuple[int, ...]
    light: tuple[float, float, float]  # brightness gain: amplitude, radians per frame, phase
    blur: float  # pixels
    grain: Integer[np.ndarray, "G G 3"]  # a tile of sensor noise larger than the frame

    def trembling(self, t: float) -> Point:
        waves = np.arange(self.shake.shape[1])
        return (self.shake * np.sin(t * (1.3 + 0.77 * waves) + np.array([[0.0], [1.7]]) + waves)).sum(axis=1)

    def position(self, identity: int, t: float) -> Point:
        """Centre of an object, camera shake left out."""
        sprite, first = self.sprites[identity - 1], self.sprites[0]
        if identity > 1 and (sprite.cover or sprite.crossings):
            leader = self.position(1, t)
            if sprite.cover:
                return sprite.cover.position(leader, t)
            place = sprite.walk(t)
            for crossing in sprite.crossings:
                place = crossing.apply(place, leader, t)
        else:
            place = (first if identity == 1 else sprite).walk(t)
        for leaving in sprite.exits:
            place = leaving.apply(place, t)
        return place

    def render(self, t: float, hidden: Set[int] = frozenset()) -> Rendering:
        """The scene at time `t`, without the objects in `hidden`."""
        size, shift = self.size, self.trembling(t)
        image = self._backdrop(t, shift)
        owner = np.zeros((size, size), np.uint8)
        area = [0] * len(self.sprites)
        for identity in self.layers:
            if identity not in hidden:
                centre = (self.position(identity, t) + shift) * size
                area[identity - 1] = self._draw(identity, t, centre, image, owner)
        if self.blur > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        amplitude, frequency, phase = self.light
        gain = 1 + amplitude * np.sin(frequency * t + phase)
        slack = self.grain.shape[0] - size
        # A cheap hash of the frame number moves the noise tile, so that no two neighbours share their grain.
        row, column = int(t * 7919) % slack, int(t * 104729 + 31) % slack
        lit = cv2.convertScaleAbs(image, alpha=float(gain))
        noisy = cv2.add(lit, self.grain[row : row + size, column : column + size], dtype=cv2.CV_8U)
        return Rendering(noisy, owner, tuple(area))

    def _backdrop(self, t: float, shift: Point) -> np.ndarray:
        margin = (self.background.shape[0] - self.size) / 2
        offset = (self.camera(t) - shift) * self.size + margin
        move = np.array([[1.0, 0.0, offset[0]], [0.0, 1.0, offset[1]]])
        return cv2.warpAffine(
            self.background,
            move,
            (self.size, self.size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )

    def _draw(self, identity: int, t: float, centre: Point, image: np.ndarray, owner: np.ndarray) -> int:
        """Paint one sprite into the frame; returns its area in the frame, before anything covers it."""
        sprite, size = self.sprites[identity - 1], self.size
        grown = sprite.grown(t)
        reach = sprite.radius * size * grown * (1 + abs(sprite.stretch)) + 2
        low = np.maximum(np.floor(centre - reach), 0).astype(int)
        high = np.minimum(np.ceil(centre + reach) + 1, size).astype(int)
        if (high <= low).any():
            return 0
        turn, aspect = sprite.angle + sprite.spin * t, np.exp(sprite.stretch * np.sin(0.11 * t + 1))
        cosine, sine = np.cos(turn), np.sin(turn)
        scale = sprite.scale * grown
        linear = scale * np.array([[cosine * aspect, -sine / aspect], [sine * aspect, cosine / aspect]])
        middle = (sprite.patch.shape[0] - 1) / 2
        move = np.column_stack([linear, centre - low - linear @ np.array([middle, middle])])
        drawn = cv2.warpAffine(
            sprite.patch, move, (int(high[0] - low[0]), int(high[1] - low[1])), flags=cv2.INTER_LINEAR
        )
        coverage = drawn[..., 3]
        inside = coverage > 127
        region = image[low[1] : high[1], low[0] : high[0]]
        colour = (
            drawn[..., :3] * sprite.toned(t).astype(np.float32) if sprite.tint[0] else drawn[..., :3].astype(np.float32)
        )
        veil = 1 - coverage[..., None].astype(np.float32) * np.float32(1 / 255)
        image[low[1] : high[1], low[0] : high[0]] = np.minimum(region * veil + colour, 255).astype(np.uint8)
        owner[low[1] : high[1], low[0] : high[0]][inside] = identity
        return int(np.count_nonzero(inside))
