"""A tracked frame as a picture: masks, boxes, ids and scores over the image, and what memory holds beneath it."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from framework.data.palette import Colour, colour
from framework.types import ANCHOR, Box, MemoryUse, Size

OPACITY = 0.45
LEGIBLE = 240
"""Pixels that the shorter side of a picture needs for letters."""
LARGEST = 4096
"""Pixels up to which the longer side is enlarged: more than that, encoders refuse."""
INK: Colour = (245, 245, 245)
FAINT: Colour = (120, 124, 132)
GROUND: Colour = (24, 26, 30)
LEGEND = (
    "memory:",
    "tall bar = read",
    "with a dot = in the anchor slot",
    "short bar = pointer read",
    "tick = held, not read",
    "triangle = prompt",
    "line = this frame",
)
"""The marks of a memory strip."""
WINDOW = 150
"""Frames that a memory strip shows of a video that is long or has no known end."""
LONG = 600
"""Frames from which on a video is long."""


def overlay(
    image: UInt8[np.ndarray, "Hv Wv 3"],
    masks: Mapping[int, Bool[np.ndarray, "Hv Wv"]],
    caption: Sequence[str] = (),
    boxes: Mapping[int, Box] | None = None,
    labels: Mapping[int, str] | None = None,
    zoom: int = 1,
) -> UInt8[np.ndarray, "Hp Wp 3"]:
    """The image with tinted, outlined masks and, where given, boxes; `image` itself is left as it is.

    `labels` (object id -> text, such as its score) are written at each object; `caption` lines in the upper left
    corner. Line widths and letters grow with the image. `zoom` enlarges all of it (see `legible`).
    """
    if zoom > 1:
        image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
        masks = {key: _enlarged(mask, zoom) for key, mask in masks.items()}
        boxes = {key: (zoom * x0, zoom * y0, zoom * x1, zoom * y1) for key, (x0, y0, x1, y1) in (boxes or {}).items()}
    height, width = image.shape[:2]
    thick = max(1, round(min(height, width) / 360))
    picture = image.copy()
    for key, mask in masks.items():
        if not mask.any():
            continue
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        part, inside = picture[y : y + h, x : x + w], mask[y : y + h, x : x + w]
        tinted = part[inside] * (1 - OPACITY) + np.array(colour(key)) * OPACITY
        part[inside] = tinted.astype(np.uint8)
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, colour(key), thick, cv2.LINE_AA)
    for key, (xmin, ymin, xmax, ymax) in (boxes or {}).items():
        corners = (round(xmin), round(ymin)), (round(xmax) - 1, round(ymax) - 1)
        cv2.rectangle(picture, *corners, colour(key), thick)
    if not caption and not labels:
        return picture
    drawn = Image.fromarray(picture)
    pen, size = ImageDraw.Draw(drawn), max(9, round(min(height, width) / 34))
    for key, text in (labels or {}).items():
        if key in masks and masks[key].any():
            _label(pen, text, _above(masks[key], size, height), colour(key), size, width)
    if caption:
        _caption(pen, caption, size, GROUND)
    return np.asarray(drawn)


def legible(size: Size) -> int:
    """How much a picture of this size is enlarged so that labels can be read on it; 1 for most videos."""
    return max(1, min(-(-LEGIBLE // min(size)), LARGEST // max(size)))


def memory_strip(
    memory: Mapping[int, MemoryUse],
    frame: int,
    width: int,
    length: int | None = None,
    prompted: Mapping[int, Sequence[int]] | None = None,
) -> UInt8[np.ndarray, "hs Wv 3"]:
    """A timeline, one row per object, of what memory held and read on `frame`; as many rows as `memory` has objects.

    Tall bars are spatial memories that were read (those in the anchor slot carry a dot), short bars object pointers
    that were read, ticks on the line what was held and not read. `prompted` (object id -> frames) are the triangles.
    The strip spans the whole video, or its last `WINDOW` frames (what is older sits at the left edge) when it is longer
    than `LONG` or `length` is None.
    """
    row, gutter = max(22, width // 40), max(26, width // 20)
    whole = length if length is not None and length <= LONG else None
    first = 0 if whole else max(0, frame - WINDOW + 1)
    last = (whole or first + WINDOW) - 1
    drawn = Image.new("RGB", (width, row * max(1, len(memory))), GROUND)
    pen = ImageDraw.Draw(drawn)
    span = width - gutter - row

    def at(index: int) -> float:
        return gutter + row / 2 + span * (min(max(index, first), last) - first) / max(1, last - first)

    bar = max(1.0, min(5.0, span / max(1, last - first + 1) * 0.7))
    for line, (key, use) in enumerate(memory.items()):
        top, middle, bottom = line * row + 3.0, (line + 0.5) * row, (line + 1) * row - 4.0
        pen.text((row / 3, middle), str(key), colour(key), _font(round(row * 0.55)), anchor="lm")
        pen.line((gutter + row / 2, middle, gutter + row / 2 + span, middle), FAINT, 1)
        for held in use.held:
            _bar(pen, at(held), bar, middle - row * 0.1, middle + row * 0.1, FAINT)
        for index, _ in use.pointers:
            _bar(pen, at(index), bar, middle - row * 0.17, middle + row * 0.17, _faded(colour(key)))
        for index, slot in use.spatial:
            _bar(pen, at(index), bar, top, bottom, colour(key))
            if slot == ANCHOR:
                radius = max(2.0, row * 0.1)
                pen.ellipse((at(index) - radius, middle - radius, at(index) + radius, middle + radius), INK)
        for index in (prompted or {}).get(key, ()):
            x, r = at(index), row * 0.16
            pen.polygon([(x - r, top - 3), (x + r, top - 3), (x, top - 3 + 1.5 * r)], INK)
    now = at(frame)
    pen.line((now, 0, now, drawn.height), INK, 1)
    return np.asarray(drawn)


def memory_legend(width: int) -> UInt8[np.ndarray, "hl Wv 3"]:
    """What the marks of a memory strip are, in as many lines as the width takes."""
    size = max(9, width // 70)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines = [""]
    for item in LEGEND:
        longer = f"{lines[-1]}   {item}".strip()
        if lines[-1] and pen.textlength(longer, _font(size)) > width - 2 * size:
            lines.append(item)
        else:
            lines[-1] = longer
    drawn = Image.new("RGB", (width, round(size * (1.4 * len(lines) + 0.6))), GROUND)
    pen = ImageDraw.Draw(drawn)
    for number, line in enumerate(lines):
        pen.text((size, size * (1.4 * number + 1.0)), line, FAINT, _font(size), anchor="lm")
    return np.asarray(drawn)


def _bar(pen: ImageDraw.ImageDraw, x: float, width: float, top: float, bottom: float, ink: Colour) -> None:
    left = x - width / 2  # PIL paints the last column and row too
    pen.rectangle((left, top, max(left, left + width - 1), bottom), ink)


def _enlarged(mask: Bool[np.ndarray, "Hv Wv"], zoom: int) -> Bool[np.ndarray, "Hp Wp"]:
    return cv2.resize(mask.astype(np.float32), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR) > 0.5


def _faded(ink: Colour) -> Colour:
    red, green, blue = (round(0.6 * a + 0.4 * b) for a, b in zip(ink, GROUND, strict=True))
    return red, green, blue


def _above(mask: Bool[np.ndarray, "Hv Wv"], size: int, height: int) -> tuple[float, float]:
    """Where a label of this letter size goes: over the top of the mask, inside the image."""
    x, y, w, _ = cv2.boundingRect(mask.astype(np.uint8))
    return x + w / 2, min(max(y - 0.9 * size, 0.8 * size), height - 0.8 * size)


def _label(pen: ImageDraw.ImageDraw, text: str, where: tuple[float, float], ink: Colour, size: int, width: int) -> None:
    font = _font(size)
    half = font.getlength(text) / 2 + size * 0.35
    x = min(max(where[0], half), max(half, width - half))
    box = (x - half, where[1] - size * 0.7, x + half, where[1] + size * 0.7)
    pen.rounded_rectangle(box, size * 0.3, ink)
    dark = 0.3 * ink[0] + 0.59 * ink[1] + 0.11 * ink[2] > 150
    pen.text((x, where[1]), text, GROUND if dark else INK, font, anchor="mm")


def _caption(pen: ImageDraw.ImageDraw, lines: Sequence[str], size: int, ground: Colour) -> None:
    font = _font(size)
    widest = max(font.getlength(line) for line in lines)
    pad = size * 0.5
    pen.rounded_rectangle((pad, pad, 3 * pad + widest, 2 * pad + 1.35 * size * len(lines)), size * 0.3, ground)
    for number, line in enumerate(lines):
        pen.text((2 * pad, 1.5 * pad + size * (1.35 * number + 0.67)), line, INK, font, anchor="lm")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)
