"""Training of the write gate: batches, and runs that repeat and resume exactly."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from framework.data.procedural.dataset import Procedural
from framework.learning.supervised.batches import ABSENT, RIGHT, UNKNOWN, WRONG, Batches
from framework.learning.supervised.cached import TrackerParts
from framework.learning.supervised.rollouts import Rollout, RolloutVideos
from framework.learning.supervised.write_gate import WriteGateRounds, WriteGateTraining
from framework.networks.micro import network
from policies.components.recorder import Recorder
from policies.features.frame import FEATURES
from policies.learned_write_gate import LearnedWriteGate
from policies.skip_absent import SkipAbsent
from tests.power import StopAfter

INPUTS = 5


def rollout(frames: int, seed: int) -> Rollout:
    random = np.random.default_rng(seed)
    iou = random.uniform(0, 1, (2, frames)).astype(np.float32)
    iou[1, 3] = np.nan
    return Rollout(random.normal(1, 2, (2, frames, INPUTS)).astype(np.float32), iou, visible=np.arange(frames) != 2)


def test_a_window_looks_back_no_further_than_its_own_video():
    first, second = rollout(8, 0), rollout(5, 1)
    batches = Batches([first, second], window=4)
    ends = torch.nonzero(batches.present)[:, 0]
    batch = batches.at(ends)
    assert len(ends) == 2 * (8 + 5)
    assert batch.present.sum(1)[:8].tolist() == [1, 2, 3, 4, 4, 4, 4, 4]
    np.testing.assert_array_equal(batch.windows[7], first.features[0, 4:8])
    np.testing.assert_array_equal(batch.windows[16, -1], second.features[0, 0])
    labels = batch.labels[:8].tolist()
    assert labels[2] == ABSENT and batch.labels[8 + 3] == UNKNOWN
    assert [v == RIGHT for v in labels if v != ABSENT] == [q >= 0.7 for i, q in enumerate(first.iou[0]) if i != 2]
    assert set(labels) <= {RIGHT, WRONG, ABSENT}
    drawn = [next(iter(Batches([first], seed=3, step=7))) for _ in range(2)]
    assert torch.equal(drawn[0].windows, drawn[1].windows) and (drawn[0].labels != UNKNOWN).all()


def test_statistics_leave_out_the_padding():
    record = rollout(50, 0)
    record.features[..., 4] = 3.0
    rows = record.features.reshape(100, INPUTS)
    centre, scale = Batches([record]).statistics()
    np.testing.assert_allclose(centre, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(scale, [*rows[:, :4].std(0, ddof=1), 1.0], rtol=1e-5)


def test_damaged_rollouts_are_made_again(tmp_path):
    watched = {
        "skip_absent": TrackerParts(Recorder(SkipAbsent())),
        "learner": TrackerParts(LearnedWriteGate("untrained").initial_rule()),
    }
    videos = RolloutVideos(network(), watched, Procedural("train", "calm", length=9), range(2), tmp_path)
    first, second = videos[0], videos[1]
    assert first.features.shape == second.features.shape == (2, 8, len(FEATURES))
    assert first.iou.shape == (2, 8) and first.visible.shape == (8,)
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:-40])
    assert np.array_equal(videos[0].features, first.features) and len(list(tmp_path.rglob("*"))) == 3


def train(folder, epochs: int, resume: bool = False) -> tuple[dict, pl.Trainer]:
    pl.seed_everything(5)
    net = network()
    data = Procedural("train", "hard", length=30)
    policy = LearnedWriteGate("untrained")
    module = WriteGateTraining(policy, net, Procedural("val", "hard", length=6, limit=1))
    rollouts = WriteGateRounds(
        net, {"skip": TrackerParts(Recorder(SkipAbsent()))}, data, videos=2, held_out=1, workers=0,
        cache=str(folder / "cache"),
    )  # fmt: skip
    last = folder / "last.ckpt"
    trainer = pl.Trainer(
        max_epochs=2, limit_train_batches=2, reload_dataloaders_every_n_epochs=1, num_sanity_val_steps=0,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accelerator="cpu", callbacks=[StopAfter(epochs)],
    )  # fmt: skip
    trainer.fit(module, rollouts, ckpt_path=str(last) if resume else None, weights_only=True)
    trainer.save_checkpoint(last)
    return {name: value.clone() for name, value in policy.classifier.state_dict().items()}, trainer


@pytest.mark.filterwarnings("ignore")
def test_training_repeats_and_resumes_exactly(tmp_path):
    whole, trainer = train(tmp_path / "whole", 2)
    assert trainer.global_step == 4 and 0 <= trainer.callback_metrics["val/J"] <= 1
    assert whole["centre"].abs().sum() > 0 and len(whole["centre"]) == len(FEATURES)
    train(tmp_path / "parts", 1)
    resumed, trainer = train(tmp_path / "parts", 2, resume=True)
    assert trainer.global_step == 4
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
