"""Where variants differ: frames x variants of the sequences on which their scores are furthest apart."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Bool

from framework.data.sequence import VideoSequence
from framework.evaluation.comparison import Comparison
from framework.evaluation.records import SequenceRecord
from framework.report.overlay import GROUND, INK, overlay
from framework.report.picture_files import Picture
from framework.types import Size

Masks = Mapping[int, Bool[np.ndarray, "h w"]]

TRUTH = (255, 255, 255)
TILE = 200  # pixels, height of one frame
PALE = 0.4  # share of their colour that frames keep, so that tints stand out
BAND = 22  # pixels, height of a line of text
GAP = 4  # pixels between tiles


def most_different(comparison: Comparison, metric: str, count: int) -> list[str]:
    """Sequences with the widest spread of the metric over variants, widest first."""
    names = comparison.sequences
    values = np.stack([run.values(metric, names) for run in comparison.runs])
    known = ~np.isnan(values).any(axis=0)
    spread = np.where(known, values.max(axis=0) - values.min(axis=0), -1.0)
    order = np.argsort(-spread, kind="stable")[:count]
    return [names[index] for index in order if known[index]]


def telling_frames(records: Mapping[str, SequenceRecord], count: int) -> list[int]:
    """Frames on which IoU differs most between variants, spaced over the video and in order.

    Each of `count` equal parts of the scored frames gives the one with the widest spread.
    """
    first = next(iter(records.values()))
    spread: dict[int, float] = {}
    for key, one in first.objects.items():
        for position, frame in enumerate(one.frame):
            values = [record.objects[key].iou[position] for record in records.values()]
            known = [value for value in values if value is not None]
            if known:
                spread[frame] = max(spread.get(frame, 0.0), max(known) - min(known))
    parts = np.array_split(np.array(sorted(spread), dtype=int), min(count, len(spread))) if spread else []
    return [int(max(part, key=lambda frame: (spread[int(frame)], -frame))) for part in parts]


def grid(video: VideoSequence, records: Mapping[str, SequenceRecord], columns: int = 6) -> Picture:
    """One row per variant, one column per telling frame. Masks are tinted; the white contour is the truth."""
    frames = telling_frames(records, columns)
    tile = _tile(video.size)
    words = {name: name.split() for name in records}  # one below the other
    margin = max(_text_width(word) for parts in words.values() for word in parts) + 12
    head = np.hstack([label([], margin), *(label([f"frame {index}"], tile[0] + GAP) for index in frames)])
    lines = [head]
    images, truths = {}, {}
    for index in frames:
        images[index], truths[index] = shown(video, index)
    for name, record in records.items():
        cells = [label(words[name], margin, TILE)]
        for index in frames:
            picture = drawn(images[index], truths[index], record, index)
            cells.append(np.pad(picture, ((0, 0), (0, GAP), (0, 0))))
        lines.append(np.pad(np.hstack(cells), ((0, GAP), (0, 0), (0, 0))))
    return np.vstack(lines)


def _tile(size: Size) -> tuple[int, int]:
    """Width and height of a frame as it is drawn."""
    return round(size[1] * TILE / size[0]), TILE


def shown(video: VideoSequence, index: int) -> tuple[Picture, Masks]:
    """A frame and its true masks as they are drawn."""
    tile = _tile(video.size)
    image = pale(cv2.resize(video.frame(index), tile, interpolation=cv2.INTER_CUBIC))
    return image, {key: _resize(mask, tile) for key, mask in video.truth(index).items()}


def drawn(image: Picture, truth: Masks, record: SequenceRecord, index: int) -> Picture:
    """With a variant's masks, the outline of the truth and the mean IoU."""
    tile = image.shape[1], image.shape[0]
    masks = {key: _resize(one.mask_at(index, record.size), tile) for key, one in record.objects.items()}
    picture = overlay(image, masks)
    for mask in truth.values():
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, TRUTH, 1, cv2.LINE_AA)
    return _scored(picture, record, index)


def pale(image: Picture) -> Picture:
    """With little colour, so that tints stand out."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, PALE, grey, 1 - PALE, 0)


def _resize(mask: Bool[np.ndarray, "H W"], tile: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    return cv2.resize(mask.astype(np.float32), tile, interpolation=cv2.INTER_LINEAR) > 0.5


def _scored(picture: Picture, record: SequenceRecord, frame: int) -> Picture:
    """The picture with the mean IoU of its objects in the lower left corner."""
    values = [one.iou[one.frame.index(frame)] for one in record.objects.values() if frame in one.frame]
    known = [value for value in values if value is not None]
    if known:
        text, at = f"{np.mean(known):.2f}", (5, picture.shape[0] - 7)
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, GROUND, 3, cv2.LINE_AA)
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    return picture


def _text_width(text: str) -> int:
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0]


def label(lines: Sequence[str], width: int, height: int = BAND) -> Picture:
    """Text on a dark ground."""
    ground = np.full((height, width, 3), GROUND, dtype=np.uint8)
    for index, line in enumerate(lines):
        at = 6, height // 2 + 5 + round((index - (len(lines) - 1) / 2) * BAND)
        cv2.putText(ground, line, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
    return ground
