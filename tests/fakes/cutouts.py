"""Folders of cut-outs and backgrounds, drawn."""

import numpy as np
from PIL import Image

SIDE = 40
RED = (230, 20, 30)


def disc(radius):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (rows - SIDE / 2 + 0.5) ** 2 + (columns - SIDE / 2 + 0.5) ** 2 < radius**2


def cutout(radius):
    """A red disc on nothing."""
    return Image.fromarray(np.dstack([np.full((SIDE, SIDE, 3), RED, np.uint8), 255 * disc(radius).astype(np.uint8)]))


def write_folders(root):
    """Red discs of two kinds to cut out, and grey grounds, enough for every split."""
    for kind in ("discs", "coins"):
        (root / "sprites" / kind).mkdir(parents=True)
        for i in range(40):
            cutout(14 + i % 5).save(root / "sprites" / kind / f"{kind}{i:02d}.png")
    (root / "grounds").mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        grey = np.repeat(rng.integers(40, 200, (6, 8, 1), np.uint8), 3, axis=2)
        Image.fromarray(grey).resize((96, 64)).save(root / "grounds" / f"ground{i:02d}.png")
    return root
