"""A tracked video on disk: what is written is what was tracked, whole or not at all."""

import csv
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from framework.data.prompts import Placed, Schedule, read_prompts, schedule
from framework.data.sources.source import Looped, Source, open_source
from framework.errors import InputError
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.sequence import ProgressListener, track
from framework.inference.stream import TrackFolder, stream, write_all
from framework.inference.writers import OUTPUTS, TrackedFrame, Writer, open_writers
from framework.interfaces import Selector
from framework.report.overlay import colour
from framework.tracker import Tracker
from framework.types import Candidates, Cue, Pick, Prompt
from policies.sam2 import Sam2
from tests.fakes.colour import BLUE, RED, ColourNetwork, square, square_mask, write_folder
from tests.fakes.squares import Square


def plan_for(source: Source, *placed: Placed) -> Schedule:
    return schedule(placed or read_prompts(box=[0, 16, 16, 32]), source.size, source.length)


def save(
    output: Path,
    source: Source,
    plan: Schedule,
    outputs: tuple[str, ...] = OUTPUTS,
    configuration: Mapping[str, Any] = {"policy": {"slots": 6}},
    overwrite: bool = False,
    shots: Iterator[TrackedFrame] | None = None,
    extra: Writer | None = None,
) -> list[Path]:
    with TrackFolder(output, configuration, outputs, overwrite) as folder:
        writers = open_writers(folder.partial, outputs, source, plan)
        shots = shots or stream(Tracker(ColourNetwork(), Sam2()), source, plan)
        return write_all(shots, folder, [*writers, extra] if extra else writers, source.length is None)


def names(folder: Path) -> list[str]:
    return sorted(str(item.relative_to(folder)) for item in folder.rglob("*"))


def test_every_output_says_the_same(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 6))
    output = tmp_path / "out"
    paths = save(output, source, plan_for(source))
    assert sorted(path.name for path in paths) == sorted(OUTPUTS)
    assert sorted(item.name for item in output.iterdir()) == sorted([*OUTPUTS, "run.json"])

    masks = json.loads((output / "masks.json").read_text())
    rows = list(csv.DictReader((output / "boxes.csv").open()))
    memory = json.loads((output / "memory.json").read_text())
    assert [item["image_id"] for item in masks] == list(range(6)) == [int(row["frame"]) for row in rows]
    for frame, (item, row) in enumerate(zip(masks, rows, strict=True)):
        mask = rle.decode(item["segmentation"]).astype(bool)
        image = Image.open(output / "masks" / f"{frame:05d}.png")
        np.testing.assert_array_equal(np.array(image), mask)
        assert image.mode == "P" and tuple(image.getpalette()[3:6]) == colour(1)  # type: ignore[index]
        assert (mask & square_mask(frame)).sum() / (mask | square_mask(frame)).sum() > 0.8
        x, y, width, height = rle.toBbox(item["segmentation"])
        edges = [float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")]
        assert edges == [x, y, x + width, y + height] and item["bbox"] == [x, y, width, height]
        assert item["area"] == mask.sum() and item["category_id"] == 1
        assert item["score"] == pytest.approx(float(row["iou"]), abs=1e-4)
    assert memory[0] == {"frame": 0, "object": 1, "spatial": [], "pointers": [], "held": [0]}
    assert memory[3]["spatial"] == [[0, -1], [2, 0], [1, 1]] or sorted(memory[3]["spatial"]) == [
        [0, -1],
        [1, 1],
        [2, 0],
    ]
    with av.open(str(output / "overlay.mp4")) as container:
        assert len(list(container.decode(video=0))) == 6
    about = json.loads((output / "run.json").read_text())
    assert about == {"configuration": {"policy": {"slots": 6}}, "frames": 6, "complete": True, "ended": None}


def test_objects_come_and_go(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", 6)
    for index in range(6):
        picture = square(index)
        picture[34:46, 40:52] = BLUE
        Image.fromarray(picture).save(folder / f"frame{index}.png")
    source = open_source(folder)
    blue = (square(0) == 0).all(axis=-1)
    blue[34:46, 40:52] = True
    plan = plan_for(
        source,
        Placed("a", 7, 2, Prompt(mask=blue)),
        Placed("b", 3, 1, Prompt(points=((4.0, 20.0),), labels=(1,))),
        Placed("c", 3, 4, None),
    )
    save(tmp_path / "out", source, plan)
    masks = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert [(item["image_id"], item["category_id"]) for item in masks] == [
        (1, 3),
        (2, 3),
        (2, 7),
        (3, 3),
        (3, 7),
        (4, 7),
        (5, 7),
    ]
    assert not np.array(Image.open(tmp_path / "out" / "masks" / "00000.png")).any()
    assert set(np.unique(Image.open(tmp_path / "out" / "masks" / "00003.png"))) == {0, 3, 7}


def test_frames_before_the_first_prompt_are_not_encoded(tmp_path: Path) -> None:
    encoded: list[int] = []

    class Counting(ColourNetwork):
        def encode(self, image: np.ndarray, frame: int, length: int | None) -> Any:
            encoded.append(frame)
            return super().encode(image, frame, length)

    source = open_source(write_folder(tmp_path / "clip", 6))
    plan = plan_for(source, Placed("a", 1, 3, Prompt(box=(6.0, 16.0, 22.0, 32.0))))
    shots = list(stream(Tracker(Counting(), Sam2()), source, plan))
    assert [len(shot.masks) for shot in shots] == [0, 0, 0, 1, 1, 1]
    assert encoded == [3, 4, 5]


def test_an_object_out_of_sight_has_an_empty_box(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", 3)
    Image.fromarray(np.full((48, 64, 3), 128, np.uint8)).save(folder / "frame1.png")
    source = open_source(folder)
    save(tmp_path / "out", source, plan_for(source), ("boxes.csv", "masks.json"))
    lines = (tmp_path / "out" / "boxes.csv").read_text().splitlines()
    assert lines[2].startswith("1,1,,,,,")
    assert [item["area"] for item in json.loads((tmp_path / "out" / "masks.json").read_text())][1] == 0


def test_only_what_was_asked_for_is_written(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 2))
    save(tmp_path / "out", source, plan_for(source), ("boxes.csv",))
    assert names(tmp_path / "out") == ["boxes.csv", "run.json"]
    save(tmp_path / "none", source, plan_for(source), ())
    assert names(tmp_path / "none") == ["run.json"]


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


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    source, output = open_source(write_folder(tmp_path / "clip", 2)), tmp_path / "out"
    with TrackFolder(output, {}, OUTPUTS) as first:
        (first.partial / "boxes.csv").write_text("half")
        with pytest.raises(InputError, match=r"another process is writing to .*out: choose another output="):
            save(output, source, plan_for(source))
        assert names(first.partial) == ["boxes.csv"]
    save(output, source, plan_for(source))
    assert sorted(item.name for item in output.iterdir()) == sorted([*OUTPUTS, "run.json"])


class Failing:
    """A writer whose disk is full at the third frame."""

    def __init__(self) -> None:
        self.seen = 0

    def write(self, shot: TrackedFrame) -> None:
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
        save(output, source, plan_for(source), extra=Failing())
    after = {name: (output / name).read_bytes() for name in names(output) if (output / name).is_file()}
    assert after == before
    assert (tmp_path / "deep").exists() == there


def test_a_killed_run_leaves_only_the_hidden_folder_which_the_next_run_takes_away(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 20))
    output = tmp_path / "out"
    plan = plan_for(source)
    killed = TrackFolder(output, {}, OUTPUTS).__enter__()  # as far as a process gets that is killed
    for writer in open_writers(killed.partial, OUTPUTS, source, plan):
        for shot in stream(Tracker(ColourNetwork(), Sam2()), source, plan):
            writer.write(shot)
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
    save(tmp_path / "out", Camera(), plan_for(Camera()))
    assert signal.getsignal(signal.SIGINT) is before
    assert len(json.loads((tmp_path / "out" / "masks.json").read_text())) == 5
    assert json.loads((tmp_path / "out" / "run.json").read_text())["complete"]


def test_an_interrupt_of_a_video_leaves_nothing(tmp_path: Path) -> None:
    source = Looped(Camera(), 50)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "out", source, plan_for(source))
    assert not (tmp_path / "out").exists()


@dataclass(frozen=True)
class Turncoat(Selector):
    """Two pathways from frame 1 on, one of masks 0 (total n after n frames) and one of masks 1 (total -n).

    The first one leads until frame 3, the other one from frame 4 on.
    """

    lag: int | None = None
    hindsight: ClassVar[bool] = True

    def select(
        self, totals: Sequence[float], candidates: Sequence[Candidates], cues: Sequence[Cue | None]
    ) -> list[Pick]:
        if len(totals) == 1:
            return [Pick(0, 0, 1.0, None), Pick(0, 1, -1.0, None)]
        early = 0 if totals[0] > 0 else 1
        frames = totals[early]
        picks = [Pick(early, 0, frames + 1, None), Pick(1 - early, 1, -frames - 1, None)]
        return picks if frames < 3 else picks[::-1]


@pytest.mark.parametrize(("lag", "turn"), [(None, 4), (1, 3), (2, 2), (20, 1)])
def test_hindsight_revises_as_many_frames_as_the_lag_allows(tmp_path: Path, lag: int | None, turn: int) -> None:
    source = open_source(write_folder(tmp_path / "clip", 8))
    tracker = Tracker(ColourNetwork(), Sam2(), selector=Turncoat(lag))
    shots = list(stream(tracker, source, plan_for(source)))
    assert [shot.result.frame for shot in shots] == list(range(8))
    assert [shot.result.tracks[1].choice for shot in shots] == [0] * turn + [1] * (8 - turn)
    for index, shot in enumerate(shots):
        np.testing.assert_array_equal(shot.image, square(index))
        assert (shot.masks[1] & square_mask(index)).any()


@pytest.mark.parametrize(("lag", "turn"), [(None, 1), (0, 4), (1, 3), (2, 2), (20, 1)])
def test_an_evaluation_revises_what_following_revises(lag: int | None, turn: int) -> None:
    tracker = Tracker(ColourNetwork(), Sam2(), selector=Turncoat(lag))
    for hindsight, expected in ((True, turn), (False, 4)):
        protocol = EvaluationProtocol(hindsight=hindsight)
        found = track({"turncoat": tracker}, Square("alpha", 8, 0), protocol, ProgressListener())["turncoat"].objects[1]
        assert found.frame == list(range(8)) and found.choice == [0] * expected + [1] * (8 - expected)


def test_red_is_followed(tmp_path: Path) -> None:
    """The stand-in network deserves the trust that the tests above put in it."""
    source = open_source(write_folder(tmp_path / "clip", 5))
    for shot in stream(Tracker(ColourNetwork(), Sam2()), source, plan_for(source)):
        assert (shot.image[shot.masks[1]] == RED).all(axis=-1).mean() > 0.85
