"""A weight on the prompts, for any policy."""

import pytest
import torch

from framework.diagnostics.synthetic import Video, live
from framework.types import Query
from policies.learned_write_gate import LearnedWriteGate
from policies.oracle_gate import OracleGate
from policies.prompt_bias import PromptBias
from policies.rmem import RMem
from policies.sam2 import Sam2
from policies.skip_absent import SkipAbsent


@pytest.mark.parametrize(
    "weighted", [PromptBias(Sam2(), -1.0), LearnedWriteGate(prompt_bias=-1.0)], ids=["any", "learned"]
)
def test_prompts_alone_are_weighted(weighted):
    *_, step = live(weighted, Video(1, 40))
    items = (*step.read.spatial, *step.read.pointers)
    assert {entry.frame for entry, _ in items if entry.scores.prompted} == {0}
    assert step.read.bias.tolist() == [-1.0 if entry.scores.prompted else 0.0 for entry, _ in items]


def test_no_bias_is_the_policy_itself():
    policy = SkipAbsent()
    *_, step = live(policy, Video(2, 30))
    query = Query(30, torch.zeros(1, 1, 1), None)
    read, wrapped = policy.read(step.state, query), PromptBias(policy, 0.0).read(step.state, query)
    assert len(read.spatial) > 2 and wrapped.bias is None
    assert (wrapped.spatial, wrapped.pointers) == (read.spatial, read.pointers)


def test_it_adds_to_a_bias_that_is_there():
    *_, step = live(PromptBias(PromptBias(Sam2(), -1.0), -0.5), Video(1, 20))
    assert step.read.bias.min() == -1.5 and torch.count_nonzero(step.read.bias) == 2


def test_what_the_policy_asks_for_is_asked_for():
    assert PromptBias(OracleGate()).privileged and not PromptBias(OracleGate()).measures
    assert PromptBias(RMem()).measures and not PromptBias(Sam2()).measures
