"""What the readers of public data sets share: where a set comes from, its list of videos, videos of image files."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int, UInt8

from framework.data.sequence import VideoSequence
from framework.data.sources.file_order import natural
from framework.data.sources.image_folder import ImageFolder
from framework.data.text import read_rows, read_text
from framework.errors import InputError
from framework.types import Size


@dataclass(frozen=True, slots=True)
class Release:
    """A public data set: what it is called, the page that has it, and what its folder holds."""

    title: str
    page: str
    layout: str

    def error(self, what: str) -> InputError:
        """`what` is wrong, and what would be right."""
        return InputError(
            f"{self.title}: {what}: get the data from {self.page} and give data.root=FOLDER, {self.layout}"
        )

    def first(self, candidates: Iterable[Path]) -> Path:
        """The first path that exists; raises InputError naming them when none does."""
        paths = tuple(candidates)
        for path in paths:
            if path.exists():
                return path
        raise self.error(f"no {' or '.join(map(str, paths))}")

    def lines(self, path: Path) -> list[str]:
        """Lines of a text file that is part of the release, without empty ones."""
        return [line.strip() for line in read_text(self.first([path])).splitlines() if line.strip()]

    def folders(self, path: Path) -> list[str]:
        """Names of the folders in a folder, in natural order."""
        found = sorted((entry for entry in self.first([path]).iterdir() if entry.is_dir()), key=natural)
        return [entry.name for entry in found if not entry.name.startswith(".")]


@dataclass(frozen=True)
class PublicData(ABC):
    """A data set on disk. Raises InputError, saying where to get the data, when the folder is not there.

    Args:
        root: folder of the data.
        only: use these sequences, in this order.
        limit: use only the first sequences.
    """

    root: str | None = None
    only: Sequence[str] = ()
    limit: int | None = None

    release: ClassVar[Release]

    def __post_init__(self) -> None:
        if self.root is None:
            raise self.release.error("data.root is not given")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"data.limit={self.limit} leaves nothing: give 1 or more, or null for all sequences")
        self.release.first([self.folder])
        if not self.folder.is_dir():
            raise self.release.error(f"{self.folder} is a file")

    @property
    @abstractmethod
    def name(self) -> str:
        """Data, version, split and whatever else decides what the sequences hold."""

    @abstractmethod
    def listed(self) -> list[str]:
        """Names of all sequences, in the official order."""

    @abstractmethod
    def open(self, name: str) -> VideoSequence:
        """A sequence by its name; nothing but small text files is read."""

    @property
    def folder(self) -> Path:
        return Path(os.path.expanduser(self.root or ""))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the sequences in use."""
        listed = self.listed()
        if not listed:
            raise self.release.error(f"no sequence in {self.folder}")
        unknown = [name for name in self.only if name not in listed]
        if unknown:
            raise InputError(f"{self.release.title} has no sequence {unknown[0]!r}: its first one is {listed[0]!r}")
        return tuple(self.only or listed)[: self.limit]

    def __len__(self) -> int:
        return len(self.names)

    def sequence(self, index: int) -> VideoSequence:
        return self.open(self.names[index])

    def one_of(self, option: str, *choices: str) -> None:
        """Raises InputError unless the option is one of them."""
        value = getattr(self, option)
        if value not in choices:
            raise InputError(f"data.{option}={value} is unknown: use {' or '.join(choices)}")


@dataclass(frozen=True)
class ImageSequence:
    """A video of image files, read when asked for. Readers add prompts and truth."""

    name: str
    folder: Path
    order: range | None = None
    """Positions in the folder that make up the video, in their order; None: all files."""

    @cached_property
    def images(self) -> ImageFolder:
        if not self.folder.is_dir():
            raise InputError(f"{self.name}: no folder of frames {self.folder}; unpack the data again")
        return ImageFolder(self.folder)

    @cached_property
    def positions(self) -> range:
        """File of every frame."""
        files = range(self.images.length)
        if self.order is None:
            return files
        if len(self.order) and (self.order[0] not in files or self.order[-1] not in files):
            raise InputError(
                f"{self.name} needs files {min(self.order) + 1} to {max(self.order) + 1} of {self.folder}, "
                f"which holds {len(files)}; unpack the data again"
            )
        return self.order

    @property
    def length(self) -> int:
        return len(self.positions)

    @property
    def size(self) -> Size:
        return self.images.size

    @property
    def object_names(self) -> Mapping[int, str]:
        """What the data call the objects, where that is not their number."""
        return {}

    def frame(self, index: int) -> UInt8[np.ndarray, "Hv Wv 3"]:
        return self.images.frame(self.positions[index])

    def frame_name(self, index: int) -> str | None:
        """File name of a frame, without its suffix; None for a frame that no result is asked for."""
        return self.images.files[self.positions[index]].stem

    def attributes(self, index: int) -> frozenset[str]:
        return frozenset()

    def check(self, path: Path, shape: tuple[int, ...]) -> None:
        """Raises InputError for a mask of another size than the frames."""
        if shape != self.size:
            height, width = self.size
            raise InputError(f"{path} is {shape[1]}x{shape[0]} but the frames of {self.name} are {width}x{height}")

    def truth(self, index: int) -> Mapping[int, Bool[np.ndarray, "Hv Wv"]]:
        return {}


def read_flags(path: Path) -> Int[np.ndarray, " T"]:
    """Whole numbers of a text file, in one row or one column. Raises InputError for others."""
    flags = read_rows(path).ravel()
    if (flags % 1 != 0).any():
        raise InputError(f"{path}: not whole numbers; unpack the data again")
    return flags.astype(np.int64)
