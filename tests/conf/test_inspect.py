"""`engram inspect` on what `ablate` and `track` write, and `track` on a sequence of a data set."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from experiments import ablate, evaluate, inspect_frame, track
from framework.evaluation.results import RunFolder
from tests.conf.test_ablate import QUICK, call

DATA = ("data=distractors", "data.length=5", "data.limit=2")
MICRO = ("backbone=micro", "backbone.checkpoint=random", "threads=1")
SEQUENCE = "distractors-val-0001"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_comparison_and_a_track_of_the_same_sequence_say_the_same(capsys):
    assert call(evaluate.main, "method=sam2", "hypotheses=true", *QUICK) == 0  # alone, as track does it
    assert call(ablate.main, "variants=[sam2,keep_first]", *QUICK) == 0
    folders = {json.loads(path.read_text())["notes"]["name"]: path.parent for path in Path("outputs").rglob("run.json")}
    record = RunFolder(folders["sam2"], folders["sam2"].name).load(SEQUENCE).objects[1]
    outputs = "outputs=[masks.json,memory.json,boxes.csv,hypotheses.json,overlay.mp4]"
    assert call(track.main, *DATA, *MICRO, "method=sam2", f"sequence={SEQUENCE}", outputs) == 0
    tracked = Path(f"outputs/track/{SEQUENCE}-sam2")
    rows = list(csv.DictReader((tracked / "boxes.csv").open()))
    assert rows[0]["true_iou"] and [row["true_iou"] for row in rows[1:]] == [f"{iou:.4f}" for iou in record.iou[1:]]
    assert json.loads((tracked / "run.json").read_text())["configuration"]["sequence"] == SEQUENCE

    capsys.readouterr()
    assert call(inspect_frame.main, "outputs", SEQUENCE, "3", "variant=sam2", "output=run.png") == 0
    run = capsys.readouterr().out
    assert call(inspect_frame.main, str(tracked), "3", "output=track.png") == 0
    again = capsys.readouterr().out
    for shown in (run, again):
        assert f"{SEQUENCE}, frame 3" in " ".join(shown.split()) and "chosen" in shown and "0@anchor" in shown
    pictures = [cv2.imread(name) for name in ("run.png", "track.png")]
    assert np.abs(pictures[0][22:].astype(int) - pictures[1][22:].astype(int)).max() == 0, "below the title"
    assert pictures[0][60:200, :190].std() > 5, "the frame is drawn"
    assert call(inspect_frame.main, "outputs", SEQUENCE, "3") == 0
    assert Path(f"outputs/inspect/{SEQUENCE}-3.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("outputs", SEQUENCE, "x"), "give RUN SEQUENCE FRAME, the frame as a number"),
        (("outputs", "variant=sam2", "object=1"), "give RUN SEQUENCE FRAME"),
        (("outputs", SEQUENCE, "3", "varaint=sam2"), "unknown option 'varaint': did you mean variant"),
        (("outputs", SEQUENCE, "3"), f"outputs has no results of {SEQUENCE}"),
    ],
)
def test_bad_input_is_one_line(arguments, words, capsys):
    assert call(inspect_frame.main, *arguments) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and words in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((*DATA, "sequence=calm-0"), "has no sequence 'calm-0': its first one is 'distractors-val-0000'"),
        (DATA, "has 2 sequences: choose one with sequence=, such as distractors-val-0000"),
        ((*DATA, "source=clip.mp4"), "what is to be tracked? give source=FILE, or data=NAME"),
        ((*DATA, f"sequence={SEQUENCE}", "frames=0"), "frames=0 must be 1 or more"),
    ],
)
def test_a_sequence_that_is_not_there_is_one_line(options, words, capsys):
    assert call(track.main, *options, *MICRO) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and words in line and not Path("outputs").exists()
