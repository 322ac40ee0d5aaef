"""Data sets annotated with boxes: LaSOT, LaSOText, TNL2K, GOT-10k, TrackingNet, OTB, NfS, UAV123.

Coordinates are kept as published: x, y, width, height in pixels, whatever pixel they count from, as every published
result does. Tracking starts from the box of the first frame, or from masks made of it beforehand (`init_masks`).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from framework.data.readers.box_sequence import BoxSequence, BoxTruth
from framework.data.readers.release import ImageSequence, PublicData, Release, read_flags
from framework.data.text import NUMBER, read_lines, read_rows
from framework.errors import InputError


@dataclass(frozen=True)
class BoxData(PublicData):
    """Args (further):
    init_masks: folder with one mask `<sequence>.png` each, to start from instead of the boxes.
    """

    init_masks: str | None = None

    def sequence_of(
        self, name: str, folder: Path, read: Callable[[], BoxTruth], order: range | None = None
    ) -> BoxSequence:
        mask = None if self.init_masks is None else Path(os.path.expanduser(self.init_masks)) / f"{name}.png"
        return BoxSequence(name, folder, order, read, mask)

    def started(self, name: str) -> str:
        """Name of the data set; precomputed masks are part of what the results depend on."""
        return name if self.init_masks is None else f"{name}-{Path(self.init_masks).name}"


# ---- LaSOT


def read_lasot(folder: Path) -> BoxTruth:
    rows = read_rows(folder / "groundtruth.txt", 4)
    hidden = [read_flags(folder / name) > 0 for name in ("full_occlusion.txt", "out_of_view.txt")]
    if any(len(flags) != len(rows) for flags in hidden):
        raise InputError(f"{folder}: {len(rows)} boxes but {' and '.join(str(len(f)) for f in hidden)} absence flags")
    return BoxTruth(rows, ~(hidden[0] | hidden[1]))


@dataclass(frozen=True)
class Lasot(BoxData):
    """LaSOT (Fan et al., CVPR 2019): 280 test and 1,120 training videos.

    Args:
        split: test or train.
    """

    split: str = "test"

    release = Release(
        "LaSOT",
        "https://vision.cs.stonybrook.edu/~lasot/",
        "which holds <class>/<sequence>/{img/00000001.jpg .., groundtruth.txt, full_occlusion.txt, out_of_view.txt} "
        "and testing_set.txt or training_set.txt with the names of the split's sequences",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "test", "train")

    @property
    def name(self) -> str:
        return self.started(f"lasot-{self.split}")

    def listed(self) -> list[str]:
        return self.release.lines(self.folder / f"{self.split}ing_set.txt")

    def open(self, name: str) -> BoxSequence:
        folder = self.release.first([self.folder / name.rpartition("-")[0] / name, self.folder / name])
        return self.sequence_of(name, folder / "img", partial(read_lasot, folder))


@dataclass(frozen=True)
class LasotExtension(BoxData):
    """LaSOText (Fan et al., IJCV 2021): 150 videos of 15 classes, all for testing."""

    release = Release(
        "LaSOText",
        Lasot.release.page,
        "which holds <class>/<sequence>/{img/00000001.jpg .., groundtruth.txt, full_occlusion.txt, out_of_view.txt}",
    )

    @property
    def name(self) -> str:
        return self.started("lasot-extension")

    def listed(self) -> list[str]:
        classes = self.release.folders(self.folder)
        return [name for kind in classes for name in self.release.folders(self.folder / kind) if name != "img"]

    def open(self, name: str) -> BoxSequence:
        folder = self.release.first([self.folder / name.rpartition("-")[0] / name])
        return self.sequence_of(name, folder / "img", partial(read_lasot, folder))


# ---- TNL2K


@dataclass(frozen=True)
class Tnl2k(BoxData):
    """TNL2K (Wang et al., CVPR 2021): the 700 videos of its test set. It does not say where the object is absent."""

    release = Release(
        "TNL2K",
        "https://sites.google.com/view/langtrackbenchmark/",
        "the folder of the test set, which holds <sequence>/{imgs/00001.jpg .., groundtruth.txt}",
    )

    @property
    def name(self) -> str:
        return self.started("tnl2k")

    def listed(self) -> list[str]:
        return self.release.folders(self.folder)

    def open(self, name: str) -> BoxSequence:
        folder = self.folder / name
        return self.sequence_of(name, folder / "imgs", lambda: BoxTruth(read_rows(folder / "groundtruth.txt", 4)))


# ---- GOT-10k


def read_got10k(folder: Path) -> BoxTruth:
    rows = read_rows(folder / "groundtruth.txt", 4)
    if not (folder / "cover.label").exists():
        return BoxTruth(rows)
    cover = read_flags(folder / "cover.label")
    if len(cover) != len(rows):
        raise InputError(f"{folder}: {len(rows)} boxes but {len(cover)} rows of cover.label; unpack the data again")
    return BoxTruth(rows, cover > 0, cover)


@dataclass(frozen=True)
class Got10k(BoxData):
    """GOT-10k (Huang et al., TPAMI 2019). Of the 180 test videos only the first box is public.

    Args:
        split: test, val or train.
    """

    split: str = "test"

    release = Release(
        "GOT-10k",
        "http://got-10k.aitestunion.com/downloads",
        "which holds {test,val,train}/{list.txt, <sequence>/{00000001.jpg .., groundtruth.txt, cover.label}}",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "test", "val", "train")

    @property
    def name(self) -> str:
        return self.started(f"got10k-{self.split}")

    def listed(self) -> list[str]:
        return self.release.lines(self.folder / self.split / "list.txt")

    def open(self, name: str) -> BoxSequence:
        folder = self.folder / self.split / name
        return self.sequence_of(name, folder, partial(read_got10k, folder))


# ---- TrackingNet


@dataclass(frozen=True)
class TrackingNet(BoxData):
    """TrackingNet (Muller et al., ECCV 2018): 511 test videos with the first box, twelve training parts with all.

    Args:
        split: TEST, or TRAIN_0 to TRAIN_11.
    """

    split: str = "TEST"

    release = Release(
        "TrackingNet",
        "https://tracking-net.org/",
        "which holds TEST/{frames/<sequence>/0.jpg .., anno/<sequence>.txt}",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "TEST", *(f"TRAIN_{part}" for part in range(12)))

    @property
    def name(self) -> str:
        return self.started(f"trackingnet-{self.split.lower()}")

    def listed(self) -> list[str]:
        return sorted(path.stem for path in self.release.first([self.folder / self.split / "anno"]).glob("*.txt"))

    def open(self, name: str) -> BoxSequence:
        annotation = self.folder / self.split / "anno" / f"{name}.txt"
        return self.sequence_of(name, self.folder / self.split / "frames" / name, partial(read_boxes, annotation))


def read_boxes(path: Path) -> BoxTruth:
    return BoxTruth(read_rows(path, 4))


# ---- OTB

OTB_SPANS = {
    "David": range(299, 770),
    "Football1": range(74),
    "Freeman3": range(460),
    "Freeman4": range(283),
    "Diving": range(215),
}
"""Videos that are annotated in part."""

OTB_OMITTED = {"Tiger1": 5}
"""Frames at the start that the benchmark leaves out although they are annotated."""


def read_otb(path: Path, omitted: int) -> BoxTruth:
    return BoxTruth(read_rows(path, 4)[omitted:])


@dataclass(frozen=True)
class Otb(BoxData):
    """OTB-100 (Wu et al., TPAMI 2015). A folder with two annotations is two sequences, as `Jogging-1`, `-2`."""

    release = Release(
        "OTB-100",
        "http://cvlab.hanyang.ac.kr/tracker_benchmark/datasets.html",
        "which holds <Sequence>/{img/0001.jpg .., groundtruth_rect.txt}",
    )

    @property
    def name(self) -> str:
        return self.started("otb100")

    @cached_property
    def annotations(self) -> dict[str, Path]:
        """Sequence -> annotation file."""
        found = {}
        for folder in self.release.folders(self.folder):
            files = sorted((self.folder / folder).glob("groundtruth_rect*.txt"))
            files = [path for path in files if path.stat().st_size]
            for path in files:
                person = path.stem.removeprefix("groundtruth_rect").strip(".")
                found[f"{folder}-{person}" if person and len(files) > 1 else folder] = path
        return found

    def listed(self) -> list[str]:
        return list(self.annotations)

    def open(self, name: str) -> BoxSequence:
        path, video = self.annotations[name], self.annotations[name].parent.name
        omitted, order = OTB_OMITTED.get(video, 0), OTB_SPANS.get(video)
        if omitted:
            order = range(omitted, omitted + len(read_rows(path, 4)[omitted:]))
        return self.sequence_of(name, path.parent / "img", partial(read_otb, path, omitted), order)


# ---- NfS


def read_nfs(path: Path, frames: int) -> BoxTruth:
    """Rows: object, xmin, ymin, xmax, ymax, frame, lost, occluded, generated, label. Annotated at 240 fps.

    A 30 fps video takes every eighth row; a row or frame too many at the end is dropped, as in the got-10k toolkit.
    """
    lines = [line.split() for line in read_lines(path)]
    for number, fields in enumerate(lines, 1):
        if len(fields) < 5 or not all(NUMBER.fullmatch(field) for field in fields[1:5]):
            raise InputError(f"{path}, line {number}: no four edges of a box; unpack the data again")
    edges = np.array([[float(field) for field in fields[1:5]] for fields in lines]).reshape(-1, 4)
    if abs(len(edges) / frames - 8) < 1:
        edges = edges[::8]
    edges = edges[:frames] if len(edges) - frames == 1 else edges
    return BoxTruth(np.concatenate([edges[:, :2], edges[:, 2:] - edges[:, :2]], axis=1))


@dataclass(frozen=True)
class Nfs(BoxData):
    """Need for Speed (Galoogahi et al., ICCV 2017): 100 videos at 30 or 240 fps.

    Args:
        split: 30 or 240, frames per second.
    """

    split: str = "30"

    release = Release(
        "NfS",
        "https://ci2cv.net/nfs/index.html",
        "which holds <sequence>/{30,240}/{<sequence>/00001.jpg .., <sequence>.txt}",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("split", "30", "240")

    @property
    def name(self) -> str:
        return self.started(f"nfs{self.split}")

    def listed(self) -> list[str]:
        return [n for n in self.release.folders(self.folder) if (self.folder / n / self.split / f"{n}.txt").exists()]

    def open(self, name: str) -> BoxSequence:
        folder = self.folder / name / self.split
        whole = ImageSequence(name, folder / name)
        annotation = read_nfs(folder / f"{name}.txt", whole.length)
        order = range(len(annotation.rows)) if whole.length - len(annotation.rows) == 1 else None
        return self.sequence_of(name, folder / name, lambda: annotation, order)


# ---- UAV123

UAV_PARTS = {
    "bird1": (1, 775, 1573),
    "car1": (1, 751, 1627),
    "car6": (1, 487, 1807, 2953, 3925),
    "car8": (1, 1357),
    "car16": (1, 415),
    "group1": (1, 1333, 2515, 3925),
    "group2": (1, 907, 1771),
    "group3": (1, 1567, 2827, 4369),
    "person2": (1, 1189),
    "person4": (1, 1501),
    "person5": (1, 877),
    "person7": (1, 1249),
    "person8": (1, 1075),
    "person12": (1, 601),
    "person14": (1, 847, 1813),
    "person17": (1, 1501),
    "person19": (1, 1243, 2791),
    "truck4": (1, 577),
    "uav1": (1, 1555, 2473),
}
"""Videos that are cut into several sequences: the first frame of each part, counted from 1."""


def read_uav(path: Path) -> BoxTruth:
    """Rows of NaN are frames without the target."""
    rows = read_rows(path, 4)
    return BoxTruth(rows, ~np.isnan(rows).any(axis=1))


@dataclass(frozen=True)
class Uav123(BoxData):
    """UAV123 (Mueller et al., ECCV 2016): 123 sequences cut from aerial videos; they share folders of frames."""

    release = Release(
        "UAV123",
        "https://cemse.kaust.edu.sa/ivul/uav123",
        "which holds data_seq/UAV123/<video>/000001.jpg .. and anno/UAV123/<sequence>.txt",
    )

    @property
    def name(self) -> str:
        return self.started("uav123")

    def listed(self) -> list[str]:
        return sorted(path.stem for path in self.release.first([self.folder / "anno" / "UAV123"]).glob("*.txt"))

    def open(self, name: str) -> BoxSequence:
        path = self.folder / "anno" / "UAV123" / f"{name}.txt"
        video, _, part = name.rpartition("_")
        if video in UAV_PARTS and part.isdigit():
            start = UAV_PARTS[video][int(part) - 1] - 1
            order = range(start, start + len(read_rows(path, 4)))
        else:
            video, order = name, range(len(read_rows(path, 4)))
        return self.sequence_of(name, self.folder / "data_seq" / "UAV123" / video, partial(read_uav, path), order)
