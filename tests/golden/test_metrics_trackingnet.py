"""Against what TrackingNet's evaluation script returned for the same archives."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from framework.metrics.trackingnet import TrackingNetScores, evaluate

ASSETS = Path(__file__).parents[1] / "assets/metrics/trackingnet"
EXPECTED = json.loads((ASSETS / "expected.json").read_text())


def boxes(path: Path) -> dict[str, np.ndarray]:
    archive = zipfile.ZipFile(path)
    return {name: np.loadtxt(io.BytesIO(archive.read(name)), delimiter=",", ndmin=2) for name in archive.namelist()}


def check(got: TrackingNetScores, want: dict, where: str) -> None:
    values = (got.coverage, got.success, got.precision, got.normalised)
    keys = ("coverage", "success", "precision", "normalized_precision")
    assert values == pytest.approx([want[key] for key in keys], rel=1e-14), where


@pytest.mark.parametrize("case", EXPECTED)
def test_trackingnet(case):
    report = evaluate(boxes(ASSETS / f"{case}_GT.zip"), boxes(ASSETS / f"{case}_subm.zip"))
    check(report.overall, EXPECTED[case]["overall"], case)
    assert list(report.per_sequence) == list(EXPECTED[case]["per_seq"])
    for name, scores in report.per_sequence.items():
        check(scores, EXPECTED[case]["per_seq"][name], f"{case} {name}")
