"""What a result on disk says in the terms of the benchmarks: boxes, VOT regions, label maps."""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from framework.data.sequence import BoxedSequence, VideoSequence
from framework.errors import InputError
from framework.evaluation.records import ObjectRecord, SequenceRecord
from framework.metrics.regions import PROMPTED, UNKNOWN, Mask, Rectangle, Region
from framework.storage.mask_rle import decode_mask
from framework.types import Box, Size

Empty = Literal["zeros", "negative", "previous"]
"""How an empty prediction is written as a box: 0,0,0,0; or -1,-1,-1,-1, which some tools refuse; or the box before."""

ZEROS, NEGATIVE = (0.0, 0.0, 0.0, 0.0), (-1.0, -1.0, -1.0, -1.0)


def only_object(record: SequenceRecord) -> int:
    """Id of the one object. Raises InputError when there are more: box benchmarks have one."""
    if len(record.objects) != 1:
        raise InputError(f"{record.sequence} has {len(record.objects)} objects; a box file holds one")
    return next(iter(record.objects))


def box_rows(video: VideoSequence, record: SequenceRecord, empty: Empty = "zeros") -> Float[np.ndarray, "T 4"]:
    """x, y, width, height per frame, edges as the protocol wrote them; the first row is the given box where known.

    Raises InputError for several objects, or for one that does not start on the first frame.
    """
    key = only_object(record)
    columns = _from_its_prompt(record, key)
    if columns.frame[:1] != [0] or len(columns.frame) != record.length:
        raise InputError(f"{record.sequence}: boxes on {len(columns.frame)} of {record.length} frames; track it again")
    given = video.truth_boxes(0).get(key) if isinstance(video, BoxedSequence) else None
    rows = [extent(given) if given is not None else extent_or(columns.box[0], ZEROS)]
    for box in columns.box[1:]:
        rows.append(extent_or(box, {"zeros": ZEROS, "negative": NEGATIVE, "previous": rows[-1]}[empty]))
    return np.array(rows, dtype=np.float64)


def _from_its_prompt(record: SequenceRecord, key: int) -> ObjectRecord:
    """An object that is known from its prompt on, as official tools take it. Raises InputError for another."""
    columns = record.objects[key]
    if columns.frame[:1] != columns.prompted[:1]:
        raise InputError(
            f"{record.sequence}: object {key} is known before its prompt, which official tools do not expect: track it "
            "with protocol.direction=forward"
        )
    return columns


def extent(box: Box) -> Box:
    """x, y, width, height of edges."""
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def extent_or(box: Box | None, otherwise: Box) -> Box:
    return otherwise if box is None else extent(box)


def regions(record: SequenceRecord, key: int, kind: Literal["mask", "rectangle"]) -> tuple[Region, ...]:
    """One VOT region per frame: unknown before the prompt, the state PROMPTED on it, then masks or rectangles."""
    columns = _from_its_prompt(record, key)
    before = [UNKNOWN] * columns.frame[0]
    if kind == "rectangle":
        tracked: list[Region] = [Rectangle(*extent_or(box, ZEROS)) for box in columns.box[1:]]
    else:
        tracked = [Mask(decode_mask(counts, record.size)).cropped for counts in columns.mask[1:]]
    return (*before, PROMPTED, *tracked)


def object_masks(columns: ObjectRecord, size: Size, length: int) -> Iterator[Bool[np.ndarray, "Hv Wv"]]:
    """Mask of every frame; empty before the object's prompt."""
    counts = dict(zip(columns.frame, columns.mask, strict=True))
    for frame in range(length):
        yield decode_mask(counts[frame], size) if frame in counts else np.zeros(size, dtype=bool)


def label_maps(record: SequenceRecord) -> Iterator[UInt8[np.ndarray, "Hv Wv"]]:
    """Object number of every pixel, frame by frame. Where masks overlap the lowest number wins, as in sam2's own tool.

    Raises InputError for an object number that does not fit.
    """
    wrong = [key for key in record.objects if not 1 <= key <= 254]
    if wrong:
        raise InputError(f"{record.sequence}: object {wrong[0]} does not fit a label image; numbers are 1 to 254")
    descending: Mapping[int, Iterator[np.ndarray]] = {
        key: object_masks(record.objects[key], record.size, record.length)
        for key in sorted(record.objects, reverse=True)
    }
    for _ in range(record.length):
        labels = np.zeros(record.size, dtype=np.uint8)
        for key, masks in descending.items():
            labels[next(masks)] = key
        yield labels
