"""Some frames of a video are tracked as a video of their own, and called by their numbers in the whole one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.data.procedural.dataset import Procedural
from framework.data.prompts import Placed
from framework.data.sources.data_set import own_prompts, sequence_source
from framework.data.sources.frame_range import FrameRange
from framework.data.sources.source import Part, Source, anywhere, open_source
from framework.errors import InputError
from framework.evaluation.passes import Direction
from framework.inference.plan import TrackingPlan
from framework.types import Prompt
from tests.fakes.colour import square, write_folder, write_video
from tests.unit.inference.test_directions import interrupt, same, save

LENGTH, FIRST, LAST, STRIDE = 24, 5, 18, 3
TRACKED = (5, 8, 11, 14, 17)
RANGE = FrameRange(FIRST, LAST, STRIDE)


def prompts(number: Mapping[int, int]) -> list[Placed]:
    """The square is prompted on frame 8, and the ground on frame 11; `number` says what those are called."""
    red, grey = ((2.0 * 8 + 8, 24.0),), ((60.0, 4.0),)
    return [
        Placed("red", 1, number[8], Prompt(points=red, labels=(1,))),
        Placed("grey", 2, number[11], Prompt(points=grey, labels=(1,))),
    ]


def result(output: Path) -> dict[str, Any]:
    """All lists of a folder, and its boxes."""
    lists: dict[str, Any] = {name: json.loads((output / name).read_text()) for name in ("masks.json", "memory.json")}
    lists["boxes"] = [line.split(",") for line in (output / "boxes.csv").read_text().splitlines()[1:]]
    lists["masks"] = {int(path.stem): path.read_bytes() for path in (output / "masks").iterdir()}
    return lists


def renumbered(found: Mapping[str, Any], number: list[int]) -> dict[str, Any]:
    """A result with frame n called number[n]."""
    masks = [{**item, "image_id": number[item["image_id"]]} for item in found["masks.json"]]
    memory = [
        {
            **item,
            "frame": number[item["frame"]],
            "spatial": [[number[frame], slot] for frame, slot in item["spatial"]],
            "pointers": [[number[frame], ago] for frame, ago in item["pointers"]],
            "held": [number[frame] for frame in item["held"]],
            "reasons": [
                {**one, "frame": None if one["frame"] is None else number[one["frame"]]} for one in item["reasons"]
            ],
        }
        for item in found["memory.json"]
    ]
    boxes = [[str(number[int(frame)]), *rest] for frame, *rest in found["boxes"]]
    images = {number[frame]: content for frame, content in found["masks"].items()}
    return {"masks.json": masks, "memory.json": memory, "boxes": boxes, "masks": images}


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize("kind", ["folder", "video"])
def test_it_is_tracked_as_its_frames_alone_and_keeps_their_numbers(
    tmp_path: Path, kind: str, direction: Direction
) -> None:
    whole = write_folder(tmp_path / "clip", LENGTH) if kind == "folder" else write_video(tmp_path / "c.mp4", LENGTH)
    source = open_source(whole, RANGE)
    assert isinstance(source, Part) and source.length == len(TRACKED)
    (tmp_path / "alone").mkdir()
    for place, image in enumerate(source.frames()):
        np.testing.assert_array_equal(image, anywhere(source).frame(place))
        if kind == "folder":
            np.testing.assert_array_equal(image, square(TRACKED[place]))
            (tmp_path / "alone" / f"{place}.png").symlink_to(whole / f"frame{TRACKED[place]}.png")
    save(tmp_path / "out", source, direction, prompts({8: 8, 11: 11}))
    found = result(tmp_path / "out")
    start = {"forward": 1, "backward": 0, "both": 0}[direction]
    numbers = sorted({item["image_id"] for item in found["masks.json"]})
    assert numbers == list(TRACKED[start : 3 if direction == "backward" else 5])
    if kind == "folder":
        save(tmp_path / "theirs", open_source(tmp_path / "alone"), direction, prompts({8: 1, 11: 2}))
        assert found == renumbered(result(tmp_path / "theirs"), list(TRACKED))


def test_an_interrupt_loses_nothing(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "clip.mp4", LENGTH), RANGE)
    save(tmp_path / "whole", source, "forward", prompts({8: 8, 11: 11}))
    with pytest.raises(KeyboardInterrupt, match="interrupted after frame 11, and"):
        save(tmp_path / "out", source, "forward", prompts({8: 8, 11: 11}), listener=interrupt(3))
    assert save(tmp_path / "out", source, "forward", prompts({8: 8, 11: 11})) == len(TRACKED)
    assert same(tmp_path / "out", tmp_path / "whole")


def test_a_camera_is_waited_for() -> None:
    class Live:
        name, length, size, rate = "camera-0", None, (48, 64), 25.0

        def frames(self) -> Any:
            return map(square, range(100))

    live: Source = Part(Live(), FrameRange(first=10, last=19, stride=4))
    assert [int(np.flatnonzero((image == square(0)[20, 0]).all(-1)[20])[0]) // 2 for image in live.frames()] == [
        10,
        14,
        18,
    ]
    assert live.length == 3 and Part(Live(), FrameRange(first=10)).length is None


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"first": -1}, "first=-1 must be 0 or more"),
        ({"stride": 0}, "stride=0 must be 1 or more"),
        ({"first": 8, "last": 7}, "last=7 must be 8 or more, as first=8"),
        ({"first": 24}, "first=24 is past the end: the video has frames 0 to 23"),
        ({"last": 24}, "last=24 is past the end: the video has frames 0 to 23"),
    ],
    ids=["negative", "no-stride", "order", "first", "last"],
)
def test_a_range_that_the_video_does_not_have_is_named(tmp_path: Path, options: dict[str, int], line: str) -> None:
    folder = write_folder(tmp_path / "clip", LENGTH)
    with pytest.raises(InputError, match=f"^{line}"):
        open_source(folder, FrameRange(**options))


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (4, "red is for frame 4, and frames 5 to 17 are tracked"),
        (19, "red is for frame 19, and frames 5 to 17 are tracked"),
        (9, "red is for frame 9, which first=5 stride=3 leaves out: give first=6, or a prompt for frame 8"),
        (40, "red is for frame 40 but the video has 24 frames: give 0 to 23"),
    ],
    ids=["before", "after", "between", "past-the-end"],
)
def test_a_prompt_that_no_tracked_frame_has_is_named(tmp_path: Path, frame: int, line: str) -> None:
    source = open_source(write_folder(tmp_path / "clip", LENGTH), RANGE)
    with pytest.raises(InputError, match=f"^{line}$"):
        TrackingPlan.of(source, prompts({8: frame, 11: 11})[:1])


def test_a_whole_video_is_not_looped_from_its_middle(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", 6)
    with pytest.raises(InputError, match=r"^loop=9 repeats a video from its first frame on: drop first=2 stride=2$"):
        open_source(folder, FrameRange(first=2, stride=2), loop=9)


def test_a_sequence_of_a_data_set_keeps_its_truth() -> None:
    data = Procedural("val", level="calm", length=20, limit=1)
    whole, part = (sequence_source(data, None, frames) for frames in (FrameRange(), FrameRange(4, 12, 4)))
    assert part.length == 3
    for place, number in enumerate((4, 8, 12)):
        np.testing.assert_array_equal(part.frame(place), whole.frame(number))
        assert part.truth(place).masks.keys() == whole.truth(number).masks.keys() != set()
        for key, mask in part.truth(place).masks.items():
            np.testing.assert_array_equal(mask, whole.truth(number).masks[key])
    line = rf"^{part.name}: the prompt of object 1 is for frame 0, and frames 4 to 12 are tracked$"
    with pytest.raises(InputError, match=line):
        TrackingPlan.of(part, own_prompts(part))
