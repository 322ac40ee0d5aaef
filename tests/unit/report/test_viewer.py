"""The interactive page holds what the results hold, and the catalogue lists all of them."""

import json
import re
import threading
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from framework.data.truth import Truth
from framework.evaluation.comparison import Comparison
from framework.evaluation.evaluate import evaluate
from framework.evaluation.records import to_json
from framework.report.catalogue import catalogue, server
from framework.report.report import Reporter
from framework.report.viewer import CHUNK, LONGEST, Page, SequenceFiles, ViewedObject
from framework.storage.mask_rle import decode_mask, encode_mask
from framework.tracker import Tracker
from framework.types import MemoryUse
from policies.sam2 import Sam2
from policies.skip_absent import SkipAbsent
from tests.fakes.squares import SIDE, Latest, Square, SquareNetwork, Squares

VIDEOS = Squares((*Squares().videos, Square("broken", 5, 0, broken_at=2)))


def data(path: Path) -> list[object]:
    """What a script hands over."""
    (arguments,) = re.fullmatch(r"store\.\w+\((.*)\);\n", path.read_text(), flags=re.DOTALL).groups()  # type: ignore[union-attr]
    listed = re.sub(r",\n]$", "]", arguments)
    return json.loads(f"[{listed}]")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def comparison(results: Path) -> Comparison:
    policies = {"sam2": Sam2(), "skip_absent": SkipAbsent(), "latest": Latest()}
    return evaluate({name: Tracker(SquareNetwork(), policy) for name, policy in policies.items()}, VIDEOS, results)


@pytest.fixture(scope="module")
def page(comparison: Comparison, results: Path) -> Path:
    report = Reporter(pictures=1).report(comparison, VIDEOS, "seed: 0\n")
    folder = results / "squares-v1" / "reports" / report.name
    report.write(folder)
    assert report.viewer is not None
    index = report.viewer.write(folder / "viewer")
    assert index.name == "index.html" and not list(folder.glob(".viewer*"))
    return index.parent


def test_masks_and_memories_are_those_of_the_records(comparison: Comparison, page: Path) -> None:
    for name in comparison.sequences:
        folder, number, frames = data(page / name / "frames-0.js")
        assert (folder, number) == (name, 0)
        for variant, run in enumerate(comparison.runs):
            columns = json.loads(json.dumps(to_json(run.record(name))))["objects"]["1"]
            for at, frame in enumerate(columns["frame"]):
                one = frames[frame]["variants"][variant]["1"]
                assert one == {column: columns[column][at] for column in one}
                assert {"mask", "memory", "iou", "predicted_iou", "presence"} <= one.keys()
    assert any(one["memory"]["reasons"] for one in (frame["variants"][1]["1"] for frame in frames[1:]))


def test_truth_and_spans_of_absence(page: Path) -> None:
    _, _, frames = data(page / "beta" / "frames-0.js")
    for index, frame in enumerate(frames):
        mask = VIDEOS.videos[1].mask(index)
        counts = frame["truth"]["1"]
        assert (counts is None) == (not mask.any())
        assert counts is None or (decode_mask(counts, (SIDE, SIDE)) == mask).all()
    _, about = data(page / "beta" / "about.js")
    assert about["attributes"] == {"absent": [[4, 5]]} and about["length"] == 10 and about["objects"] == ["1"]


def test_curves_are_the_columns_rounded(comparison: Comparison, page: Path) -> None:
    _, rows = data(page / "alpha" / "curves.js")
    assert [frame for frame, _ in rows] == [*range(8)]
    for variant, run in enumerate(comparison.runs):
        one = run.record("alpha").objects[1]
        for (_, objects), *values in zip(rows, one.iou, one.predicted_iou, one.presence, strict=True):
            assert objects["1"][variant] == [None if value is None else round(value, 4) for value in values]


def test_frames_are_there_once_and_no_larger_than_needed(page: Path, tmp_path: Path) -> None:
    assert len(list((page / "gamma").glob("*.jpg"))) == 6
    assert cv2.imread(str(page / "gamma" / "00003.jpg")).shape == (SIDE, SIDE, 3)
    files = SequenceFiles(tmp_path, "wide", (500, 1600), 1)
    files.add(np.zeros((500, 1600, 3), np.uint8), [{}])
    files.close()
    assert cv2.imread(str(tmp_path / "wide" / "00000.jpg")).shape == (200, LONGEST, 3)


def viewed(mask: np.ndarray, iou: float | None, visible: bool | None, held: tuple[int, ...]) -> ViewedObject:
    return ViewedObject(encode_mask(mask), 0.5, 1.0, None, iou, visible, MemoryUse(held=held))


def test_moments_and_the_first_frames_on_which_variants_part(tmp_path: Path) -> None:
    full, empty = np.ones((4, 6), bool), np.zeros((4, 6), bool)
    files = SequenceFiles(tmp_path, "a b", (4, 6), 2)
    ious = [(1.0, 1.0), (0.9, 0.9), (0.05, 0.8), (0.05, 0.7), (0.6, 0.7)]
    for frame, (first, second) in enumerate(ious):
        masks = (full, full) if frame < 3 else (empty, full)
        pair = [
            {1: viewed(masks[0], first, True, (0,))},
            {1: viewed(masks[1], second, True, (0,) if frame < 2 else (0, 1))},
        ]
        files.add(np.zeros((4, 6, 3), np.uint8), pair, Truth({1: full}, {}), frozenset({"hard"} if frame == 2 else ()))
    found = {moment.kind: moment for moment in files.close()}
    assert (found["lost"].frame, found["lost"].variant, found["lost"].weight) == (2, 0, 2)
    assert found["lost"].attributes == ("hard",) and found["lost"].about == "in view, missed on 2 frames"
    assert (found["found again"].frame, found["found again"].about) == (4, "after 2 frames")
    assert (found["differ"].frame, found["differ"].about) == (2, "IoU from 0.05 to 0.80")
    _, about = data(tmp_path / "a_b" / "about.js")
    assert about["pairs"] == [{"variants": [0, 1], "held": 2, "read": None, "mask": 3}]
    assert about["name"] == "a b" and about["attributes"] == {"hard": [[2, 2]]}


def test_a_long_video_is_in_chunks(tmp_path: Path) -> None:
    files = SequenceFiles(tmp_path, "long", (4, 6), 1)
    image, mask = np.zeros((4, 6, 3), np.uint8), np.ones((4, 6), bool)
    for _ in range(2 * CHUNK + 1):
        files.add(image, [{7: viewed(mask, None, None, ())}])
    files.close()
    assert [len(data(tmp_path / "long" / f"frames-{number}.js")[2]) for number in range(3)] == [CHUNK, CHUNK, 1]
    assert not (tmp_path / "long" / "frames-3.js").exists()


def test_the_page_needs_nothing_else_and_lists_what_it_shows(comparison: Comparison, page: Path) -> None:
    index = (page / "index.html").read_text()
    links = re.findall(r"""(?:src|href)="(?!data:)(.*?)\"""", index)
    assert links and all((page / link).is_file() for link in links)
    assert "http" not in "".join(path.read_text() for path in page.iterdir() if path.is_file())
    (about,) = data(page / "comparison.js")
    assert [variant["name"] for variant in about["variants"]] == ["sam2", "skip_absent", "latest"]
    assert [one["name"] for one in about["sequences"]] == comparison.sequences or len(about["sequences"]) == 3
    assert "failed on broken: OSError: frame 2 cannot be read" in about["notes"]
    assert {moment["kind"] for moment in about["moments"]} <= {"lost", "found again", "differ"}


def test_how_many_sequences_it_shows(comparison: Comparison, tmp_path: Path) -> None:
    assert Reporter(viewer=0).report(comparison, VIDEOS, "").viewer is None
    one = Reporter(viewer=1).report(comparison, VIDEOS, "").viewer
    assert one is not None and len(one.videos) == 1
    for _ in range(2):  # a page that is there is replaced
        (about,) = data(one.write(tmp_path / "viewer").with_name("comparison.js"))
        assert len(about["sequences"]) == 1 and about["notes"].startswith("1 of 3 sequences")


def test_what_is_not_complete_is_taken_away(tmp_path: Path) -> None:
    page = Page(tmp_path / "viewer")
    SequenceFiles(page.part, "a", (4, 6), 1)
    page.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_catalogue_lists_variants_tables_pages_and_failures(
    comparison: Comparison, page: Path, results: Path
) -> None:
    text = catalogue(results)
    for link in re.findall(r'<a href="(.*?)"', text):
        assert (results / link).exists()
    assert all(run.name in text and run.hash in text for run in comparison.runs)
    assert f'href="{(page / "index.html").relative_to(results)}"' in text and "| sam2 |" in text
    assert text.count("frame 2 cannot be read") >= 3
    assert "no results" in catalogue(page / "alpha")


def test_the_server_answers_with_the_catalogue_and_the_pages(page: Path, results: Path) -> None:
    with server(results) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        host, port = serving.server_address[:2]
        assert host == "127.0.0.1"
        fetched = {}
        for path in ("", f"{page.relative_to(results)}/viewer.js"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
                fetched[path] = answer.read()
        serving.shutdown()
    assert b"squares-v1" in fetched[""] and fetched[path] == (page / "viewer.js").read_bytes()
