"""Against what the got-10k toolkit returned for the same files."""

import ast
import configparser
import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framework.errors import InputError
from framework.metrics.got10k import Got10kScores, SequencePrediction, evaluate

ASSETS = Path(__file__).parents[1] / "assets/metrics/got10k"


def runs(prefix: str) -> list[SequencePrediction]:
    archive = zipfile.ZipFile(ASSETS / "inputs.zip")

    def text(path: str) -> io.StringIO:
        return io.StringIO(archive.read(path).decode())

    def one(name: str) -> SequencePrediction:
        meta = configparser.ConfigParser()
        meta.read_file(text(f"{prefix}val/{name}/meta_info.ini"))
        results = f"{prefix}results/GOT-10k/trk/{name}/{name}"
        repetitions = sorted(p for p in archive.namelist() if re.fullmatch(rf"{re.escape(results)}_\d+\.txt", p))
        timed = f"{results}_time.txt" in archive.namelist()
        return SequencePrediction(
            name=name,
            truth=np.loadtxt(text(f"{prefix}val/{name}/groundtruth.txt"), delimiter=","),
            cover=np.loadtxt(text(f"{prefix}val/{name}/cover.label"), dtype=np.int64),
            resolution=ast.literal_eval(meta["METAINFO"]["resolution"]),
            repetitions=tuple(np.loadtxt(text(path), delimiter=",") for path in repetitions),
            times=np.loadtxt(text(f"{results}_time.txt"), delimiter=",").ravel() if timed else None,
        )

    return [one(name) for name in text(f"{prefix}val/list.txt").read().split()]


def check(got: Got10kScores, want: dict, where: str) -> None:
    for key, value in (("ao", got.ao), ("sr50", got.sr50), ("sr75", got.sr75), ("speed_fps", got.speed)):
        assert value == pytest.approx(want[key], rel=1e-14), f"{where} {key}"
    np.testing.assert_array_equal(got.success, want["succ_curve"], err_msg=where)


@pytest.mark.parametrize(("case", "prefix"), [("main", ""), ("ties", "ties/")])
def test_got10k(case, prefix):
    want = json.loads((ASSETS / "expected.json").read_text())[case]
    report = evaluate(runs(prefix))
    check(report.overall, want["overall"], case)
    assert list(report.per_sequence) == list(want["per_seq"])
    for name, scores in report.per_sequence.items():
        check(scores, want["per_seq"][name], f"{case} {name}")


def test_refuses_what_the_toolkit_refuses():
    run = runs("ties/")[0]
    with pytest.raises(InputError, match="one row per frame"):
        evaluate([replace(run, repetitions=(run.truth[:-1],))])
    with pytest.raises(InputError, match="no result"):
        evaluate([replace(run, repetitions=())])
