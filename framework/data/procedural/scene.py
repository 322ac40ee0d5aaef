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
from numpy.random import Generator

Point = Float[np.ndarray, "2"]


def smoothstep(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def direction(rng: Generator) -> Point:
    """A unit vector."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


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
class Flex:
    """A thing that is not rigid: K parts of its patch swing, each with its surroundings. Lengths are patch sides."""

    centre: Float[np.ndarray, "K 2"]
    reach: Float[np.ndarray, " K"]
    """Standard deviation of the Gaussian by which a part takes its surroundings along."""
    swing: Float[np.ndarray, "K 2"]
    """Amplitude, below 1.6 reaches, or the patch would fold."""
    frequency: Float[np.ndarray, " K"]
    phase: Float[np.ndarray, " K"]

    def bent(self, patch: UInt8[np.ndarray, "S S 4"], t: float) -> UInt8[np.ndarray, "S S 4"]:
        """The patch at time `t`."""
        side, coarse = patch.shape[0], 24
        grid = (np.arange(coarse) + 0.5) / coarse
        x, y = np.meshgrid(grid, grid)
        near = np.exp(
            -((x - self.centre[:, :1, None]) ** 2 + (y - self.centre[:, 1:, None]) ** 2)
            / (2 * self.reach[:, None, None] ** 2)
        )
        pull = self.swing * np.sin(self.frequency * t + self.phase)[:, None]
        moved = [
            cv2.resize((pull[:, axis, None, None] * near).sum(0).astype(np.float32), (side, side)) for axis in (0, 1)
        ]
        columns, rows = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
        return cv2.remap(patch, columns - moved[0] * side, rows - moved[1] * side, cv2.INTER_LINEAR)


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
    flex: Flex | None = None
    exposure: float = 0.0  # share of a frame's time over which its motion blurs it
    shadow: float = 0.0  # how much of the light it takes from what lies below it

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
    zoom: tuple[float, float, float] = (0.0, 1.0, 0.0)  # of the background: amplitude, radians per frame, phase
    jpeg: int | None = None  # quality, 1..100; None where frames were never compressed

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
        if self.jpeg is not None:
            noisy = _compressed(noisy, self.jpeg)
        return Rendering(noisy, owner, tuple(area))

    def _backdrop(self, t: float, shift: Point) -> np.ndarray:
        amplitude, frequency, phase = self.zoom
        scale = float(np.exp(-amplitude * np.sin(frequency * t + phase)))
        margin = (self.background.shape[0] - self.size * scale) / 2
        offset = (self.camera(t) - shift) * self.size + margin
        move = np.array([[scale, 0.0, offset[0]], [0.0, scale, offset[1]]])
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
        step = size * (self.position(identity, t) - self.position(identity, t - 1)) if sprite.exposure else None
        smear = _line(sprite.exposure * step) if step is not None else None
        reach = sprite.radius * size * grown * (1 + abs(sprite.stretch)) + 2
        reach += 0 if smear is None else len(smear) / 2
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
        patch = sprite.patch if sprite.flex is None else sprite.flex.bent(sprite.patch, t)
        drawn = cv2.warpAffine(patch, move, (int(high[0] - low[0]), int(high[1] - low[1])), flags=cv2.INTER_LINEAR)
        inside = drawn[..., 3] > 127
        if smear is not None:
            drawn = cv2.filter2D(drawn, -1, smear)
        if sprite.shadow:
            self._shade(image, low, drawn[..., 3], sprite.shadow)
        coverage = drawn[..., 3]
        region = image[low[1] : high[1], low[0] : high[0]]
        colour = (
            drawn[..., :3] * sprite.toned(t).astype(np.float32) if sprite.tint[0] else drawn[..., :3].astype(np.float32)
        )
        veil = 1 - coverage[..., None].astype(np.float32) * np.float32(1 / 255)
        image[low[1] : high[1], low[0] : high[0]] = np.minimum(region * veil + colour, 255).astype(np.uint8)
        owner[low[1] : high[1], low[0] : high[0]][inside] = identity
        return int(np.count_nonzero(inside))

    def _shade(self, image: np.ndarray, low: np.ndarray, coverage: np.ndarray, strength: float) -> None:
        """Darkens the image below and beside a thing whose coverage begins at `low`."""
        fall = max(coverage.shape[0] // 12, 1)
        height = min(coverage.shape[0] + 2 * fall, image.shape[0] - low[1])
        shade = np.zeros((height, coverage.shape[1]), np.float32)
        rows = coverage[: max(height - fall, 0)]
        shade[fall : fall + len(rows)] = rows
        veil = 1 - cv2.GaussianBlur(shade, (0, 0), max(fall / 2, 0.5)) * np.float32(strength / 255)
        region = image[low[1] : low[1] + height, low[0] : low[0] + coverage.shape[1]]
        region[...] = (region * veil[..., None]).astype(np.uint8)


def _compressed(image: UInt8[np.ndarray, "H W 3"], quality: int) -> UInt8[np.ndarray, "H W 3"]:
    _, packed = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[..., ::-1])


def _line(step: Point) -> Float[np.ndarray, "k k"] | None:
    """What a motion by `step` pixels does to a point; None where that is not seen."""
    length = float(np.hypot(*step))
    if length < 1.5:
        return None
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    ends = [tuple(int(v) for v in np.round(half + side * step / 2)) for side in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return kernel / kernel.sum()
