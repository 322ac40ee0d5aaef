"""The official tools themselves read our exports and find the numbers that we find.

They run in an environment of their own, made with uv or named by ENGRAM_TOOLS (its python): they need other libraries,
and the project itself never imports them.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from framework.benchmarks.formats import FORMATS, export
from framework.benchmarks.scores import EVALUATORS, predictions, score_multistart
from framework.data.readers.boxes import Got10k
from framework.data.readers.vot import Vots, VotSt
from tests.miniatures import object_record, write_black_frames
from tests.workspaces import stored, trajectories, unpacked, workspace

pytestmark = pytest.mark.slow

TOOLS = ("got10k==0.1.3", "vot-toolkit==0.9.0", "attributee==0.1.9")

STACK = """
title: mine
experiments:
  baseline:
    type: {type}
    {more}
    analyses:
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """The python of an environment with the official tools."""
    if "ENGRAM_TOOLS" in os.environ:
        return Path(os.environ["ENGRAM_TOOLS"])
    place = tmp_path_factory.mktemp("tools")
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, place], check=True)
    python = place / "bin/python"
    subprocess.run([*uv, "pip", "install", "-q", "--python", python, *TOOLS], check=True)
    return python


def analysed(python, root, kind, analyses, more=""):
    """What analyses of the toolkit give for the tracker `mine`, one list of values each."""
    lines = "".join(f"      - {{name: {name}, {text}}}\n" for name, text in analyses.items())
    (root / "stack.yaml").write_text(STACK.format(type=kind, more=more) + lines)
    (root / "trackers.ini").write_text("[mine]\nlabel = mine\nprotocol = traxpython\ncommand = nothing\n")
    command = [python.parent / "vot", "analysis", "--workspace", root, "--format", "json", "--name", "out", "mine"]
    subprocess.run(command, check=True, capture_output=True)
    report = json.loads((root / "analysis/out.json").read_text())["results"]["baseline"]["results"]
    return dict(zip(analyses, (result[0] for result in report), strict=True))


def test_vot_toolkit_reads_several_objects(tools, tmp_path):
    root = workspace("vots", tmp_path)
    data = Vots(str(root))
    folder = stored(data, trajectories(root, "trkA"))
    export(FORMATS["vot"], folder, data, root / "results", "mine")
    analyses = {
        "quality": "type: average_accuracy, burnin: 0, ignore_unknown: false, weighted: false",
        "ar": "type: longterm_ar",
        "auxiliary": "type: average_quality_auxiliary",
    }
    found = analysed(tools, root, "unsupervised", analyses, "multiobject: true")
    ours = EVALUATORS["vots"](predictions(folder, data), "zeros")
    theirs = (*found["quality"], *found["ar"][:2], *found["auxiliary"])
    assert list(ours.values()) == pytest.approx(theirs, rel=1e-12)


def test_vot_toolkit_reads_multistart(tools, tmp_path):
    root = workspace("multistart", tmp_path)
    data = VotSt(str(root))
    folder = stored(data, trajectories(root, "trkA"))
    export(FORMATS["vot_binary"], folder, data, root / "results", "mine")
    analyses = {"eao": "type: multistart_eao_score, low: 20, high: 90", "ar": "type: multistart_average_ar"}
    found = analysed(tools, root, "multistart", analyses)
    ours = score_multistart(predictions(folder, data), "zeros", 20, 90)
    assert list(ours.values()) == pytest.approx([*found["eao"], *found["ar"][:2]], rel=1e-12)


SCORE = """
import json, sys
from got10k.experiments import ExperimentGOT10k
report = ExperimentGOT10k(sys.argv[1], subset="val", result_dir="results", report_dir="reports").report(["mine"])
print(json.dumps({key: report["mine"]["overall"][key] for key in ("ao", "sr")}))
"""


def test_got10k_toolkit(tools, tmp_path):
    root = unpacked("got10k/inputs.zip", tmp_path / "got10k")
    names = (root / "val/list.txt").read_text().split()
    answered = {}
    for number, name in enumerate(names):
        lines = (root / f"val/{name}/groundtruth.txt").read_text().split()
        rows = [tuple(round(float(value), 3) for value in line.split(",")) for line in lines]  # as the archive has them
        left, up = 3 * number, 2.5
        answered[name] = [(x + left, y - up, x + left + w, y - up + h) for x, y, w, h in rows]
        answered[name][1] = None  # an empty mask
        about = (root / f"val/{name}/meta_info.ini").read_text()
        width, height = about.split("resolution: (")[1].split(")")[0].split(",")
        files = [f"{i:08d}" for i in range(1, len(rows) + 1)]
        write_black_frames(root / "val" / name, files, (int(width), int(height)))
    data = Got10k(str(root), split="val")
    blank = np.zeros((1, 1), dtype=bool)
    folder = stored(data, lambda video: {1: object_record([blank] * video.length, boxes=answered[video.name])})
    archive = zipfile.ZipFile(export(FORMATS["got10k"], folder, data, tmp_path, "mine"))
    archive.extractall(tmp_path / "results/GOT-10k/mine")
    environment = os.environ | {"MPLBACKEND": "Agg"}
    done = subprocess.run(
        [tools, "-c", SCORE, root], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    ours = EVALUATORS["got10k"](predictions(folder, data), "zeros")
    assert [ours["AO"], ours["SR50"]] == pytest.approx([100 * theirs["ao"], 100 * theirs["sr"]], rel=1e-9)
    assert 0 < ours["AO"] < 100
