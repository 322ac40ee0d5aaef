"""A video tracked backward or in both directions: every frame once, in order on disk, whatever interrupts it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.data.prompts import Placed
from framework.data.sources.frame_range import FrameRange
from framework.data.sources.source import Looped, Part, Source, open_source
from framework.errors import InputError
from framework.evaluation.passes import Direction
from framework.inference.folder import TrackFolder
from framework.inference.plan import TrackingPlan
from framework.report.progress import WorkProgress
from framework.tracker import Tracker
from framework.types import Prompt, Size
from policies.sam2 import Sam2
from tests.fakes.colour import ColourNetwork, square, square_mask, write_folder, write_video
from tests.unit.inference.test_folder import contents

LENGTH, START = 20, 7
OUTPUTS = ("masks.json", "boxes.csv", "memory.json", "masks", "overlay.mp4")
ON_RED = Prompt(points=((2.0 * START + 8, 24.0),), labels=(1,))
ON_GREY = Prompt(points=((60.0, 4.0),), labels=(1,))
NETWORK = ColourNetwork()
PLACED = (Placed("red", 1, START, ON_RED), Placed("grey", 2, START + 3, ON_GREY))


def save(
    output: Path,
    source: Source,
    direction: Direction,
    placed: Sequence[Placed] = PLACED,
    network: ColourNetwork = NETWORK,
    listener: Callable[[int], None] = lambda done: None,
) -> int:
    """As `experiments.track` does it; returns how many frames were tracked. `listener` hears how many are done."""

    class Heard(WorkProgress):
        def advance(self, made: bool = True) -> None:
            super().advance(made)
            listener(int(self.done))

    plan, tracker = TrackingPlan.of(source, placed, direction), Tracker(network, Sam2())
    plan.check(tracker)
    key = {"the source": "as it was"}
    with TrackFolder(output, plan.described(), OUTPUTS, source.size, key) as folder, Heard("frames") as progress:
        plan.write(tracker, folder, OUTPUTS, progress)
    return int(progress.done)


def masks(output: Path) -> list[tuple[int, int]]:
    """(frame, object), in the order on disk."""
    return [(item["image_id"], item["category_id"]) for item in json.loads((output / "masks.json").read_text())]


def same(ours: Path, theirs: Path, but: tuple[str, ...] = ()) -> bool:
    """Whether two folders hold the same; of the overlay, as many pictures."""
    both = [{name: part for name, part in contents(path).items() if name not in but} for path in (ours, theirs)]
    lengths = [len(found.pop("overlay.mp4")) for found in both]
    return both[0] == both[1] and lengths[0] == lengths[1] > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("frames") / "clip", LENGTH)


@pytest.mark.parametrize("direction", ["both", "both_independent"])
def test_both_directions_have_every_frame_once_and_in_order(tmp_path: Path, folder: Path, direction: Direction) -> None:
    assert save(tmp_path / "out", open_source(folder), direction) == (LENGTH - START) + (START + 4)
    found = masks(tmp_path / "out")
    assert sorted(found) == [(frame, key) for frame in range(LENGTH) for key in (1, 2)]
    assert [frame for frame, _ in found] == sorted(frame for frame, _ in found)
    for item in json.loads((tmp_path / "out" / "masks.json").read_text()):
        if item["category_id"] == 1:  # where red is on that very frame
            left = int(np.flatnonzero(square_mask(item["image_id"]).any(axis=0))[0])
            assert abs(item["bbox"][0] - left) <= 2 and 14 <= item["bbox"][2] <= 18
    memory = {(item["frame"], item["object"]): item for item in json.loads((tmp_path / "out/memory.json").read_text())}
    read = [frame for frame, slot in memory[START - 1, 1]["spatial"] if slot >= 0]
    assert read == ([START + 5 - at for at in range(5)] if direction == "both" else [])
    assert [frame for frame, _ in memory[START - 2, 1]["pointers"]][:2] == [START, START - 1]


def test_backward_is_forward_over_the_reversed_clip(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "reversed").mkdir()
    for index in range(LENGTH):
        (tmp_path / "reversed" / f"{index}.png").symlink_to(folder / f"frame{LENGTH - 1 - index}.png")
    mirrored = [Placed(item.origin, item.object, LENGTH - 1 - item.frame, item.prompt) for item in PLACED]
    save(tmp_path / "backward", open_source(folder), "backward")
    save(tmp_path / "forward", open_source(tmp_path / "reversed"), "forward", mirrored)
    backward, forward = (json.loads((tmp_path / name / "masks.json").read_text()) for name in ("backward", "forward"))
    assert [item["image_id"] for item in backward] == sorted(item["image_id"] for item in backward)
    theirs = {(LENGTH - 1 - item["image_id"], item["category_id"]): item["segmentation"] for item in forward}
    assert {(item["image_id"], item["category_id"]): item["segmentation"] for item in backward} == theirs
    assert max(theirs)[0] == START + 3


def test_from_the_first_frame_both_are_forward(tmp_path: Path, folder: Path) -> None:
    placed = [Placed("red", 1, 0, Prompt(points=((8.0, 24.0),), labels=(1,)))]
    for direction in ("forward", "both", "both_independent"):
        assert save(tmp_path / direction, open_source(folder), direction, placed) == LENGTH
    for direction in ("both", "both_independent"):
        assert same(tmp_path / direction, tmp_path / "forward", but=("run.json",))


def test_removal_is_meant_in_the_direction_of_tracking(tmp_path: Path, folder: Path) -> None:
    source = open_source(folder)
    removed = [*PLACED, Placed("no more", 1, 4, None)]
    save(tmp_path / "backward", source, "backward", removed)
    assert [frame for frame, key in masks(tmp_path / "backward") if key == 1] == [5, 6, 7]
    for direction in ("forward", "both"):
        with pytest.raises(InputError, match=r"no more removes object 1, which has no prompt before"):
            save(tmp_path / direction, source, direction, removed)
    save(tmp_path / "both", source, "both", [*PLACED, Placed("no more", 1, 12, None)])
    assert [frame for frame, key in masks(tmp_path / "both") if key == 1] == list(range(12))


class Encoding(ColourNetwork):
    """Notes which times were encoded."""

    def encode(self, image: np.ndarray, frame: int, length: int | None) -> Any:
        self.__dict__.setdefault("seen", []).append(frame)
        return super().encode(image, frame, length)


def interrupt(at: int) -> Callable[[int], None]:
    return lambda done: os.kill(os.getpid(), signal.SIGINT) if done == at else None


def test_an_interrupt_in_either_pass_loses_nothing(tmp_path: Path) -> None:
    source, output, network = open_source(write_video(tmp_path / "clip.mp4", LENGTH)), tmp_path / "out", Encoding()
    save(tmp_path / "whole", source, "both")
    line = r"interrupted after frame 11, before .*out was written; the same command goes on from there"
    with pytest.raises(KeyboardInterrupt, match=line):
        save(output, source, "both", network=network, listener=interrupt(5))
    assert sorted(path.name for path in output.iterdir()) == [".partial"]
    with pytest.raises(KeyboardInterrupt, match="interrupted after frame 5"):
        save(output, source, "both", network=network, listener=interrupt(LENGTH - START + 6))
    assert save(output, source, "both", network=network) == (LENGTH - START) + (START + 4)
    assert same(output, tmp_path / "whole")
    lent = {LENGTH - 1 - frame for frame in range(START, LENGTH)}  # encoded again as the second pass begins: twice here
    times = network.__dict__["seen"]
    assert times[: LENGTH - START] == list(range(START, LENGTH))
    second = [time for time in times[LENGTH - START :] if time > LENGTH - 1 - START]
    assert second == list(range(LENGTH - START, LENGTH)) and set(times[LENGTH - START :]) - lent == set(second)


class Pressing:
    """A source during whose last reading somebody presses Ctrl-C."""

    def __init__(self, source: Any, after: int) -> None:
        self.source, self.left = source, after
        self.name, self.length, self.size, self.rate = source.name, source.length, source.size, source.rate

    def frames(self) -> Any:
        return self.source.frames()

    def frame(self, index: int) -> np.ndarray:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        image: np.ndarray = self.source.frame(index)
        return image


def test_an_interrupt_while_all_is_written_tracks_nothing_again(tmp_path: Path, folder: Path) -> None:
    source, output, network = open_source(folder), tmp_path / "out", Encoding()
    save(tmp_path / "whole", source, "backward")
    with pytest.raises(KeyboardInterrupt):
        save(output, Pressing(source, LENGTH + 4), "backward", network=network)
    tracked = list(network.__dict__["seen"])
    save(output, source, "backward", network=network)
    assert network.__dict__["seen"] == tracked == list(range(LENGTH - 1 - START - 3, LENGTH))
    assert same(output, tmp_path / "whole")


KILLED = """
import os, sys
from pathlib import Path
from framework.data.sources.source import open_source
from framework.inference import folder
from tests.unit.inference.test_directions import save

folder.EVERY = 0.0
save(Path(sys.argv[2]), open_source(Path(sys.argv[1])), "both",
     listener=lambda done: os.kill(os.getpid(), 9) if done == 18 else None)
"""


def test_a_killed_process_goes_on_in_its_second_pass(tmp_path: Path, folder: Path) -> None:
    root = str(Path(__file__).parents[3])
    arguments = [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "out")]
    done = subprocess.run(arguments, env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    heard: list[int] = []
    save(tmp_path / "out", open_source(folder), "both", listener=heard.append)
    assert heard == [18 + at for at in range(1, LENGTH - START + START + 4 - 18 + 1)]
    save(tmp_path / "whole", open_source(folder), "both")
    assert same(tmp_path / "out", tmp_path / "whole")


class Live:
    """A camera."""

    name, length, rate = "camera0", None, 30.0
    size: Size = (48, 64)

    def frames(self) -> Any:
        while True:
            yield square(0)


@pytest.mark.parametrize("source", [Live(), Part(Live(), FrameRange(frames=9))], ids=["camera", "its-first-frames"])
def test_a_camera_is_tracked_forward(source: Source) -> None:
    line = "camera0 comes once, first frame first: save it as a video, or give direction=forward"
    with pytest.raises(InputError, match=line):
        TrackingPlan.of(source, [Placed("red", 1, 0, ON_RED)], "both")


def test_directions_have_names(folder: Path) -> None:
    with pytest.raises(InputError, match=r"unknown direction 'backwards': did you mean backward\?"):
        TrackingPlan.of(open_source(folder), PLACED, "backwards")


def test_objects_that_may_not_overlap_start_together_or_go_one_way(folder: Path) -> None:
    plan = TrackingPlan.of(open_source(folder), PLACED, "both")
    with pytest.raises(InputError, match=r"tracker.exclusive=true compares objects of one pass"):
        plan.check(Tracker(ColourNetwork(), Sam2(), exclusive=True))


def test_what_is_repeated_or_cut_is_read_anywhere(folder: Path) -> None:
    whole = open_source(folder)
    looped, part = Looped(whole, 30), Part(whole, FrameRange(frames=5))
    for source in (looped, part):
        for index, image in enumerate(source.frames()):
            np.testing.assert_array_equal(source.frame(index), image)
