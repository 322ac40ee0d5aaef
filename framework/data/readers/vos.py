"""Data sets annotated with masks: DAVIS-2017, YouTube-VOS, MOSE, SA-V, LVOS.

All but SA-V keep one palette PNG per annotated frame, named like the frame, whose values are object numbers (0 is
background, 255 nobody's). SA-V keeps one black-and-white PNG per object and annotated frame, so objects may overlap.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, UInt8

from framework.data.readers.release import ImageSequence, PublicData, Release, read_binary_mask, read_labels
from framework.data.sources.image_folder import natural
from framework.errors import InputError
from framework.metrics.vos import Span
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

    def check(self, path: Path, shape: tuple[int, ...]) -> None:
        """Raises InputError for a mask of another size than the frames."""
        if shape != self.size:
            height, width = self.size
            raise InputError(f"{path} is {shape[1]}x{shape[0]} but the frames of {self.name} are {width}x{height}")

    def frames_named(self) -> dict[str, int]:
        """File name -> frame."""
        return {self.images.files[position].stem: index for index, position in enumerate(self.positions)}


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
        frames = self.frames_named()
        files = sorted(self.annotations.glob("*.png"), key=natural) if self.annotations.is_dir() else []
        return {frames[path.stem]: path for path in files if path.stem in frames}

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
            for key in np.unique(read_labels(self.annotated[index])).tolist():
                if key:
                    starts.setdefault(key, index)
        if not starts:
            raise InputError(f"{self.name}: no object is annotated in {self.annotations}; unpack the data again")
        return starts

    def labels(self, index: int) -> UInt8[np.ndarray, "Hv Wv"]:
        """Object number of every pixel of an annotated frame."""
        labels = read_labels(self.annotated[index])
        self.check(self.annotated[index], labels.shape)
        return labels

    def mask(self, key: int, index: int) -> Bool[np.ndarray, "Hv Wv"] | None:
        return self.labels(index) == key if index in self.annotated else None

    def truth(self, index: int) -> Mapping[int, Bool[np.ndarray, "Hv Wv"]]:
        keys = self.appeared(index) if index in self.annotated else []
        labels = self.labels(index) if keys else None
        return {} if labels is None else {key: labels == key for key in keys}


# ---- DAVIS


@dataclass(frozen=True)
class Davis(PublicData):
    """DAVIS-2017 (Pont-Tuset et al.): 30 videos to validate on; the objects of the first frame are tracked.

    Args:
        split: val, train or test-dev (whose truth is secret).
        resolution: 480p or Full-Resolution.
    """

    split: str = "val"
    resolution: str = "480p"

    release = Release(
        "DAVIS-2017",
        "https://davischallenge.org/davis2017/code.html",
        "which holds {JPEGImages,Annotations}/480p/<sequence>/00000.{jpg,png} .. and ImageSets/2017/val.txt",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "val", "train", "test-dev", "test-challenge")
        self.one_of("resolution", "480p", "Full-Resolution")

    @property
    def name(self) -> str:
        return f"davis2017-{self.split}-{self.resolution.lower()}"

    def listed(self) -> list[str]:
        return self.release.lines(self.folder / "ImageSets" / "2017" / f"{self.split}.txt")

    def open(self, name: str) -> LabelSequence:
        images, labels = (self.folder / kind / self.resolution / name for kind in ("JPEGImages", "Annotations"))
        return LabelSequence(name, images, hidden=self.split.startswith("test"), annotations=labels)


# ---- MOSE


@dataclass(frozen=True)
class Mose(PublicData):
    """MOSE (Ding et al., ICCV 2023) or MOSEv2 (2025). Only the first masks of the validation videos are public.

    Args:
        split: valid or train.
        version: 1 or 2.
    """

    split: str = "valid"
    version: int = 1

    release = Release(
        "MOSE",
        "https://henghuiding.github.io/MOSE/ (version 2: https://mose.video)",
        "which holds valid/{JPEGImages,Annotations}/<video>/00000.{jpg,png} ..",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "valid", "train")

    @property
    def name(self) -> str:
        return f"mose-v{self.version}-{self.split}"

    def listed(self) -> list[str]:
        return self.release.folders(self.folder / self.split / "JPEGImages")

    def open(self, name: str) -> LabelSequence:
        images, labels = (self.folder / self.split / kind / name for kind in ("JPEGImages", "Annotations"))
        return LabelSequence(name, images, hidden=self.split == "valid", annotations=labels)


# ---- YouTube-VOS


@dataclass(frozen=True)
class YoutubeVos(PublicData):
    """YouTube-VOS (Xu et al., 2018 and 2019): objects appear later; masks only where they do.

    Args:
        split: valid, test or train.
        all_frames: track at the videos' own rate (valid_all_frames), though results are asked for at 6 fps.
    """

    split: str = "valid"
    all_frames: bool = False

    release = Release(
        "YouTube-VOS",
        "https://youtube-vos.org/dataset/vos/",
        "which holds valid/{meta.json, {JPEGImages,Annotations}/<video>/00000.{jpg,png} ..} "
        "and for all_frames valid_all_frames/JPEGImages/<video>/00000.jpg ..",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "valid", "test", "train")

    @property
    def name(self) -> str:
        return f"youtube-vos-{self.split}{'-all-frames' if self.all_frames else ''}"

    @cached_property
    def videos(self) -> Mapping[str, Mapping[str, Any]]:
        return read_meta(self.release.first([self.folder / self.split / "meta.json"]))

    def listed(self) -> list[str]:
        return sorted(self.videos)

    def open(self, name: str) -> LabelSequence:
        sparse, labels = (self.folder / self.split / kind / name for kind in ("JPEGImages", "Annotations"))
        images, wanted = sparse, None
        if self.all_frames:
            images = self.release.first([self.folder / f"{self.split}_all_frames" / "JPEGImages" / name])
            wanted = frozenset(path.stem for path in self.release.first([sparse]).iterdir())
        objects = self.videos[name]["objects"]
        return LabelSequence(
            name,
            images,
            hidden=self.split != "train",
            wanted=wanted,
            annotations=labels,
            prompted="listed",
            listed={int(key): min(about["frames"]) for key, about in objects.items()},
        )


def read_meta(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Video -> what a meta file says of it."""
    try:
        videos = json.loads(path.read_text())["videos"]
        return {name: {"objects": dict(about["objects"])} for name, about in videos.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a list of videos with their objects ({error}); unpack the data again") from error


# ---- LVOS


@dataclass(frozen=True)
class LvosSequence(LabelSequence):
    """A long video, annotated on every fifth frame."""

    spans: Mapping[int, Span] = field(default_factory=dict)
    """Object id -> frames on which it is scored."""
    seen: bool = True
    """Whether its category is in the training set."""


@dataclass(frozen=True)
class Lvos(PublicData):
    """LVOS (Hong et al., 2023), version 1 or 2: minutes-long videos; objects start on frames of their own.

    Args:
        split: valid, test (secret truth) or train.
        version: 1 or 2.
    """

    split: str = "valid"
    version: int = 2

    release = Release(
        "LVOS",
        "https://lingyihongfd.github.io/lvos.github.io/",
        "which holds valid/{valid_meta.json, {JPEGImages,Annotations}/<video>/00000001.{jpg,png} ..}",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "valid", "test", "train")

    @property
    def name(self) -> str:
        return f"lvos-v{self.version}-{self.split}"

    @cached_property
    def videos(self) -> Mapping[str, Mapping[str, Any]]:
        meta = f"{self.split}_meta.json"
        return read_meta(self.release.first([self.folder / self.split / meta, self.folder / meta]))

    @cached_property
    def unseen(self) -> frozenset[str]:
        """Videos of categories that are not in the training set, where the data name them."""
        paths = [self.folder / self.split / "unseen_videos.txt", self.folder / "unseen_videos.txt"]
        return frozenset(name for path in paths if path.exists() for name in self.release.lines(path))

    def listed(self) -> list[str]:
        return sorted(self.videos)

    def open(self, name: str) -> LvosSequence:
        images, labels = (self.folder / self.split / kind / name for kind in ("JPEGImages", "Annotations"))
        ranges = {int(key): about["frame_range"] for key, about in self.videos[name]["objects"].items()}
        spans = {k: Span(int(r["start"]), int(r["end"]), int(r["frame_nums"])) for k, r in ranges.items()}
        return LvosSequence(
            name,
            images,
            hidden=self.split == "test",
            annotations=labels,
            prompted="listed",
            listed={key: f"{span.start:08d}" for key, span in spans.items()},
            spans=spans,
            seen=name not in self.unseen,
        )


# ---- SA-V


@dataclass(frozen=True)
class SavSequence(MaskSequence):
    """One folder of black-and-white PNGs per object; every fourth frame is annotated."""

    annotations: Path = Path()

    @cached_property
    def object_names(self) -> Mapping[int, str]:
        """Folder of every object, as `000`."""
        folders = sorted(path.name for path in self.annotations.iterdir() if path.is_dir())
        return dict(enumerate(folders, 1))

    @cached_property
    def annotated(self) -> dict[int, dict[int, Path]]:
        """Object id -> frame -> file."""
        frames = self.frames_named()
        files = {k: sorted((self.annotations / name).glob("*.png")) for k, name in self.object_names.items()}
        return {k: {frames[path.stem]: path for path in paths if path.stem in frames} for k, paths in files.items()}

    @cached_property
    def starts(self) -> dict[int, int]:
        starts = {}
        for key, files in self.annotated.items():
            starts[key] = next((index for index, path in files.items() if read_binary_mask(path).any()), -1)
            if starts[key] < 0:
                raise InputError(f"{self.name}: object {self.object_names[key]} is on no frame; unpack the data again")
        return starts

    def mask(self, key: int, index: int) -> Bool[np.ndarray, "Hv Wv"] | None:
        path = self.annotated[key].get(index)
        if path is None:
            return None
        mask = read_binary_mask(path)
        self.check(path, mask.shape)
        return mask


@dataclass(frozen=True)
class SaV(PublicData):
    """SA-V (Ravi et al., 2024): 24 fps videos whose objects may overlap and appear later.

    Args:
        split: val or test.
    """

    split: str = "val"

    release = Release(
        "SA-V",
        "https://ai.meta.com/datasets/segment-anything-video/",
        "which holds sav_val/{sav_val.txt, JPEGImages_24fps/<video>/00000.jpg .., "
        "Annotations_6fps/<video>/<object>/00000.png ..}",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "val", "test")

    @property
    def name(self) -> str:
        return f"sa-v-{self.split}"

    @cached_property
    def part(self) -> Path:
        """Folder of the split; `root` may be that folder itself."""
        list_file = f"sav_{self.split}.txt"
        candidates = [self.folder / f"sav_{self.split}" / list_file, self.folder / list_file]
        return self.release.first(candidates).parent

    def listed(self) -> list[str]:
        return self.release.lines(self.part / f"sav_{self.split}.txt")

    def open(self, name: str) -> SavSequence:
        annotations = self.release.first([self.part / "Annotations_6fps" / name])
        return SavSequence(name, self.part / "JPEGImages_24fps" / name, annotations=annotations)
