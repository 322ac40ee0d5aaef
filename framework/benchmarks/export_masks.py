"""Mask images: palette PNGs for DAVIS, MOSE, LVOS and YouTube-VOS, one folder per object for SA-V."""

import io
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from framework.benchmarks.export import ExportInput, Format
from framework.benchmarks.predictions import label_maps, object_masks
from framework.data.palette import palette
from framework.data.sequence import ReleasedSequence, VideoSequence


def png(values: UInt8[np.ndarray, "Hv Wv"], colours: list[int] | None) -> bytes:
    """With a palette, or grey without."""
    image = Image.fromarray(values)
    if colours is not None:
        image.putpalette(colours)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def frame_name(video: VideoSequence, index: int) -> str | None:
    """Name of a frame's file; None for a frame that no result is asked for."""
    return video.frame_name(index) if isinstance(video, ReleasedSequence) else f"{index:05d}"


def label_images(item: ExportInput) -> Iterator[tuple[str, bytes]]:
    """<video>/<frame>.png."""
    colours = palette()
    for index, labels in enumerate(label_maps(item.record)):
        name = frame_name(item.video, index)
        if name is not None:
            yield f"{item.record.sequence}/{name}.png", png(labels, colours)


def annotation_images(item: ExportInput) -> Iterator[tuple[str, bytes]]:
    """Annotations/<video>/<frame>.png."""
    for path, content in label_images(item):
        yield f"Annotations/{path}", content


def object_images(item: ExportInput) -> Iterator[tuple[str, bytes]]:
    """<video>/<object>/<frame>.png, 255 inside."""
    names = item.video.object_names if isinstance(item.video, ReleasedSequence) else {}
    for key, columns in item.record.objects.items():
        for index, mask in enumerate(object_masks(columns, item.record.size, item.record.length)):
            name = frame_name(item.video, index)
            if name is not None:
                path = f"{item.record.sequence}/{names.get(key, f'{key:03d}')}/{name}.png"
                yield path, png(mask.astype(np.uint8) * 255, None)


DAVIS = Format(label_images)
LVOS = Format(label_images)
MOSE = Format(label_images, packed=True)
YOUTUBE_VOS = Format(annotation_images, packed=True)
SAV = Format(object_images)
