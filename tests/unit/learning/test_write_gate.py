"""Training of the keep policy: lessons, losses, and runs that repeat and resume exactly."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from framework.data.procedural.dataset import Procedural
from framework.errors import InputError
from framework.learning.supervised.batches import ABSENT, RIGHT, UNKNOWN, WRONG, Batches
from framework.learning.supervised.cached import TrackerParts
from framework.learning.supervised.rollouts import Rollout, RolloutVideos
from framework.learning.supervised.write_gate import WriteGateRounds, WriteGateTraining, ranking_loss
from framework.networks.micro import network
from policies.components.recorder import Recorder
from policies.learned_write_gate import INPUTS, LearnedWriteGate
from policies.skip_absent import SkipAbsent

FEATURES = 5


def rollout(frames: int, seed: int, decisions: int = 2) -> Rollout:
    random = np.random.default_rng(seed)
    iou = random.uniform(0, 1, (2, frames)).astype(np.float32)
    iou[1, 3] = np.nan
    return Rollout(
        evidence=random.normal(1, 2, (2, frames, FEATURES)).astype(np.float32),
        iou=iou,
        visible=np.arange(frames) != 2,
        candidates=random.normal(size=(decisions, 4, FEATURES + 2)).astype(np.float32),
        followed=random.uniform(size=(decisions, 4, 6)).astype(np.float32),
    )


def test_a_lesson_looks_back_no_further_than_its_own_video():
    first, second = rollout(8, 0), rollout(5, 1)
    lessons = Batches([first, second], FEATURES + 2, window=4)
    ends = torch.nonzero(lessons.there)[:, 0]
    lesson = lessons.at(ends, torch.arange(4))
    assert len(ends) == 2 * (8 + 5)
    assert lesson.present.sum(1)[:8].tolist() == [1, 2, 3, 4, 4, 4, 4, 4]
    np.testing.assert_array_equal(lesson.windows[7, :, :FEATURES], first.evidence[0, 4:8])
    np.testing.assert_array_equal(lesson.windows[16, -1, :FEATURES], second.evidence[0, 0])
    assert not lesson.windows[..., FEATURES:].any()
    verdicts = lesson.verdicts[:8].tolist()
    assert verdicts[2] == ABSENT and lesson.verdicts[8 + 3] == UNKNOWN
    assert [v == RIGHT for v in verdicts if v != ABSENT] == [q >= 0.7 for i, q in enumerate(first.iou[0]) if i != 2]
    assert set(verdicts) <= {RIGHT, WRONG, ABSENT}
    batches = [next(iter(Batches([first], FEATURES + 2, seed=3, step=7))) for _ in range(2)]
    assert torch.equal(batches[0].windows, batches[1].windows) and (batches[0].verdicts != UNKNOWN).all()


def test_statistics_leave_out_the_padding():
    lessons = Batches([rollout(50, 0, decisions=20)], FEATURES + 2)
    centre, scale = lessons.statistics()
    np.testing.assert_allclose(centre[:FEATURES], 1, atol=0.8)
    np.testing.assert_allclose(scale[:FEATURES], 2, atol=0.5)
    np.testing.assert_allclose(scale[FEATURES:], 1, atol=0.4)


def test_a_decision_is_worth_what_follows_up_to_the_horizon():
    known = rollout(8, 0, decisions=1)
    known.followed[0, 1, 1:] = np.nan  # the truth of one arm is known on one frame only
    near, far = (Batches([known], FEATURES + 2, horizon=horizon).quality for horizon in (2, 6))
    assert near is not None and far is not None
    weights = 0.97 ** np.arange(6)
    overlaps = known.followed[0]
    np.testing.assert_allclose(near[0, 0], (overlaps[0, :2] * weights[:2]).sum() / weights[:2].sum(), rtol=1e-6)
    np.testing.assert_allclose(far[0, 0], (overlaps[0] * weights).sum() / weights.sum(), rtol=1e-6)
    assert near[0, 1] == far[0, 1] == overlaps[1, 0]


def test_ranking_gives_up_what_is_missed_least():
    quality = torch.tensor([[0.9, 0.5, 0.51]])  # giving up the first one is best: it is worth least
    right, wrong = torch.tensor([[-3.0, 3.0, 3.0]]), torch.tensor([[3.0, -3.0, -3.0]])
    (low, order), (high, disorder) = (ranking_loss(worth, quality, tie=0.02) for worth in (right, wrong))
    assert low < 0.01 < 3 < high and order == 1 and disorder == 0
    tied, none = ranking_loss(right, torch.full((1, 3), 0.5), tie=0.02)
    assert tied == 0 and none.isnan()


def test_decisions_are_tried_on_every_nth_video(tmp_path):
    learner = TrackerParts(LearnedWriteGate("untrained", recent=1, long_tier=1, every=2, threshold=None).by_rule())
    watched, data = {"skip": TrackerParts(Recorder(SkipAbsent()))}, Procedural("train", "calm", length=9)
    videos = RolloutVideos(
        network(), watched, learner, data, range(2), decisions=1, ahead=2, branch_every=2, cache=tmp_path
    )
    tried, untried = videos[0], videos[1]
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:-40])  # damaged: made again, and equal
    assert np.array_equal(videos[0].evidence, tried.evidence) and len(list(tmp_path.rglob("*"))) == 3
    assert tried.followed.shape == (1, 2, 2) and len(untried.followed) == len(untried.candidates) == 0
    assert tried.evidence.shape == untried.evidence.shape == (2, 8, tried.evidence.shape[2])
    lessons = Batches([tried, untried], len(INPUTS))
    assert lessons.quality is not None and len(lessons.quality) == 1


def test_a_horizon_beyond_what_is_followed_is_refused():
    for wrong in ({"horizon": 65}, {"horizon": 0}, {"branch_every": 0}):
        with pytest.raises(InputError, match="1 <= horizon <= ahead"):
            WriteGateRounds(network(), {}, Procedural("train", "calm"), **wrong)


class StopAfter(pl.Callback):
    """Ends a run early, as if it had been killed between two epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


def train(folder, epochs: int, resume: bool = False) -> tuple[dict, pl.Trainer]:
    pl.seed_everything(5)
    net = network()
    data = Procedural("train", "hard", length=30)
    policy = LearnedWriteGate("untrained", long_tier=3)
    module = WriteGateTraining(policy, net, Procedural("val", "hard", length=6, limit=1))
    rollouts = WriteGateRounds(
        net, {"skip": TrackerParts(Recorder(SkipAbsent()))}, data, videos=2, held_out=1, decisions=1, ahead=2,
        horizon=2, workers=0, cache=str(folder / "cache"),
    )  # fmt: skip
    last = folder / "last.ckpt"
    trainer = pl.Trainer(
        max_epochs=2, limit_train_batches=2, reload_dataloaders_every_n_epochs=1, num_sanity_val_steps=0,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accelerator="cpu", callbacks=[StopAfter(epochs)],
    )  # fmt: skip
    trainer.fit(module, rollouts, ckpt_path=str(last) if resume else None, weights_only=True)
    trainer.save_checkpoint(last)
    return {name: value.clone() for name, value in policy.scorer.state_dict().items()}, trainer


@pytest.mark.filterwarnings("ignore")
def test_training_repeats_and_resumes_exactly(tmp_path):
    whole, trainer = train(tmp_path / "whole", 2)
    assert trainer.global_step == 4 and 0 <= trainer.callback_metrics["val/J"] <= 1
    assert whole["centre"].abs().sum() > 0 and len(whole["centre"]) == len(INPUTS)
    train(tmp_path / "parts", 1)
    resumed, trainer = train(tmp_path / "parts", 2, resume=True)
    assert trainer.global_step == 4
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
