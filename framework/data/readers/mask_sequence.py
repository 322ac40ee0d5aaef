"""Videos annotated with masks: one file of labels per frame, or masks from wherever a data set keeps them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8

from framework.data.label_image import PALETTE_NUMBERS, VOID, object_numbers, read_label_image
from framework.data.readers.release import ImageSequence
from framework.data.sources.image_folder import image_files
from framework.errors import InputError
from framework.types import Prompt

PromptRule = Literal["first frame", "first appearance", "listed"]
"""Which objects are tracked: those of the first annotated frame; every one from where it is first annotated; or every
one from the frame that a list of the data set names."""


@dataclass(frozen=True)
class MaskSequence(ImageSequence):
    """A video whose objects each start on one frame, with a mask. Readers say where masks are."""

    hidden: bool = False
    """Only masks to start from are public, so nothing is scored."""
    wanted: frozenset[str] | None = None
    """Names of the frames that results are asked for; None: all."""

    @cached_property
    def starts(self) -> dict[int, int]:
        """Object id -> frame of its prompt. Masks are read again when asked for: those of many videos fill memory."""
        raise NotImplementedError

    def mask(self, key: int, index: int) -> Bool[np.ndarray, "Hv Wv"] | None:
        """True mask of an object; None on a frame that is not annotated."""
        raise NotImplementedError

    def prompts(self) -> Mapping[int, Mapping[int, Prompt]]:
        prompts: dict[int, dict[int, Prompt]] = {}
        for key, start in self.starts.items():
            mask = self.mask(key, start)
            if mask is None or not mask.any():
                raise InputError(f"{self.name}: object {key} has no mask on frame {start}; unpack the data again")
            prompts.setdefault(start, {})[key] = Prompt(mask=mask)
        return prompts

    def truth(self, index: int) -> Mapping[int, Bool[np.ndarray, "Hv Wv"]]:
        """Masks of the objects that have appeared; of a hidden truth, those that tracking starts from."""
        masks = {key: self.mask(key, index) for key in self.appeared(index)}
        return {key: mask for key, mask in masks.items() if mask is not None}

    def appeared(self, index: int) -> list[int]:
        """Objects whose mask on a frame may be known."""
        starts = self.starts.items()
        return [key for key, start in starts if start == index or (start < index and not self.hidden)]

    def frame_name(self, index: int) -> str | None:
        name = self.images.files[self.positions[index]].stem
        return name if self.wanted is None or name in self.wanted else None

    def frames_named(self) -> dict[str, int]:
        """File name -> frame."""
        return {self.images.files[position].stem: index for index, position in enumerate(self.positions)}

    def by_frame(self, folder: Path) -> dict[int, Path]:
        """Frame -> mask file. Raises InputError for a file that is named like no frame."""
        frames = self.frames_named()
        files = image_files(folder) if folder.is_dir() else []
        strange = [path for path in files if path.stem not in frames]
        if strange:
            first, *_, last = (*frames, *frames)
            raise InputError(
                f"{strange[0]} matches no frame of {self.name}: masks are named like its frames, {first} to {last}"
            )
        return {frames[path.stem]: path for path in files}


@dataclass(frozen=True)
class LabelSequence(MaskSequence):
    """One palette PNG per annotated frame."""

    annotations: Path = Path()
    prompted: PromptRule = "first frame"
    listed: Mapping[int, str] = field(default_factory=dict)
    """Object id -> name of the frame of its prompt, where the data set lists them."""

    @cached_property
    def annotated(self) -> dict[int, Path]:
        """Frame -> file."""
        return self.by_frame(self.annotations)

    @cached_property
    def numbers(self) -> Mapping[int, int]:
        """Value in the files -> object number, the same for all of the video."""
        found: set[int] = set()
        palette = True
        for path in self.annotated.values():
            image = read_label_image(path)
            found, palette = found | image.found, palette and image.palette
            if palette and found - {VOID}:
                return PALETTE_NUMBERS  # later files hold nothing that could change that
        return object_numbers(found, palette, self.known)

    @property
    def known(self) -> Collection[int]:
        """Objects that something else than the masks names."""
        return self.listed

    @cached_property
    def starts(self) -> dict[int, int]:
        if self.prompted == "listed":
            frames = self.frames_named()
            missing = [name for name in self.listed.values() if name not in frames]
            if missing:
                raise InputError(f"{self.name}: an object starts on frame {missing[0]}, which is not there")
            return {key: frames[name] for key, name in self.listed.items()}
        starts: dict[int, int] = {}
        for index in list(self.annotated)[: 1 if self.prompted == "first frame" else None]:
            for key in np.unique(self.labels(index)).tolist():
                if key:
                    starts.setdefault(key, index)
        if not starts:
            raise InputError(f"{self.name}: no object is annotated in {self.annotations}; unpack the data again")
        return starts

    def labels(self, index: int) -> UInt8[np.ndarray, "Hv Wv"]:
        """Object number of every pixel of an annotated frame; 0 is nobody's."""
        image = read_label_image(self.annotated[index])
        self.check(image.path, image.values.shape)
        return image.labels(self.numbers)

    def mask(self, key: int, index: int) -> Bool[np.ndarray, "Hv Wv"] | None:
        return self.labels(index) == key if index in self.annotated else None

    def truth(self, index: int) -> Mapping[int, Bool[np.ndarray, "Hv Wv"]]:
        keys = self.appeared(index) if index in self.annotated else []
        labels = self.labels(index) if keys else None
        return {} if labels is None else {key: labels == key for key in keys}
