"""The learned write gate: its decisions, its checkpoint."""

import math

import pytest
import torch

from framework.diagnostics.synthetic import Video, live
from framework.ops.features.hypotheses import describe
from framework.ops.features.relative import FEATURES, compare
from framework.types import Read
from motion.learned_judge import LearnedJudge
from policies.learned_write_gate import LearnedWriteGate
from policies.prompt_bias import PromptBias
from policies.skip_absent import SkipAbsent
from tests.fakes.frames import HERE, THERE, candidates, features, outcome, written


def test_the_initial_rule_remembers_what_is_seen():
    gate = LearnedWriteGate(slots=4, pointers=9, prompt_bias=-0.5)
    assert gate.initial_rule() == PromptBias(SkipAbsent(slots=4, pointers=9), -0.5)
    ours, theirs = (
        [[entry.frame for entry, _ in step.read.spatial] for step in live(policy, Video(1, 60, lost=20, found=50))]
        for policy in (LearnedWriteGate("untrained", threshold=None), LearnedWriteGate("untrained").initial_rule())
    )
    assert ours == theirs and ours[49] == [0, *range(14, 20)]


def test_a_remembered_frame_is_one_that_is_probably_right():
    """Weights of 0 but for a bias of log(3/2): an IoU of 3/5, whatever is seen."""
    for threshold, held in ((0.59, 16), (0.61, 1)):
        policy = LearnedWriteGate("untrained", threshold=threshold)
        policy.estimator.layers[-1].weight.data.zero_()
        policy.estimator.layers[-1].bias.data.fill_(math.log(1.5))
        *_, last = live(policy, Video(1, 30))
        assert len(policy.entries(last.state)) == held


def test_the_chosen_hypothesis_decides():
    """The gate goes by likeness to the prompt alone: of the object's mask and of a look-alike's."""
    policy = LearnedWriteGate("untrained")
    for name, parameter in policy.estimator.named_parameters():
        parameter.data.zero_()
        if name.endswith("weight"):
            parameter.data[0, FEATURES.index("look_prompt") if name == "layers.0.weight" else 0] = 9.0
    policy.estimator.layers[-1].bias.data.fill_(-1.0)
    begun = policy.write(policy.init(), *written(0, candidates(HERE)))
    found = candidates(HERE, THERE, None)
    for choice, (held, estimated) in enumerate([([0, 1], 1.0), ([0], 0.27)]):
        after = policy.write(begun, *written(1, found, choice))
        assert [entry.frame for entry in policy.entries(after)] == held
        reason = policy.explain(after, *written(1, found, choice))[-1]
        assert (reason.value, reason.threshold) == (pytest.approx(estimated, abs=0.01), 0.5)


def test_gate_and_judge_see_the_same():
    gate, judge = LearnedWriteGate("untrained"), LearnedJudge("untrained")
    memory, motion = gate.init(), judge.init()
    for t, boxes in enumerate([(HERE,), (HERE, THERE, None), (THERE, HERE, None), (None, None, None), (HERE, THERE)]):
        found = candidates(*boxes)
        if t:
            motion, _ = judge.score(motion, features(t), found)
        became = outcome(t, found)
        memory = gate.write(memory, written(t, found)[0], became)
        motion = judge.update(motion, features(t), became)
    now = describe(candidates(HERE, THERE, None), features(9))
    ours, theirs = (compare(target, now).rows for target in (memory.target, motion.target))
    assert ours.tolist() == theirs.tolist() and memory.target.away == motion.target.away == 0


def test_the_future_changes_no_decision():
    policy = LearnedWriteGate("untrained", threshold=0.3)

    def reads(video: Video) -> list[Read]:
        return [step.read for step in live(policy, video)]

    one, other = reads(Video(4, 30)), reads(Video(4, 60, lost=30))
    for a, b in zip(one, other[:30], strict=True):
        assert [(e.frame, slot) for e, slot in a.spatial] == [(e.frame, slot) for e, slot in b.spatial]


def test_a_checkpoint_comes_back_and_a_strange_one_is_refused(tmp_path):
    torch.manual_seed(2)
    policy, path = LearnedWriteGate("untrained"), tmp_path / "learned.pt"
    policy.estimator.ignore(["colour", "agreed"])
    torch.save(policy.checkpoint(), path)
    again = LearnedWriteGate(str(path))
    rows = torch.randn(4, len(FEATURES))
    torch.testing.assert_close(again.estimator(rows), policy.estimator(rows))
    assert int((again.estimator.used == 0).sum()) == 8
    torch.save({**policy.checkpoint(), "inputs": [*FEATURES[:-1], "mood"]}, path)
    with pytest.raises(ValueError, match=r"other inputs.*mood, third"):
        LearnedWriteGate(str(path))
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="not hold weights of learner=write_gate"):
        LearnedWriteGate(str(path))
    torch.save({"model": {}, "inputs": list(FEATURES)}, path)
    with pytest.raises(ValueError, match="not hold weights of learner=write_gate"):
        LearnedWriteGate(str(path))
    with pytest.raises(ValueError, match="does not exist"):
        LearnedWriteGate(str(tmp_path / "nowhere.pt"))
