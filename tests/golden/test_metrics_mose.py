"""Against what the formulas of MOSEv2's released evaluation give for the same masks (see `framework.metrics.mose`)."""

import json

import numpy as np
import pytest

from framework.metrics.mose import mose, mose_object
from framework.metrics.vos import Masked
from tests.golden.test_metrics_vos import ASSETS, labelled


def mean(*values):
    return None if None in values else sum(values) / len(values)


@pytest.mark.parametrize("case", ["as given", "blanked"])
def test_every_object_scores_as_released(case):
    want = json.loads((ASSETS / "mosev2_expected.json").read_text())[case]
    found = {}
    for video in labelled("davis"):
        time = np.arange(len(video.truth))[:, None, None]
        for label in (label for label in np.unique(video.truth).tolist() if 0 < label < 255):
            truth, prediction = video.truth == label, video.prediction == label
            if case == "blanked":  # so that objects come and go
                truth, prediction = truth & (time // 3 % 2 == 0), prediction & (time // 4 % 2 == 0)
            found[f"{video.name}/{label}"] = mose_object(Masked(video.name, str(label), truth, prediction))
    assert found.keys() == want.keys()
    for name, o in found.items():
        jaccard, fitted, boundary, *episodes = want[name]
        got = [o.jaccard.mean(), o.fitted.mean(), o.boundary.mean()]
        assert got == pytest.approx([jaccard, fitted, boundary], abs=1e-12), name
        assert o.episodes(visible=False) == pytest.approx(mean(*episodes[:2]), abs=1e-12), name
        assert o.episodes(visible=True) == pytest.approx(mean(*episodes[2:]), abs=1e-12), name
    report = mose(list(found.values()))
    columns = list(zip(*want.values(), strict=True))
    assert report.fitted == pytest.approx(np.mean(columns[1]), abs=1e-12)
    gone = [value for column in columns[3:5] for value in column if value is not None]
    assert report.disappearance == pytest.approx(np.mean(gone), abs=1e-12)
