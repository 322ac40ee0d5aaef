"""Against what the evaluators of DAVIS 2017, SA-V, vos-benchmark and LVOS returned for the same masks."""

import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framework.errors import InputError
from framework.metrics.vos import (
    Labelled,
    LvosVideo,
    Masked,
    SavReport,
    Span,
    davis2017,
    decay,
    decay_uint8,
    lvos,
    outer_step_contour,
    recall,
    sav,
    step_contour,
)

ASSETS = Path(__file__).parents[1] / "assets/metrics/vos"
CLOSE = {"rel": 1e-14, "abs": 1e-15, "nan_ok": True}
DAVIS = {"J_M": "jaccard", "J_R": "jaccard_recall", "J_D": "jaccard_decay"} | {
    "F_M": "boundary",
    "F_R": "boundary_recall",
    "F_D": "boundary_decay",
}


def expected(name: str) -> dict:
    return json.loads((ASSETS / f"{name}_expected.json").read_text())


def images(archive: zipfile.ZipFile, paths: list[str]) -> np.ndarray:
    return np.stack([np.array(Image.open(io.BytesIO(archive.read(path)))) for path in paths])


def folder(archive: zipfile.ZipFile, path: str) -> list[str]:
    return sorted(n.removeprefix(path) for n in archive.namelist() if n.startswith(path) and n.endswith(".png"))


def labelled(name: str) -> list[Labelled]:
    archive = zipfile.ZipFile(ASSETS / f"{name}_inputs.zip")
    videos = []
    for video in archive.read("gt/ImageSets/2017/val.txt").decode().split():
        truth = f"gt/Annotations/480p/{video}/"
        frames = folder(archive, truth)
        videos.append(
            Labelled(
                video,
                images(archive, [truth + frame for frame in frames]),
                images(archive, [f"results/{video}/{frame}" for frame in frames]),
            )
        )
    return videos


@pytest.mark.parametrize("name", ["davis", "davis_long"])
def test_davis2017(name):
    want = expected(name)["davis2017"]
    report = davis2017(labelled(name), decay=decay_uint8)
    with np.load(ASSETS / f"{name}_per_frame.npz") as per_frame:
        for similarity in report.objects:
            row = int(similarity.object) - 1
            where = f"{similarity.sequence} {similarity.object}"
            np.testing.assert_array_equal(similarity.jaccard, per_frame[f"{similarity.sequence}/J"][row], where)
            np.testing.assert_allclose(
                similarity.boundary, per_frame[f"{similarity.sequence}/F"][row], rtol=0, atol=5e-16, err_msg=where
            )
    got = {f"{o.sequence}_{o.object}": scores for o, scores in zip(report.objects, report.per_object, strict=True)}
    assert list(got) == list(want["per_object"])
    for key, there in want["per_object"].items():
        for short, field in DAVIS.items():
            assert getattr(got[key], field) == pytest.approx(float(there[short]), **CLOSE), f"{key} {short}"
    names = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
    overall = (report.overall.mean, *(getattr(report.overall, field) for field in DAVIS.values()))
    assert overall == pytest.approx([float(want["overall"][key]) for key in names], **CLOSE)


def test_true_decay_equals_the_official_one_up_to_255_frames():
    values = np.random.default_rng(0).random(400)
    for frames in (1, 2, 5, 100, 254, 255):
        assert decay(values[:frames]) == decay_uint8(values[:frames])
    assert math.isnan(decay_uint8(values[:298]))
    assert not math.isnan(decay(values[:298]))
    assert decay(np.linspace(1, 0, 401)) == pytest.approx(0.75, abs=1e-3)


def check_sav(report: SavReport, want: dict, where: str) -> None:
    assert (report.mean, report.jaccard, report.boundary) == pytest.approx(
        [want["JF"], want["J"], want["F"]], **CLOSE
    ), where
    there = {(video, name): scores for video, objects in want["per_object"].items() for name, scores in objects.items()}
    assert report.per_object.keys() == there.keys()
    for key, scores in there.items():
        assert report.per_object[key] == pytest.approx([scores["J"], scores["F"]], **CLOSE), f"{where} {key}"


@pytest.mark.parametrize(
    ("mode", "skip_ends"),
    [
        ("sav_evaluator_davis_layout", True),
        ("sav_evaluator_davis_layout_no_skip", False),
        ("vos_benchmark", True),
    ],
)
def test_sav_in_davis_layout(mode, skip_ends):
    objects = []
    for video in labelled("davis"):
        scored = video.truth[1:-1] if skip_ends else video.truth
        for label in np.unique(scored[scored > 0]):  # 255 is an object too, and other predicted labels do not count
            objects.append(Masked(video.name, str(label), video.truth == label, video.prediction == label))
    check_sav(sav(objects, skip_ends), expected("davis")[mode], mode)


def test_sav():
    archive = zipfile.ZipFile(ASSETS / "sav_inputs.zip")
    objects = []
    for pair in sorted({tuple(n.split("/")[1:3]) for n in archive.namelist() if n.startswith("gt/")}):
        video, name = pair
        frames = folder(archive, f"gt/{video}/{name}/")
        truth, prediction = (
            images(archive, [f"{side}/{video}/{name}/{frame}" for frame in frames]) > 0 for side in ("gt", "results")
        )
        objects.append(Masked(video, name, truth, prediction))
    want = expected("sav")
    check_sav(sav(objects), want["sav_evaluator"], "skip")
    check_sav(sav(objects, skip_ends=False), want["sav_evaluator_no_skip"], "no skip")
    assert "error" in want["object_never_in_gt"]
    never = Masked("v", "000", np.zeros((4, 6, 8), bool), np.ones((4, 6, 8), bool))
    with pytest.raises(InputError, match="object 000"):
        sav([*objects, never])


def test_a_label_beyond_the_annotated_objects_is_refused():
    video = labelled("davis")[1]
    prediction = video.prediction.copy()
    prediction[3, 0, 0] = 9
    with pytest.raises(InputError, match="label 9"):
        davis2017([Labelled(video.name, video.truth, prediction)])


@pytest.mark.parametrize(("variant", "contour"), [("python", step_contour), ("cython", outer_step_contour)])
def test_lvos(variant, contour):
    archive = zipfile.ZipFile(ASSETS / "lvos_inputs.zip")
    unseen = archive.read("unseen_videos.txt").decode().split()
    meta = json.loads(archive.read("gt/valid_meta.json"))["videos"]
    videos = []
    for name, entry in meta.items():
        frames = folder(archive, f"gt/Annotations/{name}/")
        spans = {int(label): o["frame_range"] for label, o in entry["objects"].items()}
        videos.append(
            LvosVideo(
                name=name,
                frames=tuple(int(Path(frame).stem) for frame in frames),
                truth=images(archive, [f"gt/Annotations/{name}/{frame}" for frame in frames]),
                prediction=images(archive, [f"results/{name}/{frame}" for frame in frames]),
                objects={k: Span(int(s["start"]), int(s["end"]), int(s["frame_nums"])) for k, s in spans.items()},
                seen=name not in unseen,
            )
        )
    want, report = expected("lvos")[variant], lvos(videos, contour)
    with np.load(ASSETS / "lvos_per_frame.npz") as per_frame:
        for o in report.objects:
            key = f"{variant}/{o.sequence}/{o.object}"
            np.testing.assert_array_equal(o.jaccard, per_frame[f"{key}/J"], key)
            np.testing.assert_allclose(o.boundary, per_frame[f"{key}/F"], rtol=0, atol=5e-16, err_msg=key)
    got = {f"{o.sequence}_{o.object}": s for o, s in zip(report.objects, report.per_object, strict=True)}
    assert list(got) == list(want["per_object"])
    for key, there in want["per_object"].items():
        scores = (got[key].jaccard, got[key].boundary, got[key].variation)
        assert scores == pytest.approx([there["J"], there["F"], there["V"]], **CLOSE), key
    assert [recall(o.jaccard) for o in report.objects] == pytest.approx(want["J_R"], **CLOSE)
    assert [recall(o.boundary) for o in report.objects] == pytest.approx(want["F_R"], **CLOSE)
    overall = {"J&F-Mean": report.overall.mean}
    for letter, field in (("J", "jaccard"), ("F", "boundary"), ("V", "variation")):
        for group, scores in (("", report.overall), ("seen-", report.seen), ("unseen-", report.unseen)):
            overall[f"{letter}-{group}Mean"] = getattr(scores, field)
    assert overall == pytest.approx(want["overall"], **CLOSE)
