"""Training of the judge: what it learns from, and trainings that repeat and resume exactly."""

from math import log

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from framework.data.procedural.dataset import Procedural
from framework.errors import InputError
from framework.learning.supervised.judge import HypothesisRecord, JudgeBatches, JudgeRounds, JudgeTraining, judge_loss
from framework.networks.micro import network
from motion.features.relative import FEATURES
from motion.learned_judge import LearnedJudge
from policies.skip_absent import SkipAbsent
from tests.power import StopAfter


def untrained(tmp_path):
    return JudgeRounds(network("random"), {"skip": SkipAbsent()}, Procedural("train", "calm"), cache=str(tmp_path))


def record(*rows):
    values = np.array(rows, np.float32).reshape(len(rows), 3, 1)
    return HypothesisRecord(values, values[..., 0] / 10)


def test_records_without_a_choice_are_left_out_of_a_batch(tmp_path):
    rows, iou = untrained(tmp_path).validation_batch([record(), record((1, 2, 3)), record((4, 5, 6), (7, 8, 9))])
    assert rows.flatten(1).tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    torch.testing.assert_close(iou, rows[..., 0] / 10)


def test_videos_without_any_choice_are_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to choose on 2 videos: give more"):
        untrained(tmp_path).validation_batch([record(), record()])


def test_the_loss_is_the_quality_of_each_and_the_order_of_those_that_differ():
    """Logits of .5 cost ln 2 each, and ln 3 the order of three, weighted by how far the best is from the worst."""
    iou = torch.tensor([[0.8, 0.2, 0.2], [0.5, 0.5, 0.5]])
    undecided = judge_loss(torch.zeros(2, 3), iou)
    assert undecided["quality"].item() == pytest.approx(log(2)) and undecided["order"].item() == pytest.approx(
        0.6 * log(3) / 2
    )


def test_the_loss_asks_for_the_better_hypothesis_where_there_is_one():
    iou = torch.tensor([[0.9, 0.1, 0.1]])
    right, wrong = (judge_loss(torch.tensor([logits]), iou) for logits in ([2.0, -2.0, -2.0], [-2.0, 2.0, -2.0]))
    assert right["order"] < 0.1 < wrong["order"] and right["quality"] < wrong["quality"]
    assert judge_loss(torch.tensor([[2.0, -2.0, 0.0]]), torch.full((1, 3), 0.5))["order"] == 0


def test_batches_repeat_for_equal_seed_and_step():
    rows, iou = torch.arange(30.0).reshape(10, 3, 1), torch.rand(10, 3)
    first, again, later = (next(iter(JudgeBatches(rows, iou, 6, seed=1, step=step))) for step in (4, 4, 5))
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], later[0])
    index = (first[0][:, 0, 0] / 3).long()
    assert torch.equal(first[1], iou[index])


def train(folder, epochs, resume=False):
    pl.seed_everything(5)
    net, model = network(), LearnedJudge("untrained", weight=0.5)
    module = JudgeTraining(model, SkipAbsent(), net, Procedural("val", "hard", length=6, limit=1))
    data = Procedural("train", "hard", length=12)
    cache = str(folder / "cache")
    rounds = JudgeRounds(net, {"skip": SkipAbsent()}, data, videos=2, held_out=1, frames=4, workers=0, cache=cache)
    trainer = pl.Trainer(
        max_epochs=2, limit_train_batches=2, reload_dataloaders_every_n_epochs=1, num_sanity_val_steps=0,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accelerator="cpu", callbacks=[StopAfter(epochs)],
    )  # fmt: skip
    last = folder / "last.ckpt"
    trainer.fit(module, rounds, ckpt_path=str(last) if resume else None, weights_only=True)
    trainer.save_checkpoint(last)
    return {name: value.clone() for name, value in model.judge.state_dict().items()}, trainer, rounds


@pytest.mark.filterwarnings("ignore")
def test_training_repeats_and_resumes_exactly(tmp_path):
    whole, trainer, rounds = train(tmp_path / "whole", 2)
    assert trainer.global_step == 4 and 0 <= trainer.callback_metrics["val/J"] <= 1
    assert trainer.callback_metrics["val/chosen"] <= trainer.callback_metrics["val/best"]
    (first,), second = rounds.rounds
    assert len(second) == 2 and first.rows.shape[1:] == (3, len(FEATURES)) == second[0].rows.shape[1:]
    assert rounds._motion.judge.training and not rounds._motion.frozen_copy().judge.training
    assert np.isfinite(first.rows).all() and ((first.iou >= 0) & (first.iou <= 1)).all()
    train(tmp_path / "parts", 1)
    resumed, trainer, _ = train(tmp_path / "parts", 2, resume=True)
    assert trainer.global_step == 4
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
