"""Pictures as files."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framework.errors import InputError
from framework.report.picture_files import write_picture

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.mark.parametrize("name", [b"a.png", "ж (1).PNG".encode(), b"\xff.png"])
def test_any_name(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "made" / os.fsdecode(name)
    write_picture(path, PICTURE)
    np.testing.assert_array_equal(np.array(Image.open(path)), PICTURE)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a", "a.txt", "png"])
def test_a_name_without_the_suffix_of_a_picture(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is no picture: give a name that ends in .png or .jpg"):
        write_picture(tmp_path / name, PICTURE)
    assert not list(tmp_path.iterdir())
