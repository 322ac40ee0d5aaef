"""A folder of images, one per frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from framework.data.label_image import UNREADABLE
from framework.data.sources.file_order import in_order
from framework.errors import InputError
from framework.types import Size

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
OTHER_SUFFIXES = (".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif", ".heic", ".jfif", ".jp2", ".ppm", ".pgm")
"""Images that are not read; left out in silence, one among others would shift the frames behind it."""
ANIMATED = (".gif", ".avif")
"""Those that may be videos."""


def image_names(folder: Path) -> list[Path]:
    """What counts as an image: PNG and JPEG files of a folder, hidden ones left out, in no order."""
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "." and not path.is_dir()
    ]


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in their order, frames and masks alike; empty when there are none.

    Raises InputError for a broken link, for an image of another format, and where the order is in doubt (`in_order`).
    """
    found = image_names(folder)
    others = sorted(path for path in folder.iterdir() if path.suffix.lower() in OTHER_SUFFIXES and path.name[0] != ".")
    if others:
        raise InputError(f"{others[0]} is no PNG or JPEG, so which files count is in doubt: convert it or move it away")
    broken = sorted(path for path in found if not path.is_file())
    if broken and broken[0].is_symlink():
        raise InputError(f"{broken[0]} is a link to {broken[0].readlink()}, which is not there: put the file back")
    if broken:
        raise InputError(f"{broken[0]} is no file: move it away")
    return in_order(found)


def read_image(path: Path) -> UInt8[np.ndarray, "Hv Wv 3"]:
    """RGB pixels, turned upright by the orientation that a camera noted (EXIF); 16 bits are scaled to 8.

    Raises InputError for what is no image of 8 or 16 bits.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("I", "F"):
                raise InputError(f"{path}: its numbers have no known range; save it with 8 or 16 bits")
            if upright.mode.startswith("I;16"):
                grey = np.round(np.array(upright).astype(np.uint16) / 257).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=-1)
            return np.array(upright.convert("RGB"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such image") from None
    except UNREADABLE as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); replace the file") from error


def _check_range(first: Path) -> None:
    """Raises InputError for a first frame of 16 bits whose numbers have fewer: scaled, it would be all but black."""
    if first.suffix.lower() != ".png":
        return
    # By its bytes: OpenCV takes no name that is not UTF-8.
    pixels = cv2.imdecode(np.fromfile(first, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        return
    brightest = int(pixels[..., :3].max() if pixels.ndim == 3 else pixels.max())
    if 0 < brightest < 4096:
        raise InputError(
            f"{first} has 16 bits but no number above {brightest}, so its range is in doubt: scale the frames to 8 bits"
        )


@dataclass(frozen=True)
class ImageFolder:
    """PNG and JPEG files of one folder (`image_files`). Raises InputError when there are none."""

    path: Path
    rate: float = 25.0
    """Frames per second at which to show it; a folder knows none of its own."""
    files: Sequence[Path] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        files = image_files(self.path)
        if not files:
            raise InputError(f"{self.path} holds no {', '.join(IMAGE_SUFFIXES)} files: give a folder of frames")
        object.__setattr__(self, "files", files)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def length(self) -> int:
        return len(self.files)

    @cached_property
    def size(self) -> Size:
        height, width, _ = read_image(self.files[0]).shape
        _check_range(self.files[0])
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
