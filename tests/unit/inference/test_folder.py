"""A tracked video on disk is whole or not at all, and an interrupted one goes on as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from framework.data.prompts import Placed
from framework.data.sources.source import open_source
from framework.errors import InputError
from framework.inference.folder import EVERY, TrackFolder
from framework.inference.stream import TrackedFrame, stream
from framework.inference.writers import OUTPUTS, open_writers
from framework.tracker import Tracker
from framework.types import Candidates, Features, Prompt
from policies.sam2 import Sam2
from tests.fakes.colour import ColourNetwork, square, write_folder, write_video
from tests.tracking import TRACKER, names, plan_for, save

SIZE = (48, 64)


def test_results_of_another_configuration_are_not_replaced_unless_told(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 2))
    output = tmp_path / "out"
    save(output, source, plan_for(source))
    before = names(output)
    with pytest.raises(InputError, match=r"another configuration \(policy.slots: 6, now 3\): choose .* overwrite=true"):
        save(output, source, plan_for(source), ("boxes.csv",), {"policy": {"slots": 3}})
    assert names(output) == before
    with pytest.raises(
        InputError, match=r"holds masks.json, .* too: add to outputs=, choose another output=, or overw"
    ):
        save(output, source, plan_for(source), ("boxes.csv",))
    assert names(output) == before
    save(output, source, plan_for(source))  # the same once more
    assert names(output) == before
    save(output, source, plan_for(source), ("boxes.csv",), overwrite=True)
    assert names(output) == ["boxes.csv", "run.json"]
    save(output, source, plan_for(source), ("memory.json",), {"policy": {"slots": 3}}, overwrite=True)
    assert names(output) == ["memory.json", "run.json"]


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 2))
    output = tmp_path / "out"
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds files that are not results of this command"):
        save(output, source, plan_for(source))
    save(output, source, plan_for(source), ("boxes.csv",), overwrite=True)
    assert names(output) == ["boxes.csv", "run.json", "thesis.txt"]
    (output / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run.json is damaged"):
        save(output, source, plan_for(source))
    with pytest.raises(InputError, match="is a file: give a folder"):
        save(output / "thesis.txt", source, plan_for(source))


def test_what_is_called_like_an_output_is_not_replaced_unless_it_is_one(tmp_path: Path) -> None:
    """True masks beside the frames, say."""
    source = open_source(write_folder(tmp_path / "clip", 2))
    write_folder(tmp_path / "video" / "masks", 2)
    before = names(tmp_path / "video")
    with pytest.raises(InputError, match=r"video/masks is no result and would be replaced: choose another output="):
        save(tmp_path / "video", source, plan_for(source), ("boxes.csv",), overwrite=True)
    assert names(tmp_path / "video") == before


def test_a_video_that_does_not_say_how_long_it_is_is_not_called_complete(tmp_path: Path) -> None:
    source, output = open_source(write_folder(tmp_path / "clip", 2)), tmp_path / "out"
    for announced, complete in ((False, None), (True, True)):
        with TrackFolder(output, {}, ("boxes.csv",), SIZE, announced=announced) as folder:
            folder.commit(2)
        assert json.loads((output / "run.json").read_text())["complete"] is complete
    assert source.length == 2


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    source, output = open_source(write_folder(tmp_path / "clip", 2)), tmp_path / "out"
    with TrackFolder(output, {}, OUTPUTS, SIZE) as first:
        (first.partial / "boxes.csv").write_text("half")
        with pytest.raises(InputError, match=r"another process is writing to .*out: choose another output="):
            save(output, source, plan_for(source))
        assert names(first.partial) == ["boxes.csv", "frames.jsonl", "run.json"]
    save(output, source, plan_for(source))
    assert sorted(item.name for item in output.iterdir()) == sorted([*OUTPUTS, "run.json"])


class Failing:
    """A writer whose disk is full at the third frame."""

    def __init__(self) -> None:
        self.seen = 0

    def write(self, frame: TrackedFrame) -> None:
        self.seen += 1
        if self.seen == 3:
            raise OSError(28, "No space left on device")

    def close(self) -> None: ...

    def discard(self) -> None: ...


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, there: bool) -> None:
    source = open_source(write_folder(tmp_path / "clip", 6))
    output = tmp_path / "deep" / "out"
    if there:
        save(output, source, plan_for(source))
    before = {name: (output / name).read_bytes() for name in names(output) if (output / name).is_file()}
    with pytest.raises(OSError, match="No space"):
        save(output, source, plan_for(source), extra={"failing": Failing()})
    after = {name: (output / name).read_bytes() for name in names(output) if (output / name).is_file()}
    assert after == before
    assert (tmp_path / "deep").exists() == there


def test_a_killed_run_leaves_only_the_hidden_folder_which_the_next_run_takes_away(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 20))
    output = tmp_path / "out"
    plan = plan_for(source)
    killed = TrackFolder(output, {}, OUTPUTS, SIZE).__enter__()  # as far as a process gets that is killed
    for writer in open_writers(killed.partial, OUTPUTS, source, plan).values():
        for frame in stream(TRACKER, source, plan):
            writer.write(frame)
    assert [item.name for item in output.iterdir()] == [".partial"]
    assert killed._handle is not None
    os.close(killed._handle)  # the system does that
    save(output, source, plan_for(source))
    assert ".partial" not in names(output) and len(json.loads((output / "masks.json").read_text())) == 20


def test_a_source_that_breaks_keeps_what_came_before(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", 6)
    (folder / "frame4.png").write_bytes(b"rubbish")
    source = open_source(folder)
    with pytest.raises(InputError, match=r"frame4.png: cannot be read"):
        save(tmp_path / "out", source, plan_for(source))
    assert len(json.loads((tmp_path / "out" / "masks.json").read_text())) == 4
    about = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (about["frames"], about["complete"]) == (4, False) and "frame4.png" in about["ended"]
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as container:
        assert len(list(container.decode(video=0))) == 4


class Camera:
    """Endless; somebody presses Ctrl-C at its fifth frame."""

    name, length, size, rate = "camera0", None, (48, 64), 30.0

    def frames(self) -> Iterator[np.ndarray]:
        index = 0
        while True:
            if index == 4:
                os.kill(os.getpid(), signal.SIGINT)
            yield square(index)
            index += 1


def test_an_interrupt_ends_a_camera_regularly(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    save(tmp_path / "out", Camera(), plan_for(Camera()), key=None)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(json.loads((tmp_path / "out" / "masks.json").read_text())) == 5
    assert json.loads((tmp_path / "out" / "run.json").read_text())["complete"]


class Interrupting:
    """Presses Ctrl-C, so often, while a frame is written."""

    def __init__(self, frame: int, times: int = 1) -> None:
        self.frame, self.times = frame, times

    def __call__(self, frame: TrackedFrame) -> None:
        if frame.frame == self.frame:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)


def contents(folder: Path) -> dict[str, bytes]:
    """Of every file; of a video its pictures, since the encoder's bytes differ from run to run."""
    found = {name: (folder / name).read_bytes() for name in names(folder) if (folder / name).is_file()}
    if (folder / "overlay.mp4").exists():
        with av.open(str(folder / "overlay.mp4")) as container:
            pictures = [frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)]
        found["overlay.mp4"] = b"".join(pictures)
    return found


def test_an_interrupted_video_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "clip.mp4", 20))
    plan = plan_for(source, Placed("a", 1, 1, Prompt(box=(2.0, 16.0, 18.0, 32.0))))
    save(tmp_path / "whole", source, plan)
    output, encoded = tmp_path / "out", []

    class Counting(ColourNetwork):
        def encode(self, image: np.ndarray, frame: int, length: int | None) -> object:
            encoded.append(frame)
            return super().encode(image, frame, length)

    tracker = Tracker(Counting(), Sam2())
    line = r"interrupted after frame 6, and .*out holds what came before; the same command goes on from there"
    with pytest.raises(KeyboardInterrupt, match=line):
        save(output, source, plan, listener=Interrupting(6), tracker=tracker)
    about = json.loads((output / "run.json").read_text())
    assert (about["frames"], about["complete"]) == (7, False) and about["ended"].startswith("interrupted after frame 6")
    assert [item["image_id"] for item in json.loads((output / "masks.json").read_text())] == list(range(1, 7))
    with av.open(str(output / "overlay.mp4")) as container:
        assert len(list(container.decode(video=0))) == 7
    with pytest.raises(KeyboardInterrupt, match="interrupted after frame 13"):
        save(output, source, plan, listener=Interrupting(13), tracker=tracker)
    save(output, source, plan, tracker=tracker)
    assert contents(output) == contents(tmp_path / "whole")
    assert encoded == list(range(1, 20)), "no frame was tracked twice"


def test_an_interrupt_while_finished_frames_are_written_again_loses_nothing(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 12))
    plan, output = plan_for(source), tmp_path / "out"
    save(tmp_path / "whole", source, plan)
    with pytest.raises(KeyboardInterrupt):
        save(output, source, plan, listener=Interrupting(8))
    before = contents(output)
    with pytest.raises(KeyboardInterrupt):
        save(output, source, plan, listener=Interrupting(3))
    assert {name: part for name, part in contents(output).items() if name != ".partial/run.json"} == before
    with pytest.raises(KeyboardInterrupt):
        save(output, source, plan, listener=Interrupting(10, times=2))  # at once, in the middle of a frame
    save(output, source, plan)
    assert contents(output) == contents(tmp_path / "whole")


def test_complete_results_are_not_replaced_by_the_beginning_of_the_same(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 8))
    output = tmp_path / "out"
    save(output, source, plan_for(source))
    before = contents(output)
    with pytest.raises(KeyboardInterrupt):
        save(output, source, plan_for(source), listener=Interrupting(2))
    assert {name: value for name, value in contents(output).items() if ".partial" not in name} == before


def test_what_changed_is_tracked_anew_and_said(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 8))
    plan, output = plan_for(source), tmp_path / "out"

    def line(key: dict[str, str] | None, folder: Path = output) -> str | None:
        with TrackFolder(folder, {"policy": {"slots": 6}}, OUTPUTS, SIZE, key) as opened:
            return opened.journal.resumption()

    def interrupt() -> None:
        with pytest.raises(KeyboardInterrupt):
            save(output, source, plan, listener=Interrupting(4))

    assert line({"the source": "as it was"}, tmp_path / "new") is None
    interrupt()
    assert line({"the source": "another"}) == "begins anew, since the source changed"
    interrupt()
    (output / ".partial" / "position.pt").write_bytes(b"torn")
    assert (line({"the source": "as it was"}) or "").startswith("begins anew, since position.pt cannot be read")
    interrupt()
    (output / ".partial" / "frames.jsonl").write_bytes(b"{}\n{")
    assert line({"the source": "as it was"}) == "begins anew, since frames.jsonl is damaged"
    (output / ".partial").mkdir()
    (output / ".partial" / "frames.jsonl").write_bytes(b"{}\n")  # a camera's, killed
    assert line(None) == "begins anew, since a camera or a stream cannot be read again"
    interrupt()
    with pytest.raises(InputError, match=r"holds results of another configuration \(policy.slots: 6, now 3\)"):
        save(output, source, plan, configuration={"policy": {"slots": 3}})


KILLED = """
import os, sys
from pathlib import Path
from framework.data.sources.source import open_source
from tests.tracking import plan_for, save

def die(frame):
    if frame.frame == 13:
        os.kill(os.getpid(), 9)

source, ticks = open_source(Path(sys.argv[1])), iter(range(0, 10**9, 10))
save(Path(sys.argv[2]), source, plan_for(source), listener=die, clock=lambda: next(ticks))
"""


def test_a_killed_process_loses_what_came_after_the_last_position(tmp_path: Path) -> None:
    """Its clock ticks ten seconds a look, and a position is kept every thirty: the last one after frame 11."""
    assert EVERY == 30.0
    write_folder(tmp_path / "clip", 20)
    root = str(Path(__file__).parents[3])
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "clip"), str(tmp_path / "out")]
    done = subprocess.run(arguments, env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    assert [item.name for item in (tmp_path / "out").iterdir()] == [".partial"]
    source, seen = open_source(tmp_path / "clip"), []
    plan = plan_for(source)
    save(tmp_path / "out", source, plan, listener=lambda frame: seen.append(frame.position is not None))
    assert seen.index(True) == 12
    save(tmp_path / "whole", source, plan)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_full_disk_keeps_what_there_is_to_go_on_from(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 8))
    plan, output = plan_for(source), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        save(output, source, plan, listener=Interrupting(4))
    before = {name: value for name, value in contents(output).items() if ".partial" not in name}
    with pytest.raises(OSError, match="No space"):
        save(output, source, plan, extra={"failing": Failing()})
    after = contents(output)
    assert {name: value for name, value in after.items() if ".partial" not in name} == before
    assert ".partial/position.pt" in after


class Unable(Failing):
    """A writer that cannot make what it should from the third frame on, or in the end."""

    def __init__(self, error: Exception, late: bool = False) -> None:
        super().__init__()
        self.error, self.late = error, late

    def write(self, frame: TrackedFrame) -> None:
        self.seen += 1
        if self.seen == 3 and not self.late:
            raise self.error

    def close(self) -> None:
        if self.late:
            raise self.error


@pytest.mark.parametrize(
    ("error", "late"),
    [(OSError(22, "Invalid argument"), False), (ValueError("too wide"), False), (cv2.error("too high"), True)],
)
def test_an_output_that_cannot_be_made_takes_no_other_with_it(tmp_path: Path, error: Exception, late: bool) -> None:
    source = open_source(write_folder(tmp_path / "clip", 6))
    outputs = ("masks.json", "boxes.csv")
    save(tmp_path / "whole", source, plan_for(source), outputs)
    with pytest.raises(InputError, match=r"overlay.mp4 could not be made \(.*\): all else is in .*out"):
        save(tmp_path / "out", source, plan_for(source), outputs, extra={"overlay.mp4": Unable(error, late)})
    for name in outputs:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    about = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (about["frames"], about["complete"]) == (6, False) and "overlay.mp4 could not be made" in about["ended"]
    assert names(tmp_path / "out") == ["boxes.csv", "masks.json", "run.json"]


class Faltering(ColourNetwork):
    """NaN from frame 3 on: in the masks, the predicted IoU, the presence or the pointers."""

    def __init__(self, where: str) -> None:
        super().__init__()
        object.__setattr__(self, "where", where)

    def decode(self, features: Features, conditioned: Tensor, presence_threshold: Tensor) -> Candidates:
        found = super().decode(features, conditioned, presence_threshold)
        if features.query.frame < 3:
            return found
        return replace(found, **{self.where: getattr(found, self.where) * torch.nan})  # type: ignore[attr-defined]


@pytest.mark.parametrize("where", ["logits", "iou", "presence", "pointers"])
def test_a_network_that_gives_nan_is_one_line_after_what_came_before(tmp_path: Path, where: str) -> None:
    source = open_source(write_folder(tmp_path / "clip", 6))
    line = r"the network gives NaN on frame 3: .*; give another backbone.checkpoint, or backbone.dtype=float32"
    with pytest.raises(InputError, match=line):
        save(tmp_path / "out", source, plan_for(source), tracker=Tracker(Faltering(where), Sam2()))
    about = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (about["frames"], about["complete"]) == (3, False) and "NaN on frame 3" in about["ended"]


@pytest.mark.parametrize(("height", "width"), [(600, 4), (6, 900), (3, 3)])
def test_an_overlay_is_enlarged_no_more_than_encoders_take(tmp_path: Path, height: int, width: int) -> None:
    (tmp_path / "clip").mkdir()
    for index in range(2):
        picture = np.full((height, width, 3), 128, np.uint8)
        picture[:2, :2] = 255
        Image.fromarray(picture).save(tmp_path / "clip" / f"{index}.png")
    source = open_source(tmp_path / "clip")
    save(tmp_path / "out", source, plan_for(source, Placed("a", 1, 0, Prompt(box=(0.0, 0.0, 2.0, 2.0)))))
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 2 and max(pictures[0].shape) <= 4096 + 2 * max(22, pictures[0].shape[1] // 40)
    assert min(pictures[0].shape[:2]) >= min(height, width) // 2 * 2
