"""From files on disk to official numbers: data sets are read, results stored, and scored as the official tools did."""

import json

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

from experiments.score import score
from framework.benchmarks.scores import EVALUATORS, predictions, score_multistart
from framework.data.readers.boxes import Got10k, TrackingNet
from framework.data.readers.vos import Davis, Lvos, Mose, SaV
from framework.data.readers.vot import Vots, VotSt
from framework.errors import InputError
from tests.miniatures import object_record, write_black_frames
from tests.workspaces import ASSETS, stored, trajectories, unpacked, workspace


def scored(evaluator, data, objects):
    found = EVALUATORS[evaluator](predictions(stored(data, objects), data), "zeros")
    assert tuple(found) == EVALUATORS[evaluator].measures
    return found


# ---- VOT


@pytest.mark.parametrize(
    ("name", "tracker", "evaluator"), [("didi", "trkB", "vots"), ("vots", "trkA", "vots"), ("vots", "trkB", "didi")]
)
def test_vots_and_didi(tmp_path, name, tracker, evaluator):
    data = Vots(str(workspace(name, tmp_path)))
    want = json.loads((ASSETS / f"vots/{name}_expected.json").read_text())["overall"][tracker]
    got = scored(evaluator, data, trajectories(tmp_path / "workspace", tracker))
    assert got == pytest.approx({key: want[key] for key in got}, rel=1e-12)


def test_multistart(tmp_path):
    data = VotSt(str(workspace("multistart", tmp_path)))
    want = json.loads((ASSETS / "vots/multistart_expected.json").read_text())["overall"]["trkA"]
    folder = stored(data, trajectories(tmp_path / "workspace", "trkA"))
    got = score_multistart(predictions(folder, data), "zeros", 20, 90)
    assert got == pytest.approx({"EAO": want["EAO_20_90"], "A": want["A"], "R": want["R"]}, rel=1e-12)


# ---- masks


def read_png(path):
    return np.array(Image.open(path))


def labelled(root):
    """Objects of the label images of a result."""

    def objects(video):
        blank = np.zeros(video.size, dtype=np.uint8)
        paths = [root / video.name / f"{video.images.files[index].stem}.png" for index in range(video.length)]
        labels = [read_png(path) if path.exists() else blank for path in paths]
        return {key: object_record([image == key for image in labels]) for key in video.starts}

    return objects


def test_davis(tmp_path):
    root = unpacked("vos/davis_inputs.zip", tmp_path / "davis")
    for folder in (root / "gt/Annotations/480p").iterdir():
        names = sorted(path.stem for path in folder.glob("*.png"))
        size = Image.open(folder / f"{names[0]}.png").size
        write_black_frames(root / "gt/JPEGImages/480p" / folder.name, names, size)
    data = Davis(str(root / "gt"))
    want = json.loads((ASSETS / "vos/davis_expected.json").read_text())["davis2017"]["overall"]
    got = scored("davis2017", data, labelled(root / "results"))
    official = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
    assert list(got.values()) == pytest.approx([100 * float(want[key]) for key in official], rel=1e-12)


def test_mosev2(tmp_path):
    root = unpacked("vos/davis_inputs.zip", tmp_path / "mose")
    (root / "gt/Annotations/480p").rename(root / "gt/train")
    (root / "train").mkdir()
    (root / "gt/train").rename(root / "train/Annotations")
    for folder in (root / "train/Annotations").iterdir():
        names = sorted(path.stem for path in folder.glob("*.png"))
        size = Image.open(folder / f"{names[0]}.png").size
        write_black_frames(root / "train/JPEGImages" / folder.name, names, size)
    data = Mose(str(root), split="train", version=2)
    want = json.loads((ASSETS / "vos/mosev2_expected.json").read_text())["as given"]
    started = {f"{video.name}/{key}" for video in map(data.sequence, range(len(data))) for key in video.starts}
    jaccard, fitted, boundary, *episodes = zip(*(want[name] for name in sorted(started)), strict=True)
    gone, back = (
        np.mean([value for column in pair for value in column if value is not None])
        for pair in (episodes[:2], episodes[2:])
    )
    got = scored("mosev2", data, labelled(root / "results"))
    j, f, plain = (np.mean(column) for column in (jaccard, fitted, boundary))
    expected = {"J&F-dot": (j + f) / 2, "J&F-dot d": gone, "J&F-dot r": back}
    expected |= {"J": j, "F-dot": f, "F": plain, "J&F": (j + plain) / 2}
    assert got == pytest.approx({name: 100 * value for name, value in expected.items()}, rel=1e-12)


@pytest.mark.parametrize("variant", ["python", "cython"])
def test_lvos(tmp_path, variant):
    root = unpacked("vos/lvos_inputs.zip", tmp_path / "lvos")
    (root / "gt").rename(root / "valid")
    (root / "unseen_videos.txt").rename(root / "valid/unseen_videos.txt")
    for folder in (root / "valid/Annotations").iterdir():
        paths = sorted(folder.glob("*.png"))
        names = [f"{number:08d}" for number in range(1, int(paths[-1].stem) + 1)]
        write_black_frames(root / "valid/JPEGImages" / folder.name, names, Image.open(paths[0]).size)
    want = json.loads((ASSETS / "vos/lvos_expected.json").read_text())[variant]["overall"]
    got = scored(f"lvos/{variant}", Lvos(str(root)), labelled(root / "results"))
    assert [got["J&F"], got["J"], got["F"]] == pytest.approx(
        [100 * want[key] for key in ("J&F-Mean", "J-Mean", "F-Mean")], rel=1e-12
    )


def test_sav(tmp_path):
    root = unpacked("vos/sav_inputs.zip", tmp_path / "sav")
    (root / "gt").rename(root / "Annotations_6fps")
    videos = sorted(path.name for path in (root / "Annotations_6fps").iterdir())
    (root / "sav_val.txt").write_text("\n".join(videos))
    for video in videos:
        paths = sorted((root / "Annotations_6fps" / video).glob("*/*.png"))
        last = max(int(path.stem) for path in paths)
        names = [f"{number:05d}" for number in range(last + 1)]
        write_black_frames(root / "JPEGImages_24fps" / video, names, Image.open(paths[0]).size)

    def objects(video):
        blank, found = np.zeros(video.size, dtype=bool), {}
        for key, name in video.object_names.items():
            paths = [root / "results" / video.name / name / f"{index:05d}.png" for index in range(video.length)]
            found[key] = object_record([read_png(path) > 0 if path.exists() else blank for path in paths])
        return found

    want = json.loads((ASSETS / "vos/sav_expected.json").read_text())["sav_evaluator"]
    got = scored("sav", SaV(str(root)), objects)
    assert got == pytest.approx({"J&F": want["JF"], "J": want["J"], "F": want["F"]}, rel=1e-12)


# ---- boxes


def test_got10k(tmp_path):
    root = unpacked("got10k/inputs.zip", tmp_path / "got10k")
    names = (root / "val/list.txt").read_text().split()
    for name in names:
        about = (root / f"val/{name}/meta_info.ini").read_text()
        width, height = about.split("resolution: (")[1].split(")")[0].split(",")
        count = len((root / f"val/{name}/groundtruth.txt").read_text().split())
        write_black_frames(root / "val" / name, [f"{i:08d}" for i in range(1, count + 1)], (int(width), int(height)))

    def objects(video):
        text = (root / f"results/GOT-10k/trk/{video.name}/{video.name}_001.txt").read_text()
        rows = [tuple(float(value) for value in line.split(",")) for line in text.split()]
        boxes = [(x, y, x + w, y + h) for x, y, w, h in rows]
        return {1: object_record([np.zeros((1, 1), dtype=bool)] * len(rows), boxes=boxes)}

    data = Got10k(str(root), split="val", only=[n for n in names if repetitions(root, n) == 1])
    got = scored("got10k", data, objects)
    want = json.loads((ASSETS / "got10k/expected.json").read_text())["main"]["per_seq"]
    assert len(data) >= 3
    per_sequence = []
    for index in range(len(data)):
        video = data.sequence(index)
        single = Got10k(str(root), split="val", only=[video.name])
        per_sequence.append(scored("got10k", single, objects)["AO"] / 100)
        assert per_sequence[-1] == pytest.approx(want[video.name]["ao"], rel=1e-9)
    assert min(per_sequence) <= got["AO"] / 100 <= max(per_sequence)


def repetitions(root, name):
    return len(list((root / f"results/GOT-10k/trk/{name}").glob("*_00?.txt")))


# ---- what cannot be scored here


def test_secret_truth_is_said_to_be_secret(tmp_path):
    write_black_frames(tmp_path / "data/valid/JPEGImages/v", ["00000", "00001"], (8, 6))
    (tmp_path / "data/valid/Annotations/v").mkdir(parents=True)
    Image.fromarray(np.ones((6, 8), np.uint8)).save(tmp_path / "data/valid/Annotations/v/00000.png")
    mose = Mose(str(tmp_path / "data"))
    with pytest.raises(InputError, match="its masks are secret: export the results"):
        scored("davis2017", mose, lambda video: {1: object_record([np.ones((6, 8), dtype=bool)] * 2)})
    write_black_frames(tmp_path / "boxes/TEST/frames/x", ["0", "1"], (8, 6))
    (tmp_path / "boxes/TEST/anno").mkdir()
    (tmp_path / "boxes/TEST/anno/x.txt").write_text("1,1,3,3\n")
    net = TrackingNet(str(tmp_path / "boxes"))
    blank = {1: object_record([np.zeros((6, 8), dtype=bool)] * 2)}
    for evaluator in ("trackingnet", "ope/official/lasot", "got10k"):
        with pytest.raises(InputError, match="its boxes are secret"):
            scored(evaluator, net, lambda video: blank)
    with pytest.raises(InputError, match="is not annotated with label images"):
        scored("davis2017", net, lambda video: blank)


def test_from_the_command_line(tmp_path, capsys):
    folder = tmp_path / "boxes/TRAIN_0"
    write_black_frames(folder / "frames/x", ["0", "1", "2"], (8, 6))
    (folder / "anno").mkdir()
    (folder / "anno/x.txt").write_text("1,1,3,3\n" * 3)
    data = TrackingNet(str(tmp_path / "boxes"), split="TRAIN_0")
    kept = stored(
        data, lambda video: {1: object_record([np.zeros((6, 8), dtype=bool)] * 3, boxes=[(1.0, 1.0, 4.0, 4.0)] * 3)}
    )
    options = [f"run={kept.path}", "data=trackingnet", f"data.root={tmp_path / 'boxes'}", "data.split=TRAIN_0"]
    GlobalHydra.instance().clear()  # importing sam2 leaves it initialised
    with initialize_config_module("conf", version_base="1.3"):
        config, wrong = (compose("score", [*options, f"evaluator={e}"]) for e in ("ope/official/lasot", "ope/lasot"))
    score(config)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ope/official/lasot on 1 sequences of trackingnet-train_0"
    # No overlap is above 1, so 20 of the 21 thresholds are passed.
    assert lines[1].split() == ["AUC", f"{100 * 20 / 21:.3f}"]
    with pytest.raises(InputError, match="unknown evaluator 'ope/lasot'"):
        score(wrong)
