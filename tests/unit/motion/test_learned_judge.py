"""The learned judge of hypotheses: what it says."""

import copy

import pytest
import torch

from framework.data.procedural.dataset import Procedural
from framework.defaults import NoMotion
from framework.learning.checkpoints import write_best
from framework.learning.supervised.objectives import JudgeObjective
from framework.learning.supervised.training import EstimatorTraining
from framework.networks.micro import network
from framework.ops.features.estimator import IouEstimator
from framework.ops.features.relative import FEATURES
from motion.learned_judge import LearnedJudge
from policies.skip_absent import SkipAbsent
from tests.fakes.frames import HERE, THERE, candidates, features, outcome


def test_the_judge_overrules_the_network_by_its_weight():
    judges = {weight: LearnedJudge("untrained", weight) for weight in (0.001, 1.0)}
    place = FEATURES.index("look_prompt")
    for judge in judges.values():
        judge.estimator = IouEstimator(width=len(FEATURES))
        for name, parameter in judge.estimator.named_parameters():
            parameter.data = (
                torch.eye(len(FEATURES)) * 9 if name in ("layers.0.weight", "layers.3.weight") else parameter.data * 0
            )
        judge.estimator.layers[6].weight.data[0, place] = 1.0
        judge.eval()
    found = candidates(THERE, HERE, None)
    for weight, best in ((0.001, 0), (1.0, 1)):
        model = judges[weight]
        state = model.update(model.init(), features(0), outcome(0, candidates(HERE)))
        state, cue = model.score(state, features(1), found)
        fused = cue.fuse(tuple(found.iou[0].tolist()))
        assert fused.index(max(fused)) == best and len(state.relative.rows) == 3
    state, cue = model.score(state, features(2), candidates(None, None, None))
    assert cue is None and state.relative is None


def test_a_corrected_frame_is_where_it_begins_anew():
    model = LearnedJudge("untrained")
    state = model.update(model.init(), features(0), outcome(0, candidates(HERE)))
    state, _ = model.score(state, features(1), candidates(THERE, HERE, None))
    state = model.update(state, features(1), outcome(1, candidates(THERE), prompted=False))
    assert state.target.prompt is not None and state.target.prompt.box == (12.0, 12.0, 15.0, 15.0)
    assert len(state.target.tracklets) == 1 and state.target.before is None


def test_without_weight_the_network_chooses():
    model = LearnedJudge("untrained", weight=0.0)
    state = model.update(model.init(), features(0), outcome(0, candidates(HERE)))
    state, cue = model.score(state, features(1), candidates(THERE, HERE, None))
    assert cue is None and len(state.relative.rows) == 3
    assert isinstance(model.initial_rule(), NoMotion)


def test_what_is_judged_is_what_was_trained_and_never_stale():
    torch.manual_seed(3)
    judge, rows = IouEstimator().eval(), (3 * torch.randn(3, len(FEATURES))).numpy()
    for _ in range(2):
        expected = judge(torch.from_numpy(rows)).sigmoid().tolist()
        assert judge.estimate(rows) == pytest.approx(expected, abs=1e-6)
        torch.optim.SGD(judge.parameters(), lr=0.1).zero_grad()
        judge(torch.from_numpy(rows)).sum().backward()
        torch.optim.SGD(judge.parameters(), lr=0.1).step()
        judge.centre += 0.5
        judge.used = (torch.arange(len(FEATURES)) % 3 > 0).float()
        judge.layers[0].weight.data = judge.layers[0].weight.data * 1.5
        assert judge.estimate(rows) != pytest.approx(expected, abs=1e-3)
    again = copy.deepcopy(judge)
    judge.layers[6].bias.data.zero_()
    assert again.estimate(rows) == pytest.approx(again(torch.from_numpy(rows)).sigmoid().tolist(), abs=1e-6)


def test_a_group_left_out_counts_for_nothing():
    model = LearnedJudge("untrained")
    model.estimator.ignore(["look"])
    rows = torch.randn(3, len(FEATURES))
    before = model.estimator(rows)
    for name in ("look_prompt", "look_mean", "look_prompt_related"):
        rows[:, FEATURES.index(name)] += 5
    assert torch.equal(model.estimator(rows), before)


def test_a_checkpoint_of_other_inputs_is_refused(tmp_path):
    model = LearnedJudge("untrained")
    training = EstimatorTraining(SkipAbsent(), model, network(), Procedural(), judge=JudgeObjective())
    write_best(training, "", tmp_path / "good.pt")
    assert torch.equal(
        LearnedJudge(str(tmp_path / "good.pt")).estimator.layers[0].weight, model.estimator.layers[0].weight
    )
    torch.save({**model.checkpoint(), "inputs": ["taste", *FEATURES[1:]]}, tmp_path / "other.pt")
    torch.save({**model.checkpoint(), "version": 2}, tmp_path / "later.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name, reason in (
        ("other", "differs in iou, taste"),
        ("later", "differs in version 2, not 1"),
        ("text", "not hold weights"),
        ("none", "not exist"),
    ):
        with pytest.raises(ValueError, match=f"{name}.pt.*{reason}.*train"):
            LearnedJudge(str(tmp_path / f"{name}.pt"))
