"""Training of estimators: records, examples, objectives, and trainings that repeat and resume exactly."""

from dataclasses import fields
from math import log

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from framework.data.procedural.dataset import Procedural
from framework.errors import InputError
from framework.learning.checkpoints import write_best
from framework.learning.supervised.examples import ExampleBatches, HypothesisExamples
from framework.learning.supervised.objectives import JudgeObjective, WriteGateObjective, judge_loss
from framework.learning.supervised.records import TrackedVideos, TrackerParts
from framework.learning.supervised.rounds import TrackedRounds
from framework.learning.supervised.training import EstimatorTraining
from framework.networks.micro import network
from framework.ops.features.relative import FEATURES
from framework.tracker import advance
from framework.types import Frame
from motion.learned_judge import LearnedJudge
from policies.learned_write_gate import LearnedWriteGate
from policies.sam2 import Sam2
from policies.skip_absent import SkipAbsent
from tests.power import StopAfter


def examples(iou, choice, shown=None, visible=None):
    """Of one feature, which is the IoU."""
    values, every = torch.tensor(iou), [True] * len(choice)
    flags = (torch.tensor(every if flag is None else flag) for flag in (shown, visible))
    return HypothesisExamples(values[..., None], values, torch.tensor(choice, dtype=torch.long), *flags)


class Echo(torch.nn.Module):
    """Its logit is the first feature less a half, ten times."""

    def forward(self, rows):
        return 10 * (rows[..., 0] - 0.5)


def recorded(tmp_path, trackers, length=20):
    return TrackedVideos(network(), trackers, Procedural("train", "hard", length=length), range(2), tmp_path)


def test_features_of_a_record_are_those_that_were_decided_by(tmp_path):
    parts = TrackerParts(LearnedWriteGate("untrained", threshold=None), LearnedJudge())
    videos = recorded(tmp_path, {"pair": parts})
    video, tracker = videos.data.sequence(0), parts.on(network())
    states, rows, choices = {"": tracker.init()}, [], []
    with torch.no_grad():
        for t in range(video.length):
            features = tracker.network.encode(video.frame(t), t, video.length)
            states, results = advance(
                {"": tracker}, states, features, Frame(features.image, video.prompts().get(t, {}))
            )
            relative = states[""].objects[1][0].motion.relative
            if t and relative is not None:
                rows.append(relative.rows)
                choices.append(results[""].tracks[1].choice)
    found = HypothesisExamples.of(videos[0])
    np.testing.assert_array_equal(found.rows.numpy(), np.array(rows))
    assert found.choice.tolist() == choices and found.rows.shape[1:] == (3, len(FEATURES))
    assert ((found.iou >= 0) & (found.iou <= 1)).all() and found.iou.amax() > 0.5


def test_damaged_records_are_made_again(tmp_path):
    videos = recorded(tmp_path, {"sam2": TrackerParts(Sam2()), "skip": TrackerParts(SkipAbsent())}, length=9)
    first, _ = videos[0], videos[1]
    assert first.choice.shape == (9, 2) and first.prompted.sum() == 2 and len(first.masks) == len(first.iou) == 2 + 48
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:-40])
    again = videos[0]
    for field in fields(first):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(first, field.name))
    assert len(list(tmp_path.rglob("*"))) == 3


def test_what_a_round_records_does_not_depend_on_what_is_ignored_or_the_seed(tmp_path):
    torch.manual_seed(1)
    folders = []
    for ignored in ([], ["colour"]):
        module = EstimatorTraining(
            LearnedWriteGate("untrained"), LearnedJudge("untrained"), network(), Procedural("val"),
            JudgeObjective(), WriteGateObjective(), ignored=ignored,
        )  # fmt: skip
        folders.append(recorded(tmp_path, {"learner": module.rollout(first=True)}).folder)
    assert folders[0] == folders[1] != recorded(tmp_path, {"learner": module.rollout(first=False)}).folder


def test_examples_without_a_choice_are_left_out_of_a_whole():
    kinds = torch.long, torch.bool, torch.bool
    none = HypothesisExamples(torch.empty(0, 0, 50), torch.empty(0, 0), *(torch.empty(0, dtype=kind) for kind in kinds))
    joined = HypothesisExamples.join([none, examples([[0.1, 0.2, 0.3]], [0]), examples([[0.4, 0.5, 0.6]], [2])])
    assert joined.choice.tolist() == [0, 2]
    assert joined.iou.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert len(HypothesisExamples.join([none, none])) == 0


def test_batches_repeat_for_equal_seed_and_step():
    values = torch.arange(30.0).reshape(10, 3) / 30
    known = examples(values.tolist(), list(range(10)))
    first, again, later = (next(iter(ExampleBatches(known, 6, seed=1, step=step))) for step in (4, 4, 5))
    assert torch.equal(first.choice, again.choice) and not torch.equal(first.choice, later.choice)
    assert torch.equal(first.iou, values[first.choice]) and len(first) == 6


def test_the_loss_is_the_quality_of_each_and_the_order_of_those_that_differ():
    """Logits of .5 cost ln 2 each, and ln 3 the order of three, weighted by how far the best is from the worst."""
    iou = torch.tensor([[0.8, 0.2, 0.2], [0.5, 0.5, 0.5]])
    undecided = judge_loss(torch.zeros(2, 3), iou)
    assert undecided["quality"].item() == pytest.approx(log(2))
    assert undecided["order"].item() == pytest.approx(0.6 * log(3) / 2)


def test_the_loss_asks_for_the_better_hypothesis_where_there_is_one():
    iou = torch.tensor([[0.9, 0.1, 0.1]])
    right, wrong = (judge_loss(torch.tensor([logits]), iou) for logits in ([2.0, -2.0, -2.0], [-2.0, 2.0, -2.0]))
    assert right["order"] < 0.1 < wrong["order"] and right["quality"] < wrong["quality"]
    assert judge_loss(torch.tensor([[2.0, -2.0, 0.0]]), torch.full((1, 3), 0.5))["order"] == 0


def test_each_part_learns_from_what_concerns_it():
    """The judge from frames that show the object, the gate from chosen masks that are not empty."""
    known = examples(
        [[0.9, 0.2, 0.1], [0.0, 0.0, 0.0], [0.6, 0.7, 0.8]],
        [1, 0, 2],
        shown=[True, True, False],
        visible=[True, False, True],
    )
    judge, gate = JudgeObjective(order=0.0), WriteGateObjective()
    assert judge.counted(known).tolist() == [True, False, True] and gate.counted(known).tolist() == [True, True, False]
    _, numbers = judge.losses(Echo(), known[judge.counted(known)])
    assert numbers["chosen"] == numbers["best"] == pytest.approx(0.85)
    loss, numbers = gate.losses(Echo(), known[gate.counted(known)])
    logits = torch.tensor([-3.0, -5.0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor([0.2, 0.0]))
    assert loss.item() == pytest.approx(expected.item()) and numbers["accuracy"] == 1.0


def test_what_cannot_learn_is_refused():
    data = Procedural("val", "hard", length=6, limit=1)
    with pytest.raises(InputError, match="SkipAbsent has no estimator: learner=write_gate trains"):
        EstimatorTraining(SkipAbsent(), LearnedJudge(), network(), data, write_gate=WriteGateObjective())
    with pytest.raises(InputError, match="nothing learns: give"):
        EstimatorTraining(SkipAbsent(), LearnedJudge(), network(), data)


def train(folder, epochs, resume=False, length=12, **objectives):
    pl.seed_everything(5)
    net, policy, motion = network(), LearnedWriteGate("untrained"), LearnedJudge("untrained", weight=0.5)
    module = EstimatorTraining(policy, motion, net, Procedural("val", "hard", length=6, limit=1), **objectives)
    rounds = TrackedRounds(
        net, Procedural("train", "hard", length=length), {"skip": TrackerParts(SkipAbsent())}, videos=2, held_out=1,
        frames=4, workers=0, cache=str(folder / "cache"),
    )  # fmt: skip
    trainer = pl.Trainer(
        max_epochs=2, limit_train_batches=2, reload_dataloaders_every_n_epochs=1, num_sanity_val_steps=0,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accelerator="cpu", callbacks=[StopAfter(epochs)],
    )  # fmt: skip
    last = folder / "last.ckpt"
    trainer.fit(module, rounds, ckpt_path=str(last) if resume else None, weights_only=True)
    trainer.save_checkpoint(last)
    return {name: value.clone() for name, value in module.estimators.state_dict().items()}, trainer, module


@pytest.mark.filterwarnings("ignore")
def test_a_training_of_both_repeats_resumes_exactly_and_writes_one_file_for_both(tmp_path):
    both = {"judge": JudgeObjective(), "write_gate": WriteGateObjective()}
    whole, trainer, module = train(tmp_path / "whole", 2, **both)
    assert trainer.global_step == 4 and 0 <= trainer.callback_metrics["val/J"] <= 1
    assert trainer.callback_metrics["val/judge_chosen"] <= trainer.callback_metrics["val/judge_best"]
    assert {f"val/{name}" for name in module.definitions} == {
        name for name in trainer.callback_metrics if name.startswith("val/")
    }
    assert whole["judge.centre"].abs().sum() > 0 and torch.equal(whole["judge.scale"], whole["write_gate.scale"])
    train(tmp_path / "parts", 1, **both)
    resumed, trainer, _ = train(tmp_path / "parts", 2, resume=True, **both)
    assert trainer.global_step == 4
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    write_best(module, "", tmp_path / "both.pt")
    gate, judge = LearnedWriteGate(str(tmp_path / "both.pt")), LearnedJudge(str(tmp_path / "both.pt"))
    assert torch.equal(gate.estimator.layers[0].weight, whole["write_gate.layers.0.weight"])
    assert torch.equal(judge.estimator.layers[0].weight, whole["judge.layers.0.weight"])
    assert not torch.equal(gate.estimator.layers[0].weight, judge.estimator.layers[0].weight)


@pytest.mark.filterwarnings("ignore")
def test_videos_without_any_choice_are_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to choose on 1 videos: give more"):
        train(tmp_path, 1, length=1, judge=JudgeObjective())
