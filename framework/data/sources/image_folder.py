"""A folder of images, one per frame."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from framework.errors import InputError
from framework.types import Size

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def natural(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """Sorting key under which frame9 comes before frame10."""
    parts = [part for part in re.split(r"(\d+)", path.name.lower()) if part]
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts], path.name


def read_image(path: Path) -> UInt8[np.ndarray, "Hv Wv 3"]:
    """RGB pixels, turned upright by the orientation that a camera noted (EXIF)."""
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such image") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); replace the file") from error


@dataclass(frozen=True)
class ImageFolder:
    """PNG and JPEG files of one folder in natural order. Raises InputError when there are none."""

    path: Path
    rate: float = 25.0
    """Frames per second at which to show it; a folder knows none of its own."""
    files: Sequence[Path] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = [file for file in self.path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
        if not found:
            raise InputError(f"{self.path} holds no {', '.join(IMAGE_SUFFIXES)} files: give a folder of frames")
        object.__setattr__(self, "files", sorted(found, key=natural))

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def length(self) -> int:
        return len(self.files)

    @cached_property
    def size(self) -> Size:
        height, width, _ = read_image(self.files[0]).shape
        return height, width

    def frame(self, index: int) -> UInt8[np.ndarray, "Hv Wv 3"]:
        """RGB frame. Raises InputError when the file is corrupt or of another size than the first."""
        image = read_image(self.files[index])
        height, width = image.shape[:2]
        if (height, width) != self.size:
            raise InputError(
                f"{self.files[index]} (frame {index}) is {width}x{height} but the first frame is "
                f"{self.size[1]}x{self.size[0]}: frames of one folder need one size"
            )
        return image

    def frames(self) -> Iterator[UInt8[np.ndarray, "Hv Wv 3"]]:
        for index in range(self.length):
            yield self.frame(index)
