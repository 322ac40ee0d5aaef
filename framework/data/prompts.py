"""Where the objects are: prompts from options or from a JSON file, checked against the video.

A prompt file is a list; each item is one prompt of one object on one frame:

    [
      {"object": 1, "frame": 0, "mask": "first.png"},
      {"object": 2, "frame": 0, "box": [xmin, ymin, xmax, ymax]},
      {"object": 2, "frame": 8, "points": [[x, y], [x, y]], "labels": [1, 0]},
      {"object": 1, "frame": 40, "remove": true}
    ]

``frame`` is 0 where it is not given, ``object`` 1; file names are relative to the JSON file. A mask file without an
``object`` may hold several (`framework.data.label_image`). Box edges and points are
pixels of the video, xmax and ymax exclusive. Labels are 1 inside and 0 outside the object, 1 where they are not given.
Points (or a box) for an object that is tracked already correct what was tracked on that frame; ``"refine": false``
starts it afresh from them. Points that follow another prompt of their object on its frame correct, in the order of the
file, what that one showed, as clicks in turn; each item is all that the network is given in its turn.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from framework.data.json_file import Fields, are_numbers, read_json, shown
from framework.data.label_image import object_numbers, read_label_image
from framework.data.sequence import VideoSequence
from framework.data.sources.frame_range import WHOLE, FrameRange
from framework.errors import InputError
from framework.types import Prompt, Size, in_turn

FIELDS = ("object", "frame", "mask", "box", "points", "labels", "refine", "remove")
ADVICE = "give prompt.mask=FILE, prompt.box=[xmin,ymin,xmax,ymax], prompt.points=[[x,y]] or prompts=FILE.json"


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One prompt of one object on one frame; None takes the object away from that frame on."""

    origin: str
    """What to call it in a message."""
    object: int
    frame: int
    prompt: Prompt | None


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """All that is known of the objects before tracking begins."""

    prompts: Mapping[int, Mapping[int, Prompt | tuple[Prompt, ...]]] = field(default_factory=dict)
    """Frame -> object id -> prompt, or several in turn."""
    removed: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Frame -> objects no longer tracked from there on, unless a prompt on it starts them afresh."""

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of all objects that ever appear, in ascending order."""
        return tuple(sorted({key for given in self.prompts.values() for key in given}))

    def within(self, frames: FrameRange) -> "Schedule":
        """By places in a range of frames that has them all."""
        removed = {frames.place(number): keys for number, keys in self.removed.items()}
        return Schedule({frames.place(number): given for number, given in self.prompts.items()}, removed)


def read_prompts(
    mask: str | None = None,
    box: Sequence[Any] | None = None,
    points: Sequence[Any] | None = None,
    labels: Sequence[Any] | None = None,
    frame: int | None = None,
    file: str | None = None,
    first: int = 0,
) -> list[Placed]:
    """Prompts from options (one of mask, or box and/or points, of one frame) or from a prompt file; none of neither.

    They are on the `first` frame where no `frame` is given.

    Raises InputError when there is more than one kind, or when one is malformed.
    """
    given = {"mask": mask, "box": box, "points": points, "labels": labels}
    item = {key: value for key, value in given.items() if value is not None}
    if file is not None:
        if item or frame is not None:
            raise InputError(f"prompts={file} and prompt.{next(iter(item), 'frame')} cannot both be given: drop one")
        return _read_file(Path(os.path.expanduser(file)))
    if not item and frame is not None:
        raise InputError(f"prompt.frame={frame} prompts nothing: {ADVICE}")
    if not item:
        return []
    return _place({**item, "frame": first if frame is None else frame}, "prompt", Path())


def prompts_of(video: VideoSequence) -> list[Placed]:
    """The prompts that a data set gives of a video."""
    given = video.prompts().items()
    return [
        Placed(f"{video.name}: the prompt of object {key}", key, frame, prompt)
        for frame, those in given
        for key, prompt in those.items()
    ]


def schedule(
    placed: Iterable[Placed], size: Size, length: int | None, backward: bool = False, frames: FrameRange = WHOLE
) -> Schedule:
    """Prompts by frame, checked against the video (`length` None: not known) and those `frames` of it that are tracked.

    What comes before what is meant in the order of tracking: of frames that go down where it is `backward`.

    Raises InputError for a mask of another size or without a pixel, a box outside the image or without area, a point
    outside, points of which none is inside an object that starts, a frame that is not tracked, an object id that does
    not fit a mask image (1 to 255), an object started twice on a frame, and a removal of what is not tracked. Points
    for an object that a frame names already follow in turn.
    """
    prompts: dict[int, dict[int, Prompt | tuple[Prompt, ...]]] = {}
    removed: dict[int, set[int]] = {}
    tracked: set[int] = set()
    order = -1 if backward else 1
    for item in sorted(placed, key=lambda item: (order * item.frame, item.prompt is not None)):
        if length is not None and item.frame >= length:
            raise InputError(
                f"{item.origin} is for frame {item.frame} but the video has {length} frames: give 0 to {length - 1}"
            )
        frames.check(item.frame, item.origin)
        if not 1 <= item.object <= 255:
            raise InputError(f"{item.origin}: object {item.object} is out of range; give an id from 1 to 255")
        if item.prompt is None:
            if item.object not in tracked:
                raise InputError(f"{item.origin} removes object {item.object}, which has no prompt before; drop it")
            tracked.discard(item.object)
            removed.setdefault(item.frame, set()).add(item.object)
            continue
        _check(item.origin, item.prompt, size)
        # A correction needs something to correct.
        prompt = item.prompt if item.object in tracked else replace(item.prompt, refine=False)
        if prompt.mask is None and prompt.box is None and 1 not in prompt.labels and not prompt.refine:
            raise InputError(f"{item.origin} has no point inside the object: give one with the label 1")
        before = prompts.setdefault(item.frame, {}).get(item.object)
        if before is not None and (prompt.mask is not None or prompt.box is not None or not prompt.refine):
            raise InputError(
                f"{item.origin}: object {item.object} is named twice on frame {item.frame}; keep one, or let points "
                "follow, which correct what came before them"
            )
        prompts[item.frame][item.object] = prompt if before is None else (*in_turn(before), prompt)
        tracked.add(item.object)
    if not prompts:
        raise InputError(f"no prompt: {ADVICE}")
    return Schedule(prompts, {frame: frozenset(keys) for frame, keys in removed.items()})


def read_masks(path: Path) -> dict[int, Bool[np.ndarray, "Hv Wv"]]:
    """Object id -> mask of a mask file (`framework.data.label_image`).

    Raises InputError when it is empty, and for an object that is all around the picture, as in an inverted mask.
    """
    image = read_label_image(path)
    numbers = object_numbers(image.found, image.palette)
    if not numbers:
        raise InputError(f"{path}: the mask is empty; paint the object with any value but 0")
    marked = image.marked
    if not marked.all() and all(edge.all() for edge in (marked[0], marked[-1], marked[:, 0], marked[:, -1])):
        raise InputError(f"{path}: its object is all around the picture, so it may be inverted; paint the background 0")
    return {number: image.values == value for value, number in numbers.items()}


def _read_file(path: Path) -> list[Placed]:
    try:
        items = read_json(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such prompt file") from None
    if not isinstance(items, list):
        raise InputError(f'{path}: must be a list of prompts, such as [{{"object": 1, "box": [10, 20, 90, 80]}}]')
    placed: list[Placed] = []
    for number, item in enumerate(items, 1):
        placed += _place(item, f"{path}, prompt {number}", path.parent)
    return placed


def _place(given: Any, origin: str, folder: Path) -> list[Placed]:
    item = Fields(given, origin, FIELDS)
    frame, key, refine = item.whole("frame", 0), item.whole("object", 1), item.truth("refine", True)
    if item.truth("remove", False):
        if others := {"mask", "box", "points", "labels", "refine"} & item.keys():
            raise InputError(f"{origin} removes its object: drop {', '.join(sorted(others))}, or 'remove'")
        return [Placed(origin, key, frame, None)]
    if "mask" in item:
        if {"box", "points", "labels"} & item.keys():
            raise InputError(f"{origin} has a mask and a box or points: a prompt is one or the other")
        path = folder / os.path.expanduser(item.text("mask"))
        masks = read_masks(path)
        if "object" in item and len(masks) > 1:
            raise InputError(
                f"{origin}: {path} holds objects {', '.join(map(str, masks))}; drop 'object' to take them all"
            )
        if "object" in item:
            masks = dict(zip([key], masks.values(), strict=True))
        return [Placed(f"{origin} ({path})", found, frame, Prompt(mask=mask)) for found, mask in masks.items()]
    if "box" not in item and "points" not in item:
        raise InputError(f"{origin} says nowhere where the object is: give mask, box or points")
    box = _numbers(item["box"], 4, f"{origin}: box", "[xmin,ymin,xmax,ymax]") if "box" in item else None
    points = item.get("points", [])
    if not isinstance(points, list | tuple):
        raise InputError(f"{origin}: points={shown(points)} must be [[x,y], ...]")
    pairs = tuple(_numbers(point, 2, f"{origin}: point", "[x,y]") for point in points)
    labels = item.get("labels", [1] * len(pairs))
    if (
        not isinstance(labels, list | tuple)
        or len(labels) != len(pairs)
        or any(label not in (0, 1) for label in labels)
    ):
        raise InputError(f"{origin}: labels={shown(labels)} must be one per point, 1 inside and 0 outside the object")
    if not pairs and box is None:
        raise InputError(f"{origin} has no points; give at least one [x,y]")
    prompt = Prompt(None, box, pairs, tuple(int(label) for label in labels), refine)  # type: ignore[arg-type]
    return [Placed(origin, key, frame, prompt)]


def _numbers(values: Any, count: int, what: str, form: str) -> tuple[float, ...]:
    if not are_numbers(values, count):
        raise InputError(f"{what}={shown(values)} must be {form} in pixels")
    return tuple(float(value) for value in values)


def _check(origin: str, prompt: Prompt, size: Size) -> None:
    height, width = size
    if prompt.mask is not None and prompt.mask.shape != size:
        rows, columns = prompt.mask.shape
        raise InputError(f"{origin}: the mask is {columns}x{rows} but the video is {width}x{height}; resize the mask")
    if prompt.box is not None:
        xmin, ymin, xmax, ymax = prompt.box
        shown = f"{origin}: box=[{xmin:g},{ymin:g},{xmax:g},{ymax:g}]"
        if xmax <= xmin or ymax <= ymin:
            raise InputError(f"{shown} has no area; give [xmin,ymin,xmax,ymax] with xmax > xmin and ymax > ymin")
        inside = max(xmin, 0), max(ymin, 0), min(xmax, width), min(ymax, height)
        if inside != prompt.box:
            hidden = inside[2] <= inside[0] or inside[3] <= inside[1]
            fix = "give one inside it" if hidden else "give [{:g},{:g},{:g},{:g}]".format(*inside)
            raise InputError(f"{shown} is {'' if hidden else 'partly '}outside the {width}x{height} video; {fix}")
    for x, y in prompt.points:
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(f"{origin}: point=[{x:g},{y:g}] is outside the {width}x{height} video; give one inside it")
