"""Data sets annotated with masks: DAVIS-2016 and 2017, YouTube-VOS, MOSE, SA-V, LVOS.

All but SA-V keep one PNG per annotated frame, named like the frame, whose values are object numbers (0 is background,
255 nobody's; in DAVIS-2016, which has one object in a video, 255 is the object). SA-V keeps one black-and-white PNG per
object and annotated frame, so objects may overlap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from framework.data.json_file import Fields, read_json
from framework.data.label_image import read_label_image
from framework.data.readers.mask_sequence import LabelSequence, MaskSequence
from framework.data.readers.release import PublicData, Release
from framework.data.sources.image_folder import image_files
from framework.errors import InputError
from framework.metrics.vos import Span

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


@dataclass(frozen=True)
class Davis2016(PublicData):
    """DAVIS-2016 (Perazzi et al., CVPR 2016): one object in a video, masks of 0 and 255.

    The sequences of a split are those of its list, and all that are there where the data come without lists.

    Args:
        split: val, train or trainval.
        resolution: 480p or 1080p.
    """

    split: str = "val"
    resolution: str = "480p"

    release = Release(
        "DAVIS-2016",
        "https://davischallenge.org/davis2016/code.html",
        "which holds {JPEGImages,Annotations}/480p/<sequence>/00000.{jpg,png} .. and, for splits, "
        "ImageSets/480p/val.txt",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "val", "train", "trainval")
        self.one_of("resolution", "480p", "1080p")

    @property
    def name(self) -> str:
        return f"davis2016-{self.split if self.list_file else 'all'}-{self.resolution}"

    @property
    def list_file(self) -> Path | None:
        """File with the names of the split's sequences, or of their frames and masks."""
        places = (self.folder / "ImageSets" / kind / f"{self.split}.txt" for kind in (self.resolution, "480p", "2016"))
        return next((path for path in places if path.exists()), None)

    def listed(self) -> list[str]:
        if self.list_file is None:
            return self.release.folders(self.folder / "JPEGImages" / self.resolution)
        lines = (line.split()[0] for line in self.release.lines(self.list_file))
        return [*dict.fromkeys(Path(line).parent.name if "/" in line else line for line in lines)]

    def open(self, name: str) -> LabelSequence:
        images, labels = (self.folder / kind / self.resolution / name for kind in ("JPEGImages", "Annotations"))
        return LabelSequence(name, images, annotations=labels)


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
    def videos(self) -> Mapping[str, Mapping[int, Fields]]:
        return read_meta(self.release.first([self.folder / self.split / "meta.json"]))

    def listed(self) -> list[str]:
        return sorted(self.videos)

    def open(self, name: str) -> LabelSequence:
        sparse, labels = (self.folder / self.split / kind / name for kind in ("JPEGImages", "Annotations"))
        images, wanted = sparse, None
        if self.all_frames:
            images = self.release.first([self.folder / f"{self.split}_all_frames" / "JPEGImages" / name])
            wanted = frozenset(path.stem for path in image_files(self.release.first([sparse])))
        return LabelSequence(
            name,
            images,
            hidden=self.split != "train",
            wanted=wanted,
            annotations=labels,
            prompted="listed",
            listed={key: min(about.texts("frames")) for key, about in self.videos[name].items()},
        )


def read_meta(path: Path) -> Mapping[str, Mapping[int, Fields]]:
    """Video -> object id -> what a meta file says of it."""
    videos = Fields(read_json(path), str(path)).object("videos")
    return {name: _numbered(videos.object(name).object("objects")) for name in videos}


def _numbered(objects: Fields) -> dict[int, Fields]:
    wrong = [key for key in objects if not (key.isascii() and key.isdecimal())]
    if wrong:
        raise InputError(f"{objects.origin}: {wrong[0]!r} is no object number; unpack the data again")
    return {int(key): objects.object(key) for key in objects}


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
    def videos(self) -> Mapping[str, Mapping[int, Fields]]:
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
        ranges = {key: about.object("frame_range") for key, about in self.videos[name].items()}
        spans = {k: Span(r.count("start"), r.count("end"), r.count("frame_nums")) for k, r in ranges.items()}
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
        folders = (path.name for path in self.annotations.iterdir() if path.is_dir() and path.name[0] != ".")
        return dict(enumerate(sorted(folders), 1))

    @cached_property
    def annotated(self) -> dict[int, dict[int, Path]]:
        """Object id -> frame -> file."""
        return {key: self.by_frame(self.annotations / name) for key, name in self.object_names.items()}

    @cached_property
    def starts(self) -> dict[int, int]:
        starts = {}
        for key, files in self.annotated.items():
            starts[key] = next((index for index, path in files.items() if read_label_image(path).marked.any()), -1)
            if starts[key] < 0:
                raise InputError(f"{self.name}: object {self.object_names[key]} is on no frame; unpack the data again")
        return starts

    def mask(self, key: int, index: int) -> Bool[np.ndarray, "Hv Wv"] | None:
        path = self.annotated[key].get(index)
        if path is None:
            return None
        mask = read_label_image(path).marked
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
