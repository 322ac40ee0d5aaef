"""How a mask file becomes object numbers: decided here for prompts, for truths and for every data set."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Integer, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from framework.errors import InputError

VOID = 255
"""Marks pixels that belong to nobody, beside the numbers of objects."""
MOST_OBJECTS = 64
"""A mask file with more values than this was smoothed or compressed."""
LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF")
"""Formats that blur what they hold; WebP may, too."""
UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What an image file that is damaged, or too large, ends in."""
FEWEST_LEVELS, SMOOTHED = 4, 0.9
"""Of smoothed edges: levels between background and brightest, and the share of their pixels that have a darker and a
brighter neighbour."""
OPAQUE = 128
"""Alpha from which on a colour of a palette is seen."""
DARK = 32
"""Up to which level a palette's colours are taken for black."""


@dataclass(frozen=True, slots=True)
class LabelImage:
    """A mask as its file holds it, 0 where nothing is marked."""

    path: Path
    values: Integer[np.ndarray, "Hv Wv"]
    palette: bool
    """Values are indices, given by a program, and not grey levels, painted by hand."""

    @property
    def marked(self) -> Bool[np.ndarray, "Hv Wv"]:
        """Everything but the background."""
        return self.values > 0

    @property
    def found(self) -> frozenset[int]:
        """Values of marked pixels. Raises InputError for more than a mask can have."""
        # Of bytes, counting is ten times as fast as sorting.
        counted = np.flatnonzero(np.bincount(self.values.ravel())) if self.values.max(initial=0) <= VOID else None
        found = frozenset((np.unique(self.values) if counted is None else counted).tolist()) - {0}
        if len(found) > MOST_OBJECTS:
            raise InputError(
                f"{self.path}: {len(found)} grey levels; a mask has one per object and no smoothed or JPEG edges"
            )
        return found

    def labels(self, numbers: Mapping[int, int]) -> UInt8[np.ndarray, "Hv Wv"]:
        """Object number of every pixel, given that of each value; 0 for other values.

        Raises InputError for a number above 254.
        """
        labels = np.zeros(self.values.shape, np.uint8)
        for value in self.found & numbers.keys():
            if numbers[value] >= VOID:
                raise InputError(f"{self.path}: object number {numbers[value]}; numbers are 1 to {VOID - 1}")
            labels[self.values == value] = numbers[value]
        return labels


PALETTE_NUMBERS: Mapping[int, int] = {value: value for value in range(1, VOID)}
"""What values of a palette are as soon as one is not 255."""


def object_numbers(found: Collection[int], palette: bool, expected: Collection[int] = ()) -> dict[int, int]:
    """Value -> object number, from all values of one mask file or of all files of one video.

    Values are numbers, with two exceptions. 255 is void beside others, in a palette or where all others are numbers
    (up to 64) rather than levels of grey. A single level of grey, or 255 alone, is one object whatever it is painted
    with: the `expected` one where a single one is, else 1.
    """
    values = sorted({*found} - {0})
    others = [value for value in values if value != VOID]
    if others and (palette or others[-1] <= MOST_OBJECTS):
        values = others
    if len(values) == 1 and (not palette or values == [VOID]) and values[0] not in expected:
        return {values[0]: next(iter(expected)) if len(expected) == 1 else 1}
    return {value: value for value in values}


def read_label_image(path: Path) -> LabelImage:
    """A mask from a palette, grey or black-and-white file, from a grey one saved in colour, or from a cut-out's alpha.

    Raises InputError when the file is missing or unreadable, and for what may be read in more ways than one: JPEG,
    colours, fractions, a palette whose background is in doubt, both colours and transparency.
    """
    try:
        with Image.open(path) as file:
            if (blurring := _blurring(path, file)) is not None:
                raise InputError(
                    f"{path}: {blurring} blurs masks into more objects; save it as a palette or greyscale PNG"
                )
            image = ImageOps.exif_transpose(file) if file.getexif() else file  # upright, as frames are
            if image.mode in ("P", "PA"):
                return LabelImage(path, _indices(path, image), palette=True)
            if image.mode in ("LA", "RGBA") or (image.mode in ("1", "L", "RGB") and "transparency" in image.info):
                return LabelImage(path, _cut_out(path, np.array(image.convert("RGBA"))), palette=False)
            values = np.array(image.convert("RGB") if image.mode in ("CMYK", "YCbCr") else image)
    except FileNotFoundError:
        raise InputError(f"{path}: no such mask; give a PNG of the video's size") from None
    except UNREADABLE as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); give a PNG of the video's size") from error
    return LabelImage(path, _levels(path, values), palette=False)


def _blurring(path: Path, file: Image.Image) -> str | None:
    """The name of a compression that changes levels; None for others."""
    if file.format in LOSSY:
        return "JPEG" if file.format == "MPO" else file.format
    if file.format == "TIFF" and file.info.get("compression") == "jpeg":
        return "JPEG"
    with path.open("rb") as content:
        return "WebP" if file.format == "WEBP" and b"VP8L" not in content.read(40) else None


def _check_edges(path: Path, values: np.ndarray) -> None:
    """Raises InputError for levels of grey that are nowhere but between darker and brighter ones."""
    brightest = values.max(initial=0)
    between = (values > 0) & (values < brightest)
    if brightest <= MOST_OBJECTS or (count := len(np.unique(values[between]))) < FEWEST_LEVELS:
        return
    plain, around = values.astype(np.float32), np.ones((3, 3), np.uint8)
    edges = (cv2.erode(plain, around) < plain) & (cv2.dilate(plain, around) > plain)
    if edges[between].mean() >= SMOOTHED:
        raise InputError(
            f"{path}: {count + 1} grey levels, most of them at edges; a mask has one per object and no smoothed or "
            "JPEG edges"
        )


def _levels(path: Path, values: np.ndarray) -> Integer[np.ndarray, "Hv Wv"]:
    """Levels of grey, [Hv Wv] or [Hv Wv 3]."""
    if values.ndim == 3:
        if not (values[..., :1] == values).all():
            raise InputError(f"{path}: the mask is a colour image; save it as a palette or greyscale PNG")
        values = values[..., 0]
    if values.dtype == bool:
        return values.astype(np.uint8)
    if not np.isfinite(values).all() or (values < 0).any() or (values % 1).any():
        raise InputError(f"{path}: the mask holds fractions or numbers below 0; save it as a greyscale PNG")
    _check_edges(path, values)
    return values.astype(np.int64) if values.dtype.kind == "f" else values


def _indices(path: Path, image: Image.Image) -> Integer[np.ndarray, "Hv Wv"]:
    """Indices of a palette, whose index 0 is the background."""
    indices = np.array(image.getchannel("P") if image.mode == "PA" else image)
    colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    others = [index for index in np.unique(indices).tolist() if 0 < index < len(colours)]
    dark = [index for index in others if colours[index].max() <= DARK]
    if dark and len(colours) and colours[0].max() > 3 * DARK:
        colour = "white" if colours[0].min() >= 255 - 2 * DARK else "coloured"
        raise InputError(
            f"{path}: index 0 of its palette is {colour} and index {dark[0]} black, so which is the background is in "
            "doubt: save it with black at index 0, or as greyscale"
        )
    if dark and len(dark) < len(others) and indices.all():
        raise InputError(
            f"{path}: holds no index 0 but {dark[0]}, which its palette has as black, so which is the background is in "
            "doubt: save it with the background at index 0, or as greyscale"
        )
    transparent = image.info.get("transparency")
    alpha = [255 if index == transparent else 0 for index in range(256)]
    if isinstance(transparent, bytes):
        alpha = [255 - value for value in transparent.ljust(256, b"\xff")]
    hidden = [index for index in others if alpha[index] > OPAQUE]
    if hidden and alpha[0] <= OPAQUE:
        raise InputError(
            f"{path}: index {hidden[0]} of its palette is transparent and index 0 is not, so which is the background "
            "is in doubt: save it with the background at index 0, or as greyscale"
        )
    return indices


def _cut_out(path: Path, pixels: np.ndarray) -> Integer[np.ndarray, "Hv Wv"]:
    """The alpha of an image [Hv Wv 4] whose visible part is a colour or a photograph; its grey where alpha is even."""
    alpha = pixels[..., 3]
    if alpha.min() == alpha.max():
        return _levels(path, pixels[..., :3])
    visible = alpha > alpha.max() // 2
    inside = pixels[visible][:, :3].astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
    if 1 < len(np.unique(inside)) <= MOST_OBJECTS:
        raise InputError(
            f"{path}: has several colours and transparency, so what the objects are is in doubt: save it as a palette "
            "or greyscale PNG"
        )
    return visible.astype(np.uint8)
