"""`+experiment=smoke` runs every training from end to end."""

from pathlib import Path

import pytest
import torch

from experiments import pretrain, train
from policies.components.read_features import FEATURES
from policies.components.read_gate import load
from tests.conf.test_ablate import call

LEARNERS = sorted(path.stem for path in (Path(__file__).parents[3] / "conf/learner").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_writes_weights(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(train.main, f"learner={name}", "+experiment=smoke") == 0
    told = capsys.readouterr().out.splitlines()[-1]
    (weights,) = Path("outputs/train").glob("smoke-*/weights.pt")
    assert told.startswith(f"weights {weights}  val/J 0.")
    state = torch.load(weights.parent / "last.ckpt", weights_only=True)
    assert state["global_step"] == 4
    if name == "read_gate":
        assert load(str(weights))(torch.rand(4, len(FEATURES))).isfinite().all()


@pytest.mark.slow
def test_pretraining_writes_weights_that_load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(pretrain.main, "+experiment=smoke") == 0
    state = torch.load("outputs/pretrain-smoke/micro.pt", weights_only=True)["model"]
    assert all(value.isfinite().all() for value in state.values() if value.is_floating_point())
