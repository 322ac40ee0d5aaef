"""One tracked frame, looked into: what the network proposed, what was read, what was decided; a table and a picture."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from omegaconf import OmegaConf
from rich.table import Table

from framework.config.checks import build
from framework.data.excerpt import excerpt
from framework.data.sources.source import open_source
from framework.errors import InputError, reason, unknown
from framework.evaluation.results import RunFolder
from framework.report.losses import as_text
from framework.report.overlay import GROUND, INK, overlay
from framework.report.picture_files import Picture
from framework.report.pictures import GAP, TILE, label, pale
from framework.report.table import number
from framework.storage.hypotheses import Hypothesis, from_json
from framework.storage.mask_rle import decode_mask
from framework.types import ANCHOR, MemoryUse, Size

MOST = 8
"""Variants and objects that fit beside one another."""
COLUMNS = 4
"""Tiles in a line of the picture."""
Tile = UInt8[np.ndarray, "Ht Wt 3"]
Images = Callable[[Sequence[int]], Mapping[int, Picture]]


@dataclass(frozen=True, eq=False)
class InspectedObject:
    """One object of one variant on one frame."""

    name: str
    key: int
    masks: Mapping[int, Bool[np.ndarray, "Hv Wv"]]
    """Of the frame itself and of those whose memories were read."""
    predicted_iou: float
    presence: float
    motion: float | None
    iou: float | None
    """With the truth; None where it is not known or not scored."""
    choice: int
    memory: MemoryUse
    held: frozenset[int] | None
    """Frames that were held before; None on the first one."""
    hypotheses: tuple[Hypothesis, ...]
    """Empty where they were not kept."""

    def decided(self, frame: int) -> dict[str, str]:
        """What became of memory: which frames it gained, which it lost."""
        now = frozenset(self.memory.held)
        gone = sorted((self.held or frozenset()) - now)
        return {
            "this frame was": "remembered" if frame in now else "not remembered",
            "forgotten": " ".join(map(str, gone)) or "-",
            "held": " ".join(map(str, sorted(now))) or "-",
        }


@dataclass(frozen=True, eq=False)
class Inspection:
    """One frame of one sequence."""

    sequence: str
    frame: int
    size: Size
    objects: tuple[InspectedObject, ...]
    images: Images
    missing: str
    """How hypotheses are kept, where they were not."""

    def table(self) -> Table:
        """A column per variant and object."""
        rows: dict[str, list[str]] = {}
        most = max(len(one.hypotheses) for one in self.objects)
        for one in self.objects:
            spatial, pointers = as_text(one.memory)
            values = {
                "iou": _number(one.iou),
                "predicted_iou": number(one.predicted_iou),
                "presence": number(one.presence),
                "motion": _number(one.motion),
                "hypotheses": "predicted IoU / score" if one.hypotheses else self.missing,
                **{f"  {index}": self._hypothesis(one, index) for index in range(most)},
                "read, frame@slot": spatial or "-",
                "pointers, frame@ago": pointers or "-",
                **one.decided(self.frame),
            }
            for name, value in values.items():
                rows.setdefault(name, []).append(value)
        table = Table("", *(one.name for one in self.objects), title=f"{self.sequence}, frame {self.frame}")
        for name, line in rows.items():
            table.add_row(name, *line)
        return table

    @staticmethod
    def _hypothesis(one: InspectedObject, index: int) -> str:
        if index >= len(one.hypotheses):
            return ""
        found = one.hypotheses[index]
        chosen = "  chosen" if index == one.choice else ""
        return f"{found.predicted_iou:.3f} / {found.score:.3f}{chosen}"

    def picture(self) -> Picture:
        """Per variant and object: the mask, all hypotheses (the chosen one framed), and below it what was read.

        On black where the frames cannot be found.
        """
        frames = sorted({self.frame, *(frame for one in self.objects for frame in one.masks)})
        tile = round(self.size[1] * TILE / self.size[0]), TILE
        try:
            read = self.images(frames)
        except InputError:
            read = {index: np.zeros((*self.size, 3), np.uint8) for index in frames}
        images = {index: pale(cv2.resize(image, tile)) for index, image in read.items()}
        lines = []
        for one in self.objects:
            iou = "" if one.iou is None else f", IoU {one.iou:.2f}"
            about = f"{one.name}, frame {self.frame}{iou}, presence {one.presence:.1f}, " + ", ".join(
                f"{name} {value}" for name, value in one.decided(self.frame).items() if name != "held"
            )
            lines.append(label([about], COLUMNS * (tile[0] + GAP)))
            lines += _lines(self._proposed(one, images[self.frame], tile))
            lines += _lines(self._read(one, images, tile))
        width = max(line.shape[1] for line in lines)
        return np.vstack([_wide(line, width) for line in lines])

    def _proposed(self, one: InspectedObject, image: Picture, tile: Size) -> Iterator[Picture]:
        yield _cell(f"shown, predicted {one.predicted_iou:.2f}", image, one.key, one.masks[self.frame], tile)
        for index, found in enumerate(one.hypotheses):
            title = f"{index}: {found.predicted_iou:.2f} / {found.score:.2f}"
            mask = decode_mask(found.mask, self.size)
            yield _cell(title, image, one.key, mask, tile, framed=index == one.choice)

    @staticmethod
    def _read(one: InspectedObject, images: Mapping[int, Picture], tile: Size) -> Iterator[Picture]:
        for frame, slot in one.memory.spatial:
            title = f"read {frame} at {'anchor' if slot == ANCHOR else slot}"
            yield _cell(title, images[frame], one.key, one.masks[frame], tile)


def inspect(path: Path, sequence: str | None, frame: int, variant: str | None, key: int | None) -> Inspection:
    """A frame of results: a folder of `track`, one run of a comparison, or a folder with several, of one data set.

    Args:
        sequence: None for a folder of `track`, which has only one.
        variant, key: of what to look at; None: all.

    Raises InputError where there is no such thing.
    """
    about = _read_json(path / "run.json") if (path / "run.json").exists() else {}
    if "configuration" in about:
        found = _of_track(path, about, frame)
        if sequence not in (None, found.sequence):
            raise InputError(f"{path} is of {found.sequence}, not of {sequence}: leave the sequence out")
    else:
        found = _of_runs(path, sequence, frame, variant)
    if key is not None:
        keys = sorted({one.key for one in found.objects})
        if key not in keys:
            raise unknown("object", key, keys)
    objects = tuple(one for one in found.objects if key in (None, one.key))
    if len(objects) > MOST:
        names = ", ".join(dict.fromkeys(one.name for one in objects))
        raise InputError(f"{len(objects)} are too many for one picture: give variant= or object= (there are {names})")
    return Inspection(found.sequence, frame, found.size, objects, found.images, found.missing)


def _of_runs(path: Path, sequence: str | None, frame: int, variant: str | None) -> Inspection:
    if sequence is None:
        raise InputError(f"{path} is no folder of track: give a sequence before the frame")
    folders = {file.parent: _read_json(file) for depth in ("", "*/", "*/*/") for file in path.glob(f"{depth}run.json")}
    runs = {folder: about for folder, about in folders.items() if "identity" in about}
    finished = {folder: about for folder, about in runs.items() if RunFolder(folder, folder.name).finished(sequence)}
    if not finished:
        files = {file.name.removesuffix(".json.gz") for folder in runs for file in folder.glob("*.json.gz")}
        some = sorted(name for name in files if not name.endswith(".hypotheses"))
        raise InputError(f"{path} has no results of {sequence} (there are {', '.join(some[:10]) or 'none at all'})")
    sets = sorted({about["identity"]["data"] for about in finished.values()})
    if len(sets) > 1:
        raise InputError(f"{path} has results of {sequence} on {' and '.join(sets)}: give one of these folders")
    names = {folder: about["notes"].get("name", folder.name) for folder, about in finished.items()}
    several = [name for name in names.values() if [*names.values()].count(name) > 1]
    names = {folder: f"{name} {folder.name}" if name in several else name for folder, name in names.items()}
    if variant is not None and variant not in names.values():
        raise unknown("variant", variant, names.values())
    chosen = [folder for folder, name in names.items() if variant in (None, name)]
    objects: list[InspectedObject] = []
    for folder in chosen:
        objects += _of_run(RunFolder(folder, folder.name), names[folder], sequence, frame)
    options = finished[chosen[0]]["notes"].get("options", {})
    size = RunFolder(chosen[0], chosen[0].name).load(sequence).size

    def images(frames: Sequence[int]) -> Mapping[int, Picture]:
        return _frames(options, sequence)(frames)

    return Inspection(sequence, frame, size, tuple(objects), images, "not kept: hypotheses=true keeps them")


def _of_run(folder: RunFolder, name: str, sequence: str, frame: int) -> Iterator[InspectedObject]:
    record, proposed = folder.load(sequence), folder.load_hypotheses(sequence) or {}
    for key, one in record.objects.items():
        if frame not in one.frame:
            raise InputError(f"{name} tracks object {key} on frames {one.frame[0]} to {one.frame[-1]}, not on {frame}")
        at = one.frame.index(frame)
        use = one.memory[at]
        yield InspectedObject(
            name=f"{name}, object {key}" if len(record.objects) > 1 else name,
            key=key,
            masks={index: one.mask_at(index, record.size) for index in (frame, *(read for read, _ in use.spatial))},
            predicted_iou=one.predicted_iou[at],
            presence=one.presence[at],
            motion=one.motion[at],
            iou=one.iou[at],
            choice=one.choice[at],
            memory=use,
            held=frozenset(one.memory[at - 1].held) if at else None,
            hypotheses=proposed.get(key, {}).get(frame, ()),
        )


def _of_track(path: Path, about: Mapping[str, Any], frame: int) -> Inspection:
    try:
        masks, memory = (
            _by_frame(path / name, at) for name, at in (("masks.json", "image_id"), ("memory.json", "frame"))
        )
        with (path / "boxes.csv").open(newline="") as file:
            boxes = {(int(row["frame"]), int(row["object"])): row for row in csv.DictReader(file)}
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename} is missing: track with outputs=[masks.json,memory.json,boxes.csv]"
        ) from None
    kept = path / "hypotheses.json"
    proposed = _by_frame(kept, "frame") if kept.exists() else {}
    keys = sorted(key for at, key in masks if at == frame)
    if not keys:
        frames = sorted({at for at, _ in masks})
        raise InputError(f"{path} tracks objects on frames {frames[0]} to {frames[-1]}, not on {frame}")
    height, width = masks[frame, keys[0]]["segmentation"]["size"]
    configuration = about["configuration"]
    step = configuration.get("stride", 1) * (-1 if configuration.get("direction") == "backward" else 1)
    objects, size = [], (height, width)
    for key in keys:
        use, row, found = MemoryUse.of(memory[frame, key]), boxes[frame, key], proposed.get((frame, key), {})
        read = [index for index, _ in use.spatial]
        counts = {index: masks[index, key]["segmentation"]["counts"] for index in (frame, *read)}
        before = memory.get((frame - step, key))
        objects.append(
            InspectedObject(
                name=f"object {key}",
                key=key,
                masks={index: decode_mask(text, size) for index, text in counts.items()},
                predicted_iou=masks[frame, key]["score"],
                presence=masks[frame, key]["presence"],
                motion=float(row["motion"]) if row["motion"] else None,
                iou=float(row["true_iou"]) if row["true_iou"] else None,
                choice=found.get("choice", 0),
                memory=use,
                held=frozenset(before["held"]) if before else None,
                hypotheses=from_json(found.get("hypotheses", ())),
            )
        )
    sequence = configuration.get("sequence", Path(f"{configuration['source']}").stem)

    def images(frames: Sequence[int]) -> Mapping[int, Picture]:
        if "sequence" in configuration:
            return _frames(configuration, sequence)(frames)
        shown = islice(open_source(configuration["source"]).frames(), max(frames) + 1)
        return {index: image for index, image in enumerate(shown) if index in frames}

    hint = "not kept: hypotheses.json among outputs= keeps them"
    return Inspection(sequence, frame, size, tuple(objects), images, hint)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {reason(error)}") from error


def _by_frame(path: Path, frame: str) -> dict[tuple[int, int], Any]:
    """A list of JSON by frame and object. Raises FileNotFoundError."""
    items = json.loads(path.read_text())
    return {(item[frame], item.get("object", item.get("category_id"))): item for item in items}


def _frames(options: Mapping[str, Any], sequence: str) -> Images:
    """Of the sequence of the data set that options name. Raises InputError; makes nothing but data of ours."""
    node = options.get("data")
    if not node or not all(target.startswith("framework.data.") for target in _targets(node)):
        raise InputError("run.json does not say where the frames are")
    data = excerpt(
        build(OmegaConf.create({"data": node}).data), **options.get("excerpt", {"videos": None, "frames": None})
    )
    videos = {video.name: video for video in map(data.sequence, range(len(data)))}
    if sequence not in videos:
        raise InputError(f"the data that run.json names has no {sequence}")
    return lambda frames: {index: videos[sequence].frame(index) for index in frames}


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _targets(item)
    if isinstance(node, dict):
        yield from ([str(node["_target_"])] if "_target_" in node else [])
        for item in node.values():
            yield from _targets(item)


def _number(value: float | None) -> str:
    return "-" if value is None else number(value)


def _cell(title: str, image: Tile, key: int, mask: np.ndarray, tile: Size, framed: bool = False) -> Picture:
    """A tinted frame under its title."""
    small = cv2.resize(mask.astype(np.float32), tile, interpolation=cv2.INTER_LINEAR) > 0.5
    picture = overlay(image, {key: small})
    if framed:
        cv2.rectangle(picture, (0, 0), (tile[0] - 1, tile[1] - 1), INK, 3)
    return np.pad(np.vstack([label([title], tile[0]), picture]), ((0, GAP), (0, GAP), (0, 0)))


def _lines(cells: Iterable[Picture]) -> list[Picture]:
    """So many beside one another."""
    found = list(cells)
    return [np.hstack(found[start : start + COLUMNS]) for start in range(0, len(found), COLUMNS)]


def _wide(line: Tile, width: int) -> Picture:
    ground = np.full((line.shape[0], width, 3), GROUND, np.uint8)
    ground[:, : line.shape[1]] = line
    return ground
