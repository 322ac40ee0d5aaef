"""What is written of a tracked video says what was tracked, in every output the same."""

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from framework.data.prompts import Placed
from framework.data.sources.frame_range import FrameRange
from framework.data.sources.source import open_source
from framework.inference.writers import OUTPUTS
from framework.report.overlay import colour
from framework.types import Prompt
from tests.fakes.colour import BLUE, square, square_mask, write_folder
from tests.tracking import names, plan_for, save


def test_every_output_says_the_same(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 6))
    output = tmp_path / "out"
    paths = save(output, source, plan_for(source))
    assert sorted(path.name for path in paths) == sorted(OUTPUTS)
    assert sorted(item.name for item in output.iterdir()) == sorted([*OUTPUTS, "run.json"])
    assert {len(list((output / "viewer" / "clip").glob("*.jpg")))} == {6}

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
    nothing = {key: [] for key in ("spatial", "pointers", "gain", "bias", "attention", "reasons")}
    assert memory[0] == {"frame": 0, "object": 1, **nothing, "held": [0]}
    page = (output / "viewer" / "clip" / "frames-0.js").read_text()
    frames = json.loads(page.removeprefix('store.frames("clip", 0, ').removesuffix(");\n"))
    for item, use, shown in zip(masks, memory, frames, strict=True):
        one = shown["variants"][0]["1"]
        assert one["mask"] == item["segmentation"]["counts"] and one["predicted_iou"] == item["score"]
        assert {**one["memory"], "frame": item["image_id"], "object": 1} == use
    assert (output / "viewer" / "index.html").exists()
    assert memory[3]["spatial"] == [[0, -1], [2, 0], [1, 1]] or sorted(memory[3]["spatial"]) == [
        [0, -1],
        [1, 1],
        [2, 0],
    ]
    with av.open(str(output / "overlay.mp4")) as container:
        assert len(list(container.decode(video=0))) == 6
    about = json.loads((output / "run.json").read_text())
    assert about == {"configuration": {"policy": {"slots": 6}}, "frames": 6, "complete": True, "ended": None}


def test_the_page_of_a_part_tells_frames_by_place_and_knows_their_numbers(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "clip", 12), FrameRange(first=2, stride=4))
    plan = plan_for(source, Placed("a", 1, 2, Prompt(box=(4.0, 16.0, 20.0, 32.0))))
    save(tmp_path / "out", source, plan, ("memory.json", "viewer"))
    memory = json.loads((tmp_path / "out" / "memory.json").read_text())
    page = tmp_path / "out" / "viewer"
    frames = json.loads((page / "clip/frames-0.js").read_text().removeprefix('store.frames("clip", 0, ')[:-3])
    about = json.loads((page / "comparison.js").read_text().removeprefix("store.receive(")[:-3])
    assert about["sequences"] == [{"name": "clip", "folder": "clip", "first": 2, "stride": 4}]
    assert [use["held"] for use in memory] == [[2], [2, 6], [2, 6, 10]]
    shown = [frame["variants"][0]["1"]["memory"] for frame in frames]
    assert [use["held"] for use in shown] == [[0], [0, 1], [0, 1, 2]]
    assert shown[2]["spatial"] == [[0, -1], [1, 0]] and memory[2]["spatial"] == [[2, -1], [6, 0]]
    assert (shown[2]["reasons"][0]["frame"], memory[2]["reasons"][0]["frame"]) == (1, 6)


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
