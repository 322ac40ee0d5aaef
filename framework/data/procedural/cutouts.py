"""Photographed objects cut out of their pictures, and backgrounds, from folders of one's own.

A folder of sprites is one of

* RGBA pictures (PNG, WebP), in subfolders by kind if there are several kinds; a number after the last dash counts
  views of one thing, as in `padlock-3.png`;
* `images/` and `masks/`: a mask of the picture's name holds a value above 0 for every object in it;
* a COCO annotation file (`*.json`) beside the pictures or their folder `images/`: kinds are its categories.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from pycocotools import mask as coco

from framework.data.json_file import Fields, are_numbers, read_json, shown
from framework.data.label_image import object_numbers, read_label_image
from framework.errors import InputError

PICTURES = (".png", ".webp", ".jpg", ".jpeg")
LEAST = 24
"""Pixels of a cut-out's longer side."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """One object, read when it is needed."""

    kind: str
    thing: str
    """Cut-outs of one thing, or of one picture, share it: they belong to one split."""
    image: Path
    mask: Path | None = None
    label: int | None = None
    """Value of the mask."""
    outline: str | None = None
    """COCO segmentation, as JSON."""

    def pixels(self) -> UInt8[np.ndarray, "h w 4"]:
        """RGBA, cut to what is covered; not premultiplied. Raises InputError for a picture that cannot be used."""
        return _pixels(self)

    @property
    def in_place(self) -> bool:
        """Whether its picture shows it where it was photographed."""
        return self.mask is not None or self.outline is not None

    def photograph(self) -> UInt8[np.ndarray, "h w 4"]:
        """The whole picture, RGB, with the object's coverage as its fourth channel. Raises InputError as `pixels`."""
        return _photograph(self)


@dataclass(frozen=True)
class Cutouts:
    """All cut-outs and backgrounds of two folders.

    Raises:
        InputError: a folder that is missing, or holds nothing to cut out or to put behind it.
    """

    sprites: Path
    backgrounds: Path

    def __post_init__(self) -> None:
        for name, folder in (("sprites", self.sprites), ("backgrounds", self.backgrounds)):
            if not folder.is_dir():
                raise InputError(f"data.{name}={folder} is no folder: give one of pictures")
        if not self.things or not self.pictures:
            empty = "backgrounds" if self.things else "sprites"
            raise InputError(f"data.{empty} holds no picture that can be used: {getattr(self, empty)}")

    @cached_property
    def things(self) -> tuple[Cutout, ...]:
        """In the order of their names."""
        return tuple(_listed(self.sprites))

    @cached_property
    def pictures(self) -> tuple[Path, ...]:
        return tuple(_images(self.backgrounds))

    @cached_property
    def digest(self) -> str:
        """Of all that decides what is drawn: names and contents of both folders."""
        found = hashlib.sha256()
        for folder in (self.sprites, self.backgrounds):
            for path in sorted(p for p in folder.rglob("*") if p.is_file() and not _hidden(p, folder)):
                found.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
                found.update(path.read_bytes())
        return found.hexdigest()[:8]

    def of(self, split: str) -> tuple[tuple[Cutout, ...], tuple[Path, ...]]:
        """Things and backgrounds of a split: eight tenths for training, a tenth each for validation and test.

        Raises InputError where a split is left with nothing.
        """
        things = tuple(one for one in self.things if _split(f"{one.kind}/{one.thing}") == split)
        pictures = tuple(path for path in self.pictures if _split(path.stem) == split)
        if not things or not pictures:
            raise InputError(
                f"{self.sprites} and {self.backgrounds} leave the {split} split {len(things)} cut-outs and "
                f"{len(pictures)} backgrounds: give more pictures"
            )
        return things, pictures


def shares(things: Sequence[Cutout]) -> dict[str, float]:
    """How often each kind is drawn: by the square root of how many there are, so that none drowns the others."""
    roots = {kind: count**0.5 for kind, count in Counter(one.kind for one in things).items()}
    return {kind: root / sum(roots.values()) for kind, root in roots.items()}


def _split(name: str) -> str:
    tenth = hashlib.sha256(f"split/{name}".encode()).digest()[0] % 10
    return {0: "val", 1: "test"}.get(tenth, "train")


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)


def _images(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and not _hidden(path, folder))
    return sorted(found)


def _listed(folder: Path) -> list[Cutout]:
    annotations = sorted(path for path in folder.glob("*.json") if not _hidden(path, folder))
    if annotations:
        return [one for path in annotations for one in _coco(path)]
    if (folder / "masks").is_dir():
        return _masked(folder)
    images = _images(folder)
    names = Counter((path.parent, path.stem.rpartition("-")[0]) for path in images)
    found = []
    for path in images:
        thing, dash, number = path.stem.rpartition("-")
        many = dash and number.isdecimal() and names[path.parent, thing] > 1
        kind = path.parent.relative_to(folder).as_posix()
        found.append(Cutout(kind, thing if many else path.stem, path))
    return found


def _masked(folder: Path) -> list[Cutout]:
    images = {path.stem: path for path in _images(folder / "images")}
    found = []
    for mask in _images(folder / "masks"):
        if mask.stem not in images:
            raise InputError(f"{mask} has no picture of its name in {folder / 'images'}")
        labels = read_label_image(mask)
        values = object_numbers(labels.found, labels.palette)
        found += [Cutout("object", mask.stem, images[mask.stem], mask, value) for value in values]
    return found


def _coco(path: Path) -> list[Cutout]:
    content = Fields(read_json(path), str(path))
    if not {"images", "annotations", "categories"} <= content.keys():
        raise InputError(f"{path} is no COCO annotation file (images, annotations, categories)")
    names = _numbered(content.objects("categories"), "name")
    files = _numbered(content.objects("images"), "file_name")
    folders = [path.parent / "images", path.parent]
    cutouts = []
    for one in content.objects("annotations"):
        outline = one.get("segmentation")
        if _is_crowd(one) or not outline:
            continue
        category, number = one.key("category_id"), one.key("image_id")
        if category not in names or number not in files:
            what = f"image {number}" if number not in files else f"category {category}"
            raise InputError(f"{one.origin}: there is no {what} in the file: correct it")
        if not _is_outline(outline):
            raise InputError(
                f"{one.origin}: segmentation={shown(outline)} is no polygons and no run lengths: correct it"
            )
        image = next((folder / files[number] for folder in folders if (folder / files[number]).is_file()), None)
        if image is None:
            raise InputError(f"{path} names {files[number]}, which is neither in {folders[0]} nor beside it")
        cutouts.append(Cutout(names[category], image.stem, image, outline=json.dumps(outline)))
    return cutouts


def _is_crowd(annotation: Fields) -> bool:
    value = annotation.get("iscrowd", 0)
    if value not in (0, 1):
        raise InputError(f"{annotation.origin}: iscrowd={shown(value)} must be 0 or 1: correct it")
    return bool(value)


def _numbered(given: Sequence[Fields], name: str) -> dict[int | str, str]:
    """Field `name` of objects by their id. Raises InputError for an id that is there twice."""
    found = {one.key("id"): one.text(name) for one in given}
    if len(found) < len(given):
        raise InputError(f"{given[0].origin.rpartition(' ')[0]}: an id is there twice: correct the file")
    return found


def _is_outline(value: Any) -> bool:
    """Polygons of three points or more, or run lengths as pycocotools writes them, packed or not."""
    if isinstance(value, list):
        return all(are_numbers(polygon) and len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in value)
    match value:
        case {"size": [int(height), int(width)], "counts": str(counts)}:
            return min(height, width) > 0 and all(48 <= ord(letter) < 112 for letter in counts)
        case {"size": [int(height), int(width)], "counts": [*counts]}:
            return all(type(count) is int and count >= 0 for count in counts) and sum(counts) == height * width
    return False


@lru_cache(maxsize=512)
def _pixels(cutout: Cutout) -> UInt8[np.ndarray, "h w 4"]:
    rgba = _photograph(cutout)
    rows, columns = np.nonzero((rgba[..., 3] > 127).any(1))[0], np.nonzero((rgba[..., 3] > 127).any(0))[0]
    if not len(rows) or max(len(rows), len(columns)) < LEAST:
        raise InputError(f"{cutout.image}: an object of less than {LEAST} pixels cannot be drawn; leave it out")
    cut = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cut.setflags(write=False)
    return cut


def _photograph(cutout: Cutout) -> UInt8[np.ndarray, "h w 4"]:
    try:
        with Image.open(cutout.image) as image:
            rgba = np.array(image.convert("RGBA"))
            alpha = "A" in image.getbands() or "transparency" in image.info
    except OSError as error:
        raise InputError(f"{cutout.image} cannot be read as a picture: {error}") from error
    if cutout.mask is not None:
        labels = read_label_image(cutout.mask).values
        if labels.shape != rgba.shape[:2]:
            raise InputError(f"{cutout.mask} is not of the size of {cutout.image}")
        rgba[..., 3] = 255 * (labels == cutout.label)
    elif cutout.outline is not None:
        rgba[..., 3] = 255 * _decoded(cutout, rgba.shape[:2])
    elif not alpha:
        raise InputError(f"{cutout.image} has no alpha channel to cut by: give RGBA pictures, or images/ and masks/")
    return rgba


def _decoded(cutout: Cutout, size: tuple[int, int]) -> np.ndarray:
    segmentation = json.loads(cutout.outline or "")
    try:
        if isinstance(segmentation, list):
            runs = coco.merge(coco.frPyObjects(segmentation, *size))
        else:
            runs = coco.frPyObjects(segmentation, *size) if isinstance(segmentation["counts"], list) else segmentation
        mask = coco.decode(runs)
    except ValueError as error:
        raise InputError(f"{cutout.image}: its run lengths cannot be read ({error}): correct the annotation") from error
    if mask.shape != size:
        raise InputError(f"{cutout.image} is {size[1]}x{size[0]} but its outline {mask.shape[1]}x{mask.shape[0]}")
    return mask
