"""Exports are read back by our own metrics and score what the predictions themselves score; gaps are named first."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from PIL import Image

from experiments.export import write
from framework.benchmarks.export import open_run
from framework.benchmarks.formats import FORMATS, export, problems
from framework.data.readers.boxes import Got10k, Lasot, TrackingNet
from framework.data.readers.vos import Davis, Lvos, SaV, YoutubeVos
from framework.data.readers.vot import Didi, Vots, VotSt
from framework.errors import InputError
from framework.evaluation.records import SequenceCost
from framework.metrics import got10k, ope, trackingnet, vos, vots
from framework.metrics.multistart import MultistartSequence, evaluate_multistart
from framework.metrics.regions import PROMPTED, UNKNOWN, Mask
from framework.metrics.vots import ObjectPrediction
from tests.miniatures import (
    HEIGHT,
    NOTHING,
    WIDTH,
    labels_of,
    object_record,
    saved,
    sequence_record,
    square,
    write_binary,
    write_frames,
    write_labels,
    write_text,
    write_vot,
)
from tests.trajectories import read_binary, read_text


def record(name, objects, size=(HEIGHT, WIDTH)):
    """`objects`: id -> (mask of every frame of the video, frame of the prompt)."""
    return sequence_record(name, {key: object_record(*given) for key, given in objects.items()}, size)


def paths(root):
    return sorted(str(path.relative_to(root)) for path in Path(root).rglob("*") if path.is_file())


# ---- VOT


PREDICTED = [square(2 + i, 3) for i in range(12)]
PREDICTED[4] = NOTHING
TRUE = [square(2 + i, 4) for i in range(12)]
TRUE[5] = NOTHING


def texts(masks):
    return [Mask(mask).text for mask in masks]


def multistart(runs, read):
    return MultistartSequence(
        "ball", (WIDTH, HEIGHT), 12, tuple(ObjectPrediction(video.regions(1), tuple(read(video))) for video in runs)
    )


@pytest.mark.parametrize("format", ["vot", "vot_binary"])
def test_vot_multistart(tmp_path, format):
    write_vot(tmp_path / "data/ball", {"": texts(TRUE)}, anchor__value="1\n0\n0\n0\n0\n0\n0\n0\n-1\n0\n0\n0\n")
    data = VotSt(str(tmp_path / "data"))
    forward, backward = (data.sequence(index) for index in range(2))
    predicted = {forward.name: PREDICTED, backward.name: PREDICTED[8::-1]}
    records = [record(name, {1: (masks, 0)}) for name, masks in predicted.items()]
    records[1] = replace(records[1], cost=SequenceCost(alone=0.9, share=0.36, decisions=0.1, held=1))
    folder = saved(tmp_path / "out", data, *records)
    root = export(FORMATS[format], folder, data, tmp_path, "mine")
    suffix = ".bin" if format == "vot_binary" else ".txt"
    stems = [f"baseline/ball/ball_{anchor:08d}" for anchor in (0, 8)]
    assert paths(root) == sorted(
        f"{stem}{end}" for stem in stems for end in (suffix, "_time.value", "_confidence.value")
    )

    def written(video):
        content = (root / f"baseline/ball/{video.result_name(1)}{suffix}").read_bytes()
        return read_binary(content) if suffix == ".bin" else read_text(content.decode())

    def direct(video):
        return [PROMPTED, *(Mask(mask).cropped for mask in predicted[video.name][1:])]

    assert written(forward)[0] == PROMPTED and written(forward)[4].empty
    scores = [evaluate_multistart([multistart([forward, backward], read)], 12) for read in (written, direct)]
    assert scores[0].eao(1, 9) == scores[1].eao(1, 9) > 0
    assert scores[0].accuracy == scores[1].accuracy and scores[0].robustness == scores[1].robustness
    assert (root / f"{stems[0]}_time.value").read_text().split() == ["0.05"] * 12
    assert (root / f"{stems[1]}_time.value").read_text().split() == ["0.04"] * 9, "its measured share"
    assert (root / f"{stems[0]}_confidence.value").read_text().split()[3:6] == ["0.75", "0", "0.75"]


def test_vots_several_objects(tmp_path):
    other = [square(20, 10)] * 12
    late = ["0", *texts(other[1:])]
    write_vot(tmp_path / "data/pair", {"cat": texts(TRUE), "dog": late})
    data = Vots(str(tmp_path / "data"))
    folder = saved(tmp_path / "out", data, record("pair", {1: (PREDICTED, 0), 2: (other, 1)}))
    root = export(FORMATS["vot"], folder, data, tmp_path, "mine")
    video = data.sequence(0)
    read = {k: tuple(read_text((root / f"baseline/pair/{video.result_name(k)}.txt").read_text())) for k in (1, 2)}
    assert [region.text for region in read[2][:2]] == ["0", "1"]
    direct = {
        1: (PROMPTED, *(Mask(mask).cropped for mask in PREDICTED[1:])),
        2: (UNKNOWN, PROMPTED, *(Mask(mask).cropped for mask in other[2:])),
    }
    scores = [
        vots.evaluate(
            [
                vots.SequencePrediction(
                    "pair", (WIDTH, HEIGHT), {str(k): ObjectPrediction(video.regions(k), r[k]) for k in r}
                )
            ]
        )
        for r in (read, direct)
    ]
    assert scores[0].overall == scores[1].overall and 0 < scores[0].overall.quality < 1


def test_didi_is_written_as_rectangles(tmp_path):
    rectangles = [f"{2 + i},4,6,6" for i in range(12)]
    rectangles[5] = "0,0,0,0"
    write_vot(tmp_path / "data/ants", {"": rectangles}, first_frame_segm__txt=texts(TRUE)[0])
    data = Didi(str(tmp_path / "data"))
    folder = saved(tmp_path / "out", data, record("ants", {1: (PREDICTED, 0)}))
    root = export(FORMATS["didi"], folder, data, tmp_path, "mine")
    lines = (root / "baseline/ants/ants_001.txt").read_text().split()
    assert lines[:2] == ["1", "3,3,6,6"] and lines[4] == "0,0,0,0"
    result = tuple(read_text("\n".join(lines)))
    scored = vots.score_object(ObjectPrediction(data.sequence(0).regions(1), result), (WIDTH, HEIGHT))
    overlaps = [0.0] + [30 / 42] * 11  # one row of six pixels off; the prompted frame counts as a miss
    overlaps[4] = overlaps[5] = 0.0
    assert np.allclose(scored.overlap, overlaps, rtol=1e-12)
    assert scored.counts == vots.FrameCounts(tracked=9, drifted=0, missed=2, hallucinated=1, noticed=0)


def test_a_mask_too_ragged_for_a_binary_file_is_text(tmp_path):
    rough = np.indices((300, 300)).sum(axis=0) % 2 == 0
    folder = tmp_path / "data/noise"
    for name in ("00000001.jpg", "00000002.jpg"):
        (folder / "color").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300, 300)).save(folder / "color" / name)
    write_text(folder / "sequence", "")
    write_text(folder / "groundtruth.txt", Mask(rough).text + "\n")
    write_text(tmp_path / "data/list.txt", "noise\n")
    data = Vots(str(tmp_path / "data"))
    results = saved(tmp_path / "out", data, record("noise", {1: ([rough, rough], 0)}, (300, 300)))
    root = export(FORMATS["vot_binary"], results, data, tmp_path, "mine")
    assert read_text((root / "baseline/noise/noise_001.txt").read_text())[1] == Mask(rough)


# ---- boxes


GIVEN = [(2.5 + i, 4.0, 6.0, 6.0) for i in range(12)]
ANSWERED = [GIVEN[0], *((2.0 + i, 3.0, 6.0, 6.0) for i in range(1, 12))]
ANSWERED[4] = (0.0, 0.0, 0.0, 0.0)


def lines(rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def read_table(text):
    return np.array([[float(value) for value in line.split(",")] for line in text.splitlines()])


def test_got10k_archive(tmp_path):
    folder = tmp_path / "data/val/GOT-10k_Val_000001"
    write_frames(folder, 12)
    write_text(folder / "groundtruth.txt", lines(GIVEN))
    write_text(folder / "cover.label", "\n".join(["8"] * 11 + ["0"]))
    write_text(tmp_path / "data/val/list.txt", folder.name)
    data = Got10k(str(tmp_path / "data"), split="val")
    results = saved(tmp_path / "out", data, record(folder.name, {1: (PREDICTED, 0)}))
    path = export(FORMATS["got10k"], results, data, tmp_path, "mine")
    archive = zipfile.ZipFile(path)
    boxes, times = (f"{folder.name}/{folder.name}_{end}.txt" for end in ("001", "time"))
    assert path.name == "mine.zip" and archive.namelist() == [boxes, times]
    assert archive.read(boxes).decode().splitlines()[0] == "2.500,4.000,6.000,6.000"
    read = read_table(archive.read(boxes).decode())
    truth = data.sequence(0).annotation
    runs = [
        got10k.SequencePrediction(folder.name, truth.rows, truth.cover, (WIDTH, HEIGHT), (rows,), None)
        for rows in (read, np.array(ANSWERED))
    ]
    scores = [got10k.evaluate([run]).overall for run in runs]
    assert scores[0].ao == scores[1].ao == pytest.approx(9 / 10 * 27.5 / 44.5) and scores[0].sr50 == 0.9
    assert read_table(archive.read(times).decode()).ravel().tolist() == [0.05] * 12


def write_trackingnet(root, *names):
    for name in names:
        write_frames(root / "TEST/frames" / name, 12, first=0, digits=1)
        write_text(root / f"TEST/anno/{name}.txt", lines(GIVEN[:1]))
    return TrackingNet(str(root))


def test_trackingnet_archive(tmp_path):
    data = write_trackingnet(tmp_path / "data", "x_0", "y_1")
    results = saved(tmp_path / "out", data, *(record(name, {1: (PREDICTED, 0)}) for name in data.names))
    archive = zipfile.ZipFile(export(FORMATS["trackingnet"], results, data, tmp_path, "mine"))
    assert archive.namelist() == ["x_0.txt", "y_1.txt"]
    submission = {name: read_table(archive.read(name).decode()) for name in archive.namelist()}
    truth = {name: np.array(GIVEN) for name in submission}
    direct = dict.fromkeys(submission, np.array(ANSWERED))
    assert trackingnet.evaluate(truth, submission) == trackingnet.evaluate(truth, direct)
    assert trackingnet.evaluate(truth, submission).overall.success > 50


def test_trackingnet_names_that_the_server_confuses(tmp_path):
    data = write_trackingnet(tmp_path / "data", "x_0", "ax_0")
    results = saved(tmp_path / "out", data, *(record(name, {1: (PREDICTED, 0)}) for name in data.names))
    with pytest.raises(InputError, match="x_0: its file name is the end of that of ax_0"):
        export(FORMATS["trackingnet"], results, data, tmp_path, "mine")


def write_lasot(root, *names):
    for name in names:
        folder = root / "cup" / name
        write_frames(folder / "img", 12)
        write_text(folder / "groundtruth.txt", lines(GIVEN))
        for flags in ("full_occlusion.txt", "out_of_view.txt"):
            write_text(folder / flags, ",".join("0" * 11 + "1"))
    write_text(root / "testing_set.txt", "\n".join(names))
    return Lasot(str(root))


@pytest.mark.parametrize("empty", ["zeros", "negative", "previous"])
def test_lasot_text(tmp_path, empty):
    data = write_lasot(tmp_path / "data", "cup-1")
    results = saved(tmp_path / "out", data, record("cup-1", {1: (PREDICTED, 0)}))
    root = export(FORMATS["lasot"], results, data, tmp_path, "mine", empty)
    assert paths(root) == ["cup-1.txt"]
    read = read_table((root / "cup-1.txt").read_text())
    direct = np.array(ANSWERED)
    direct[4] = {"zeros": (0, 0, 0, 0), "negative": (-1, -1, -1, -1), "previous": ANSWERED[3]}[empty]
    assert np.array_equal(read, direct)
    truth = data.sequence(0).annotation
    runs = [ope.SequencePrediction("cup-1", truth.rows, rows, truth.visible) for rows in (read, direct)]
    scores = [ope.EVALUATORS["official/lasot"].evaluate([run]).overall for run in runs]
    assert scores[0] == scores[1] and 0 < scores[0].auc < 1


# ---- masks


A, B = [square(2 + i, 3) for i in range(12)], [square(5 + i, 6) for i in range(12)]  # they overlap
A[4] = NOTHING
TRUE_A, TRUE_B = [square(2 + i, 4) for i in range(12)], [square(5 + i, 12) for i in range(12)]


def read_png(content):
    image = Image.open(io.BytesIO(content))
    return image.mode, np.array(image)


def stacked(masks):
    """Label maps of two objects; the first lies on top."""
    return np.stack([labels_of({2: b, 1: a}) for a, b in zip(*masks, strict=True)])


def test_davis_palette_images(tmp_path):
    root = tmp_path / "data"
    write_frames(root / "JPEGImages/480p/bear", 12, first=0, digits=5)
    for index in range(12):
        write_labels(root / f"Annotations/480p/bear/{index:05d}.png", labels_of({1: TRUE_A[index], 2: TRUE_B[index]}))
    write_text(root / "ImageSets/2017/val.txt", "bear\n")
    data = Davis(str(root))
    results = saved(tmp_path / "out", data, record("bear", {1: (A, 0), 2: (B, 0)}))
    exported = export(FORMATS["davis"], results, data, tmp_path, "mine")
    read = [read_png((exported / path).read_bytes()) for path in paths(exported)]
    assert paths(exported) == [f"bear/{index:05d}.png" for index in range(12)]
    assert {mode for mode, _ in read} == {"P"}
    truth, labels = stacked((TRUE_A, TRUE_B)), np.stack([labels for _, labels in read])
    assert np.array_equal(labels, stacked((A, B)))
    scores = [vos.davis2017([vos.Labelled("bear", truth, p)]).overall for p in (labels, stacked((A, B)))]
    assert scores[0] == scores[1] and 0 < scores[0].mean < 1


def test_lvos_palette_images(tmp_path):
    root = tmp_path / "data/valid"
    write_frames(root / "JPEGImages/v1", 12)
    for number in (1, 6, 11):
        masks = {1: TRUE_A[number - 1]} | ({2: TRUE_B[number - 1]} if number > 1 else {})
        write_labels(root / f"Annotations/v1/{number:08d}.png", labels_of(masks))
    ranges = {
        key: {"frame_range": {"start": start, "end": "12", "frame_nums": "3"}}
        for key, start in (("1", "1"), ("2", "6"))
    }
    write_text(root / "valid_meta.json", json.dumps({"videos": {"v1": {"objects": ranges}}}))
    data = Lvos(str(tmp_path / "data"))
    results = saved(tmp_path / "out", data, record("v1", {1: (A, 0), 2: (B, 5)}))
    exported = export(FORMATS["lvos"], results, data, tmp_path, "mine")
    assert paths(exported) == [f"v1/{number:08d}.png" for number in range(1, 13)]
    before = read_png((exported / "v1/00000001.png").read_bytes())[1]
    assert np.array_equal(before, labels_of({1: A[0]}))  # the second has not appeared
    video = data.sequence(0)
    frames = tuple(sorted(video.annotated))
    truth = np.stack([video.labels(index) for index in frames])
    read = np.stack([read_png((exported / f"v1/{index + 1:08d}.png").read_bytes())[1] for index in frames])
    direct = stacked((A, [NOTHING] * 5 + B[5:]))[list(frames)]
    numbers = tuple(index + 1 for index in frames)
    reports = [vos.lvos([vos.LvosVideo("v1", numbers, truth, p, video.spans, True)]) for p in (read, direct)]
    assert reports[0].per_object == reports[1].per_object and reports[0].per_object[0].jaccard > 0


def test_youtube_archive_holds_the_frames_that_are_asked_for(tmp_path):
    root = tmp_path / "data"
    for index in (0, 5, 10):
        write_frames(root / "valid/JPEGImages/4f2a", 1, first=index, digits=5)
    write_frames(root / "valid_all_frames/JPEGImages/4f2a", 12, first=0, digits=5)
    write_labels(root / "valid/Annotations/4f2a/00000.png", labels_of({1: A[0]}))
    write_text(root / "valid/meta.json", json.dumps({"videos": {"4f2a": {"objects": {"1": {"frames": ["00000"]}}}}}))
    data = YoutubeVos(str(root), all_frames=True)
    results = saved(tmp_path / "out", data, record("4f2a", {1: (A, 0)}))
    archive = zipfile.ZipFile(export(FORMATS["ytvos"], results, data, tmp_path, "mine"))
    assert archive.namelist() == [f"Annotations/4f2a/{index:05d}.png" for index in (0, 5, 10)]
    mode, labels = read_png(archive.read("Annotations/4f2a/00005.png"))
    assert mode == "P" and np.array_equal(labels, labels_of({1: A[5]}))


def test_sav_keeps_overlapping_objects_apart(tmp_path):
    root = tmp_path / "data/sav_val"
    write_frames(root / "JPEGImages_24fps/v", 12, first=0, digits=5)
    for name, masks in {"000": TRUE_A, "003": [NOTHING] * 4 + TRUE_B[4:]}.items():
        for index in (0, 4, 8):
            write_binary(root / f"Annotations_6fps/v/{name}/{index:05d}.png", masks[index])
    write_text(root / "sav_val.txt", "v\n")
    data = SaV(str(tmp_path / "data"))
    results = saved(tmp_path / "out", data, record("v", {1: (A, 0), 2: (B, 4)}))
    exported = export(FORMATS["sav"], results, data, tmp_path, "mine")
    assert paths(exported) == [f"v/{name}/{index:05d}.png" for name in ("000", "003") for index in range(12)]

    def masked(name, prediction):
        truth = [np.array(Image.open(root / f"Annotations_6fps/v/{name}/{i:05d}.png")) > 0 for i in (0, 4, 8)]
        return vos.Masked("v", name, np.stack(truth), np.stack(prediction))

    read = {n: [np.array(Image.open(exported / f"v/{n}/{i:05d}.png")) > 0 for i in (0, 4, 8)] for n in ("000", "003")}
    direct = {"000": [A[0], A[4], A[8]], "003": [NOTHING, B[4], B[8]]}
    reports = [vos.sav([masked(name, made[name]) for name in made]) for made in (read, direct)]
    assert reports[0] == reports[1]
    assert (read["000"][2] & read["003"][2]).any()


# ---- what is missing


def test_gaps_are_named_before_anything_is_written(tmp_path):
    data = write_lasot(tmp_path / "data", *(f"cup-{number}" for number in range(1, 6)))
    short = record("cup-2", {1: (PREDICTED[:11], 0)})
    wide = record("cup-3", {1: ([square(2, 3)] * 12, 0)}, (HEIGHT, WIDTH + 1))
    folder = saved(tmp_path / "out", data, record("cup-1", {1: (PREDICTED, 0)}), short, wide)
    folder.save(record("cup-5", {2: (PREDICTED, 0)}))
    folder.fail("cup-4", "frame 3 cannot be read", "")
    assert problems(folder, data) == [
        "cup-2: 11 frames of 12",
        "cup-3: masks of 33x24 for frames of 32x24",
        "cup-4: frame 3 cannot be read",
        "cup-5: object 1 is missing",
    ]
    with pytest.raises(InputError, match="4 of 5 sequences cannot be exported: cup-2: 11 frames of 12; cup-3"):
        export(FORMATS["lasot"], folder, data, tmp_path / "exports", "mine")
    assert not (tmp_path / "exports").exists()


def test_a_damaged_record_is_a_gap(tmp_path):
    data = write_lasot(tmp_path / "data", "cup-1")
    folder = saved(tmp_path / "out", data, record("cup-1", {1: (PREDICTED, 0)}))
    (folder.path / "cup-1.json.gz").write_bytes(b"half")
    assert problems(folder, data) == ["cup-1: not tracked"]


def test_what_a_format_cannot_hold_leaves_nothing_behind(tmp_path):
    write_vot(tmp_path / "data/pair", {"cat": texts(TRUE), "dog": texts(TRUE)})
    data = Vots(str(tmp_path / "data"))
    folder = saved(tmp_path / "out", data, record("pair", {1: (PREDICTED, 0), 2: (PREDICTED, 0)}))
    for format in ("lasot", "got10k"):
        with pytest.raises(InputError, match="pair has 2 objects; a box file holds one"):
            export(FORMATS[format], folder, data, tmp_path / "exports", "mine")
    assert not list((tmp_path / "exports").iterdir())


def test_from_the_command_line(tmp_path, capsys):
    data = write_lasot(tmp_path / "data", "cup-1", "cup-2")
    folder = saved(tmp_path / "out", data, record("cup-1", {1: (PREDICTED, 0)}))
    options = [
        f"run={folder.path}",
        "data=lasot",
        f"data.root={tmp_path / 'data'}",
        "format=lasot",
        f"output={tmp_path / 'exports'}",
        "name=mine",
    ]
    with initialize_config_module("conf", version_base="1.3"):
        checked, written, wrong = (
            compose("export", [*options, *extra]) for extra in (["only_check=true"], [], ["format=lasso"])
        )
    with pytest.raises(SystemExit):
        write(checked)
    assert capsys.readouterr().out == "cup-2: not tracked\n"
    folder.save(record("cup-2", {1: (PREDICTED, 0)}))
    write(checked)
    assert capsys.readouterr().out == "2 sequences of lasot-test are complete\n"
    write(written)
    assert capsys.readouterr().out.strip() == str(tmp_path / "exports/mine")
    with pytest.raises(InputError, match="mine is there already"):
        write(written)
    with pytest.raises(InputError, match="unknown format 'lasso': did you mean lasot"):
        write(wrong)


def test_results_of_other_data_are_refused(tmp_path):
    data = write_lasot(tmp_path / "data", "cup-1")
    folder = saved(tmp_path / "out", data)
    with pytest.raises(InputError, match="holds no results"):
        open_run(tmp_path, data)
    with pytest.raises(InputError, match="holds results on lasot-test, not on trackingnet-test"):
        open_run(folder.path, write_trackingnet(tmp_path / "other", "x_0"))
