"""Against what vot-toolkit 0.9.0 returned for the same regions and workspaces."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from framework.errors import InputError
from framework.metrics.multistart import MultistartSequence, evaluate_multistart
from framework.metrics.regions import (
    UNKNOWN,
    Mask,
    Point,
    Polygon,
    Rectangle,
    Region,
    Special,
    encode_trajectory,
    overlap,
    parse_region,
    write_binary,
)
from framework.metrics.vots import FrameCounts, ObjectPrediction, SequencePrediction, evaluate
from tests.trajectories import read_binary, read_text

ASSETS = Path(__file__).parents[1] / "assets/metrics/vots"


def load(name: str) -> dict | list:
    return json.loads((ASSETS / name).read_text())


def whole(truth: list[Region], frames: int) -> tuple[Region, ...]:
    """As long as the video; what a short file leaves out is unknown."""
    return (*truth, *[UNKNOWN] * (frames - len(truth)))[:frames]


class Workspace:
    def __init__(self, name: str) -> None:
        self.archive = zipfile.ZipFile(ASSETS / f"{name}_workspace.zip")
        self.names = self.text("sequences/list.txt").split()

    def text(self, path: str) -> str:
        return self.archive.read(path).decode()

    def size_and_length(self, name: str) -> tuple[tuple[int, int], int]:
        lines = self.text(f"sequences/{name}/sequence").split()
        meta = dict(line.split("=", 1) for line in lines if "=" in line)
        return (int(meta["width"]), int(meta["height"])), int(meta["length"])

    def truths(self, name: str) -> dict[str, tuple[Region, ...]]:
        prefix, (_, length) = f"sequences/{name}/groundtruth", self.size_and_length(name)
        paths = sorted(p for p in self.archive.namelist() if p.startswith(prefix))
        return {
            p.removeprefix(prefix).removesuffix(".txt").removeprefix("_") or "object": whole(
                read_text(self.text(p)), length
            )
            for p in paths
        }

    def result(self, tracker: str, name: str, suffix: str) -> tuple[Region, ...]:
        stem = f"results/{tracker}/baseline/{name}/{name}_{suffix}"
        if f"{stem}.bin" in self.archive.namelist():
            return tuple(read_binary(self.archive.read(f"{stem}.bin")))
        return tuple(read_text(self.text(f"{stem}.txt")))

    def sequence(self, tracker: str, name: str) -> SequencePrediction:
        objects = {}
        for key, truth in self.truths(name).items():
            suffix = "001" if key == "object" else f"{key}_001"
            objects[key] = ObjectPrediction(truth, self.result(tracker, name, suffix))
        return SequencePrediction(name, self.size_and_length(name)[0], objects)

    def multistart(self, tracker: str, name: str) -> MultistartSequence:
        (truth,), (size, length) = self.truths(name).values(), self.size_and_length(name)
        anchors = [float(v) for v in self.text(f"sequences/{name}/anchor.value").split()]
        runs = tuple(
            ObjectPrediction(truth[frame :: 1 if anchor > 0 else -1], self.result(tracker, name, f"{frame:08d}"))
            for frame, anchor in enumerate(anchors)
            if anchor != 0
        )
        return MultistartSequence(name, size, length, runs)


def test_overlap_of_all_kinds_of_regions():
    for case in load("regions.json"):
        a, b = parse_region(case["a"]), parse_region(case["b"])
        where = f"{case['a']} | {case['b']}"
        assert (type(a).__name__, type(b).__name__) == (case["a_type"], case["b_type"]), where
        assert (a.empty, b.empty) == (case["a_empty"], case["b_empty"]), where
        assert overlap(a, b, tuple(case["size"])) == case["overlap"], where
        assert overlap(a, b, None) == case["overlap_unbounded"], where
        if "a_area" in case:
            assert int(a.pixels.sum()) == case["a_area"], where
            assert [a.x, a.y] == case["a_offset_after_read"], where
            assert list(a.pixels.shape) == case["a_shape_after_read"], where


def test_overlap_without_ignored_pixels():
    for case in load("regions_ignore_and_rle.json")["ignore"]:
        a, b, ignore = (parse_region(case[key]) for key in ("a", "b", "ignore"))
        size = tuple(case["size"])
        assert overlap(a, b, size) == case["overlap"], case
        assert overlap(a, b, size, ignore) == case["overlap_with_ignore"], case


def masks_of(cases: list[dict]) -> list[tuple[Mask, Mask]]:
    """Each mask as drawn, and as a file would hold it at the place where the case has it."""
    pairs = []
    for case in cases:
        drawn = Mask(np.array([bit == "1" for bit in case["bits"]]).reshape(case["shape"]))
        held = drawn.cropped
        x, y = (int(v) for v in case["text_optimised"][1:].split(",")[:2])
        pairs.append((drawn, Mask(held.pixels, x, y) if held.pixels.size else held))
    return pairs


def test_runs_of_masks():
    cases = load("regions_ignore_and_rle.json")["rle"]
    for case, (drawn, held) in zip(cases, masks_of(cases), strict=True):
        assert drawn.text == case["text_not_optimised"]
        assert list(drawn.bounds) == case["bounds"]
        assert drawn.empty == case["is_empty"]
        assert [drawn.cropped.x, drawn.cropped.y] == case["reparsed_offset"]
        assert list(drawn.cropped.pixels.shape) == case["reparsed_shape"]
        assert parse_region(case["text_not_optimised"]) == drawn.cropped
        assert held.text == case["text_optimised"]
        assert held.empty == case["is_empty_optimised"]


def test_binary_trajectory():
    data = load("regions_ignore_and_rle.json")
    regions: list[Region] = [mask for pair in masks_of(data["rle"]) for mask in pair]
    regions += [
        Rectangle(1.5, 2.0, 3.0, 4.0),
        Special(2),
        Polygon(((0.0, 0.0), (5.0, 0.0), (5.0, 5.0))),
        Point(1.0, 2.0),
    ]
    encoded = bytes.fromhex(data["binary_hex"])
    assert write_binary(regions) == encoded
    back = read_binary(encoded)
    assert back == [region.cropped if isinstance(region, Mask) else region for region in regions]
    assert write_binary(read_binary(write_binary(back))) == write_binary(back)


@pytest.mark.parametrize("name", ["didi", "vots"])
def test_quality_accuracy_robustness(name):
    want, workspace = load(f"{name}_expected.json"), Workspace(name)
    with np.load(ASSETS / f"{name}_arrays.npz") as data:
        arrays = dict(data)
    keys = {
        "Q": "quality",
        "Acc": "accuracy",
        "Rob": "robustness",
        "NRE": "not_reported_error",
        "DRE": "drift_rate_error",
        "ADQ": "absence_detection",
        "average_accuracy_toolkit_default": "toolkit_default",
        "accuracy_toolkit_default": "toolkit_default",
    }

    def check(scores: object, there: dict, where: str) -> None:
        for key, field in keys.items():
            if key in there:
                value, expected = getattr(scores, field), there[key]
                assert (value is None) == (expected is None), f"{where} {key}"
                assert value is None or value == pytest.approx(expected, rel=1e-13), f"{where} {key}"

    for tracker, overall in want["overall"].items():
        sequences = [workspace.sequence(tracker, s) for s in workspace.names]
        report = evaluate(sequences)
        check(report.overall, overall, tracker)
        for s, there in want["per_seq"][tracker].items():
            check(report.per_sequence[s], there, f"{tracker} {s}")
            for key, counted in there["objects"].items():
                where, scores = f"{tracker} {s} {key}", report.objects[s, key]
                assert scores.counts == FrameCounts(*counted["T_F_M_H_N"]), where
                assert scores.quality == pytest.approx(counted["Q"], rel=1e-13), where
                assert scores.accuracy == pytest.approx(counted["Acc"], rel=1e-13), where
                assert (scores.quality_frames, scores.accuracy_frames) == (counted["n_Q"], counted["n_Acc"]), where
                np.testing.assert_array_equal(scores.overlap, arrays[f"overlaps/{tracker}/{s}/{key}"], where)


def test_multistart():
    want, workspace = load("multistart_expected.json"), Workspace("multistart")
    with np.load(ASSETS / "multistart_arrays.npz") as data:
        arrays = dict(data)
    for tracker, overall in want["overall"].items():
        report = evaluate_multistart([workspace.multistart(tracker, s) for s in workspace.names])
        assert report.accuracy == pytest.approx(overall["A"], rel=1e-13)
        assert report.robustness == pytest.approx(overall["R"], rel=1e-13)
        for key in (k for k in overall if k.startswith("EAO")):
            low, high = map(int, key.split("_")[1:])
            assert report.eao(low, high) == pytest.approx(overall[key], rel=1e-12), f"{tracker} {key}"
        for s, there in want["per_seq"][tracker].items():
            scores = report.per_sequence[s]
            values = (scores.accuracy, scores.robustness, scores.accuracy_weight, scores.robustness_weight)
            keys = ("A", "R", "accuracy_weight", "robustness_weight")
            assert values == pytest.approx([there[key] for key in keys], rel=1e-13), f"{tracker} {s}"
            np.testing.assert_array_equal(report.expected[s].counts, arrays[f"active/{tracker}/{s}"])
            np.testing.assert_allclose(report.expected[s].overlap, arrays[f"phi/{tracker}/{s}"], rtol=1e-12)
        np.testing.assert_allclose(report.curve, arrays[f"eao_curve_755/{tracker}"], rtol=1e-12)


def test_a_ragged_mask_is_written_as_text():
    noise = Mask(np.random.default_rng(0).random((720, 1280)) > 0.5)
    with pytest.raises(InputError, match="write text instead"):
        write_binary([noise])
    suffix, content = encode_trajectory([Special(1), noise])
    assert suffix == ".txt"
    assert read_text(content.decode()) == [Special(1), noise]
    assert encode_trajectory([Special(1)]) == (".bin", write_binary([Special(1)]))


@pytest.mark.parametrize("line", ["", "m1,2", "1,2,3", "a,b,c,d", "m0,0,2,2,3,9", "-1", "1,2,nan,4", "1,2,inf,4"])
def test_what_is_not_a_region_is_refused(line):
    with pytest.raises(InputError):
        parse_region(line)
