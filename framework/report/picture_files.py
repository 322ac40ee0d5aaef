"""Pictures as files, under any name that the file system takes."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from framework.errors import InputError
from framework.storage.files import write_atomic

Picture = UInt8[np.ndarray, "Hp Wp 3"]


def jpeg(picture: Picture, quality: int = 90) -> bytes:
    """RGB picture as a JPEG file."""
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def check_picture_name(path: Path) -> None:
    """Raises InputError for a name whose suffix no picture has."""
    if not cv2.haveImageWriter(f"picture{path.suffix}"):
        raise InputError(f"output={path} is no picture: give a name that ends in .png or .jpg")


def write_picture(path: Path, picture: Picture) -> None:
    """Writes an RGB picture, whole, and makes its folder. Raises InputError for a suffix that no picture has."""
    check_picture_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, cv2.imencode(path.suffix, picture[..., ::-1])[1].tobytes())
