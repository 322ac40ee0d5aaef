"""Small copies of the layouts of public data sets, and results on them, made by the tests."""

import io
import os

import cv2
import numpy as np
from PIL import Image

from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.records import ObjectRecord, SequenceRecord
from framework.evaluation.results import RunFolder
from framework.storage.mask_rle import encode_mask
from framework.types import MemoryUse, Work

RUN = "0123456789abcdef"

HEIGHT, WIDTH = 24, 32


def square(left, top, side=6):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


NOTHING = np.zeros((HEIGHT, WIDTH), dtype=bool)


def write_frames(folder, count, first=1, digits=8, suffix=".jpg"):
    """Frame i (from 0) is grey at level 10 (i % 25), so that a test can tell which one it got."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = np.full((HEIGHT, WIDTH, 3), 10 * (index % 25), np.uint8)
        cv2.imwrite(str(folder / f"{index + first:0{digits}d}{suffix}"), image)


def write_black_frames(folder, names, size):
    """Black frames, size (width, height); all are one file."""
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    Image.new("RGB", size).save(content, "JPEG")
    first, *others = (folder / f"{name}.jpg" for name in names)
    first.write_bytes(content.getvalue())
    for other in others:
        os.link(first, other)


def shown(video, index):
    """Which frame of `write_frames` this is, modulo 25."""
    return round(float(video.frame(index).mean()) / 10)


def write_labels(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette([channel for label in range(256) for channel in (label, 255 - label, 7)])
    image.save(path)


def write_binary(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_vot(folder, truth, frames=12, **files):
    """A sequence of a VOT workspace. `truth`: object's name, if it has one -> lines; `files`: `__` for a dot."""
    write_frames(folder / "color", frames)
    write_text(folder / "sequence", "channels.color=color/%08d.jpg\n")
    for key, lines in truth.items():
        write_text(folder / f"groundtruth{key and '_'}{key}.txt", "\n".join(lines) + "\n")
    for name, text in files.items():
        write_text(folder / name.replace("__", "."), text)
    with (folder.parent / "list.txt").open("a") as file:
        file.write(f"{folder.name}\n")


def labels_of(masks):
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for key, mask in masks.items():
        labels[mask] = key
    return labels


def object_record(masks, start=0, boxes=None):
    """An object's record from its prompt on; `masks`: of every frame of the video. Boxes are those of the masks."""
    frames, later = list(range(start, len(masks))), masks[start:]
    return ObjectRecord(
        prompted=[start],
        frame=frames,
        box=boxes or [EvaluationProtocol().box(mask) for mask in later],
        mask=[encode_mask(mask) for mask in later],
        predicted_iou=[0.75] * len(frames),
        presence=[1.0] * len(frames),
        motion=[None] * len(frames),
        area=[int(mask.sum()) for mask in later],
        choice=[0] * len(frames),
        iou=[None] * len(frames),
        visible=[None] * len(frames),
        memory=[MemoryUse()] * len(frames),
    )


def sequence_record(name, objects, size=(HEIGHT, WIDTH)):
    """`objects`: id -> its record; one of them is there from the first frame on."""
    length = max(len(columns.frame) for columns in objects.values())
    return SequenceRecord(RUN, name, length, size, objects, 0.05 * length, "lockstep", 1, Work())


def saved(output, data, *records):
    """A folder of results as an evaluation leaves it."""
    identity = {"data": data.name, "protocol": {"empty": "zeros"}}
    folder = RunFolder.open(output, data.name, RUN, identity, {})
    for record in records:
        folder.save(record)
    return folder
