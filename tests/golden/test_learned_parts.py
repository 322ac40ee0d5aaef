"""What the shipped write gate and the shipped judge make of five short videos, to the last digit."""

from collections.abc import Mapping

import pytest
import torch

from framework.data.procedural.dataset import Mixed, Procedural
from framework.learning.supervised.closed_loop import track
from framework.networks.micro import network
from framework.tracker import Tracker
from motion.learned_judge import LearnedJudge
from policies.learned_write_gate import LearnedWriteGate
from policies.sam2 import Sam2

VIDEOS = Mixed(Procedural("val", length=24), limit=5)
J = {
    "write gate": (
        0.8866931238792869,
        0.9197162013567105,
        0.8866668072064412,
        0.9358801578042141,
        0.956668027949542,
    ),
    "write gate and judge": (
        0.9150513126797123,
        0.9014231380047725,
        0.8932976147934621,
        0.9393033136449089,
        0.9545133480648947,
    ),
    "judge": (
        0.9134574310331781,
        0.9033037547426871,
        0.8930711777152548,
        0.9409097464022195,
        0.9538320512281161,
    ),
}


@pytest.fixture(scope="module")
def trackers() -> Mapping[str, Tracker]:
    micro = network()
    return {
        "write gate": Tracker(micro, LearnedWriteGate()),
        "write gate and judge": Tracker(micro, LearnedWriteGate(), LearnedJudge()),
        "judge": Tracker(micro, Sam2(), LearnedJudge()),
    }


@torch.no_grad()
@pytest.mark.parametrize("index", range(5))
def test_shipped_parts_track_as_when_they_were_made(trackers: Mapping[str, Tracker], index: int) -> None:
    found = track(trackers, VIDEOS.sequence(index))
    assert found == pytest.approx({name: of[index] for name, of in J.items()}, abs=1e-12)
