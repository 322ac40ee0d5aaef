"""The learned judge of hypotheses: what it sees, how it is trained, runs that repeat and resume exactly."""

import copy

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F

from framework.data.procedural import Procedural
from framework.learning.choice import ChoiceLearning, ChoiceLessons, ChoiceRounds, choice_loss
from framework.learning.folder import write_best
from framework.networks.micro import network
from framework.types import Candidates, Features, Outcome, Query, Scores
from motion.learned import Judge, Learned
from motion.traits import FEATURES, Known, observe
from policies.skip_absent import SkipAbsent

GRID, HERE, THERE = 16, (0, 0, 4, 4), (12, 12, 16, 16)


def candidates(*boxes, iou=(0.9, 0.4, 0.3)):
    """Hypotheses that are these boxes (x0, y0, x1, y1); None is an empty mask."""
    logits = torch.full((1, len(boxes), GRID, GRID), -8.0)
    for index, box in enumerate(boxes):
        if box is not None:
            x0, y0, x1, y1 = box
            logits[0, index, y0:y1, x0:x1] = 8.0
    pointers = torch.eye(4)[None, : len(boxes)]
    return Candidates(logits, torch.tensor([iou[: len(boxes)]]), pointers, torch.tensor([5.0]))


def embedding():
    """One look at the top left, another one at the bottom right."""
    look = torch.zeros(2, 4, 4)
    look[0, 0, 0], look[1, 3, 3] = 1.0, 1.0
    return look


def features(frame):
    return Features(Query(frame, embedding(), None), torch.zeros(3, GRID, GRID), None)


def outcome(frame, found, choice=0):
    area = int((found.logits[0, choice] > 0).sum())
    scores = Scores(float(found.iou[0, choice]), 5.0, None, area, prompted=frame == 0)
    return Outcome(frame, found, choice, None, scores, (GRID, GRID))


def seen(*boxes):
    found = candidates(*boxes)
    return observe(found.logits[0], found.pointers[0], embedding()), found


def only(box):
    """What the one mask of a frame shows."""
    return seen(box)[0].one(0)


def named(row):
    return dict(zip(FEATURES, row, strict=True))


def test_traits_are_what_the_masks_say():
    known = Known.begin(only(HERE))
    shown, found = seen(HERE, THERE, None)
    same, other, empty = (named(row) for row in known.compare(shown, found))
    assert same["iou"] == pytest.approx(0.9) and same["iou_related"] == pytest.approx(0.5)
    assert same["area_prompt"] == same["jump"] == 0.0 and same["mask_last"] == same["box_last"] == 1.0
    assert same["look_prompt"] == pytest.approx(1.0) and other["look_prompt"] < 0 == empty["look_prompt"]
    assert same["look_prompt_related"] == pytest.approx(1.0) and other["look_prompt_related"] < -1
    assert same["pointer_prompt"] == 1.0 and other["pointer_prompt"] == 0.0
    assert other["jump"] == 4.0 and other["mask_last"] == 0.0 and other["agreed"] == 0.0
    assert [named(row)["second"] for row in known.compare(shown, found)] == [0.0, 1.0, 0.0]


def plain(logits, embedding):
    """Mean feature under each mask less that of the image, of unit length, token by token."""
    (down, across), (height, width) = embedding.shape[1:], logits.shape[1:]
    rows, columns = torch.arange(height) * down // height, torch.arange(width) * across // width
    spread = embedding[:, rows][:, :, columns] - embedding.mean((1, 2), keepdim=True)
    return F.normalize(torch.einsum("mhw,chw->mc", (logits > 0).float(), spread), dim=1)


def test_looks_are_seen_no_finer_than_by_the_embedded_network():
    made = torch.Generator().manual_seed(0)
    fine = torch.randn(5, 64, 96, generator=made)
    logits, pointers = torch.randn(3, 128, 192, generator=made), torch.randn(3, 4, generator=made)
    halved = F.avg_pool2d(fine, 8)
    assert halved.shape == (5, 8, 12)
    looks = observe(logits, pointers, fine).looks
    np.testing.assert_allclose(looks, observe(logits, pointers, halved).looks, atol=1e-6)
    odd = fine[:, :63]
    np.testing.assert_allclose(observe(logits, pointers, odd).looks, plain(logits, odd), atol=1e-5)


def test_a_steady_object_is_expected_where_it_moves_to():
    known = Known.begin(only((0, 0, 4, 4)))
    for left in (2, 4):
        known = known.after(only((left, 0, left + 4, 4)))
    row = named(known.compare(*seen((6, 0, 10, 4)))[0])
    assert row["surprise"] == 0.0 < row["jump"] and row["box_predicted"] == 1.0 > row["box_last"]
    lost = known.after(only(None)).after(only(None))
    assert lost.away == 2 and lost.newest is known.newest
    assert named(lost.compare(*seen((6, 0, 10, 4)))[0])["surprise"] == pytest.approx(row["jump"])


def test_the_judge_overrules_the_network_by_its_weight():
    judges = {weight: Learned("untrained", weight) for weight in (0.0, 1.0)}
    place = FEATURES.index("look_prompt")
    for judge in judges.values():
        judge.judge = Judge(width=len(FEATURES))
        for name, parameter in judge.judge.named_parameters():
            parameter.data = (
                torch.eye(len(FEATURES)) * 9 if name in ("layers.0.weight", "layers.3.weight") else parameter.data * 0
            )
        judge.judge.layers[6].weight.data[0, place] = 1.0
        judge.eval()
    found = candidates(THERE, HERE, None)
    for weight, best in ((0.0, 0), (1.0, 1)):
        model = judges[weight]
        state = model.update(model.init(), features(0), outcome(0, candidates(HERE)))
        state, cue = model.score(state, features(1), found)
        fused = cue.fuse(tuple(found.iou[0].tolist()))
        assert fused.index(max(fused)) == best and len(model.rows(state)) == 3
    state, cue = model.score(state, features(2), candidates(None, None, None))
    assert cue is None and model.rows(state) == ()


def test_what_is_judged_is_what_was_trained_and_never_stale():
    torch.manual_seed(3)
    judge, rows = Judge().eval(), [tuple(row) for row in (3 * torch.randn(3, len(FEATURES))).tolist()]
    for _ in range(2):
        expected = judge(torch.tensor(rows)).sigmoid().tolist()
        assert judge.expect(rows) == pytest.approx(expected, abs=1e-6)
        torch.optim.SGD(judge.parameters(), lr=0.1).zero_grad()
        judge(torch.tensor(rows)).sum().backward()
        torch.optim.SGD(judge.parameters(), lr=0.1).step()
        judge.centre += 0.5
        judge.used = (torch.arange(len(FEATURES)) % 3 > 0).float()
        judge.layers[0].weight.data = judge.layers[0].weight.data * 1.5
        assert judge.expect(rows) != pytest.approx(expected, abs=1e-3)
    again = copy.deepcopy(judge)
    judge.layers[6].bias.data.zero_()
    assert again.expect(rows) == pytest.approx(again(torch.tensor(rows)).sigmoid().tolist(), abs=1e-6)


def test_the_loss_asks_for_the_better_hypothesis_where_there_is_one():
    iou = torch.tensor([[0.9, 0.1, 0.1]])
    right, wrong = (choice_loss(torch.tensor([logits]), iou) for logits in ([2.0, -2.0, -2.0], [-2.0, 2.0, -2.0]))
    assert right["order"] < 0.1 < wrong["order"] and right["quality"] < wrong["quality"]
    assert choice_loss(torch.tensor([[2.0, -2.0, 0.0]]), torch.full((1, 3), 0.5))["order"] == 0


def test_lessons_repeat_for_equal_seed_and_step():
    rows, iou = torch.arange(30.0).reshape(10, 3, 1), torch.rand(10, 3)
    first, again, later = (next(iter(ChoiceLessons(rows, iou, 6, seed=1, step=step))) for step in (4, 4, 5))
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], later[0])
    index = (first[0][:, 0, 0] / 3).long()
    assert torch.equal(first[1], iou[index])


def test_a_group_left_out_counts_for_nothing():
    model = Learned("untrained")
    model.ignore(["look"])
    rows = torch.randn(3, len(FEATURES))
    before = model.judge(rows)
    for name in ("look_prompt", "look_mean", "look_prompt_related"):
        rows[:, FEATURES.index(name)] += 5
    assert torch.equal(model.judge(rows), before)
    with pytest.raises(ValueError, match=r"colour.*look"):
        model.ignore(["colour"])


def test_a_checkpoint_of_other_inputs_is_refused(tmp_path):
    model = Learned("untrained")
    write_best(ChoiceLearning(model, SkipAbsent(), network(), Procedural()), "", tmp_path / "good.pt")
    assert torch.equal(Learned(str(tmp_path / "good.pt")).judge.layers[0].weight, model.judge.layers[0].weight)
    torch.save({**model.checkpoint(), "inputs": ["colour", *FEATURES[1:]]}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name, reason in (("other", "differs in colour, iou"), ("text", "not hold weights"), ("none", "not exist")):
        with pytest.raises(ValueError, match=f"{name}.pt.*{reason}.*train"):
            Learned(str(tmp_path / f"{name}.pt"))


class StopAfter(pl.Callback):
    """Ends a run early, as if it had been killed between two epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


def train(folder, epochs, resume=False):
    pl.seed_everything(5)
    net, model = network(), Learned("untrained", weight=0.5)
    module = ChoiceLearning(model, SkipAbsent(), net, Procedural("val", "hard", length=6, limit=1))
    data = Procedural("train", "hard", length=12)
    cache = str(folder / "cache")
    rounds = ChoiceRounds(net, {"skip": SkipAbsent()}, data, videos=2, held_out=1, frames=4, workers=0, cache=cache)
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
    assert rounds._motion.judge.training and not rounds._motion.settled().judge.training
    assert np.isfinite(first.rows).all() and ((first.iou >= 0) & (first.iou <= 1)).all()
    train(tmp_path / "parts", 1)
    resumed, trainer, _ = train(tmp_path / "parts", 2, resume=True)
    assert trainer.global_step == 4
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
