"""The learned keep/evict policy: its evidence, its decisions, its checkpoint."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from framework.storage.identity import describe
from framework.types import Candidates, Entry, Outcome, Query, Read, Scores
from policies.components.recorder import Recorder
from policies.components.set_scorer import SetScorer
from policies.features.attention import ATTENTION, AttentionStats, attention_stats
from policies.features.frame import FEATURES, History
from policies.features.memory import MemoryFeatures, elements
from policies.learned_write_gate import INPUTS, LearnedWriteGate
from policies.oracle_gate import OracleGate
from policies.skip_absent import SkipAbsent
from tests.fakes.synthetic import Video, live

GRID = 16
TIERS = {"long_tier": 3}


def seen(frame: int, masks, iou=(0.9, 0.4, 0.3), presence=5.0, choice=0, embedding=None, prompted=False):
    """A frame whose hypotheses are these boxes (x0, y0, x1, y1) on a 16 x 16 grid."""
    logits = torch.full((1, len(masks), GRID, GRID), -8.0)
    for index, box in enumerate(masks):
        if box is not None:
            x0, y0, x1, y1 = box
            logits[0, index, y0:y1, x0:x1] = 8.0
    area = int((logits[0, choice] > 0).sum())
    scores = Scores(iou[choice], presence, None, area, prompted)
    candidates = Candidates(logits, torch.tensor([iou[: len(masks)]]), torch.ones(1, len(masks), 4), torch.ones(1))
    outcome = Outcome(frame, candidates, choice, None, scores, (64, 64), embedding=embedding)
    return Entry(frame, torch.ones(4), "memory", scores), outcome


def features(trail: History) -> dict[str, float]:
    assert trail.evidence is not None
    return dict(zip(FEATURES, trail.evidence, strict=True))


def test_evidence_is_what_the_masks_say():
    embedding = torch.zeros(2, 4, 4)
    embedding[0, 0, 0], embedding[1, 3, 3] = 1.0, 1.0  # the object's look at the top left, another one's bottom right
    here, there = (0, 0, 4, 4), (12, 12, 16, 16)
    trail = History().observe(*seen(0, [here], prompted=True, embedding=embedding))
    assert trail.evidence is None
    found = features(trail.observe(*seen(1, [here, there, None], embedding=embedding)))
    assert found["iou"] == pytest.approx(0.9) and found["margin"] == pytest.approx(-0.5)
    assert found["border"] == 1.0 and found["seen"] == 1.0 and found["away"] == 0.0
    assert found["area_prompt"] == 0.0 and found["jump"] == 0.0 and found["stability"] == 1.0
    assert found["rival"] == pytest.approx(0.4)  # as large as the mask, predicted IoU .4
    assert found["rival_box"] == pytest.approx(16 / 256)
    assert found["look_prompt"] == pytest.approx(1.0, abs=1e-3) and found["rival_look"] < -0.5
    drifted = features(trail.observe(*seen(1, [here, there, None], choice=1, embedding=embedding)))
    assert drifted["look_prompt"] < 0.5 < drifted["rival_look"]
    assert drifted["found_outside"] > drifted["found_inside"]
    assert drifted["jump"] == 4.0  # hypot(12, 12) / 4 is cut off there
    half = features(trail.observe(*seen(1, [(4, 4, 6, 6), None, None], embedding=embedding)))
    assert half["area_prompt"] == pytest.approx(math.log(1 / 4)) and half["border"] == 0.0


def test_an_absent_object_leaves_its_numbers_blank():
    trail = History().observe(*seen(0, [(2, 2, 6, 6)], prompted=True))
    trail = trail.observe(*seen(1, [None, None, None], presence=-5.0))
    trail = trail.observe(*seen(2, [None, None, None], presence=-5.0))
    found = features(trail)
    assert found["seen"] == 0.0 and found["seen_share"] == 0.0 and found["presence"] < 0
    assert found["away"] == pytest.approx(math.log(2))
    assert {found[name] for name in ("area_typical", "area_prompt", "jump", "surprise", "look_prompt")} == {0.0}


def test_a_set_is_judged_whatever_its_order_and_padding():
    torch.manual_seed(0)
    scorer, rows = SetScorer(5), torch.randn(4, 5)
    worth = scorer.rate(rows)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(scorer.rate(rows[order]), worth[order])
    padded = torch.cat([torch.full((3, 5), 9.0), rows])
    there = torch.arange(7) >= 3
    torch.testing.assert_close(scorer.judge(padded, there), scorer.judge(rows))
    scorer.used[2] = 0
    changed = rows.clone()
    changed[:, 2] += 5
    torch.testing.assert_close(scorer.rate(changed), scorer.rate(rows))


def test_a_set_on_the_host_is_judged_as_in_training_by_the_weights_of_the_moment():
    torch.manual_seed(4)
    scorer, rows = SetScorer(5), 3 * torch.randn(10, 5)
    for count in (1, 10):
        set_ = rows[:count]
        expected = scorer.judge(set_)
        torch.testing.assert_close(torch.from_numpy(scorer.verdict_on(set_.numpy())), expected, atol=1e-6, rtol=1e-6)
        expected.sum().backward()
        torch.optim.SGD(scorer.parameters(), lr=0.1).step()
        scorer.scale *= 1.5
        scorer.embed[0].weight.data = scorer.embed[0].weight.data * 2
        assert abs(scorer.verdict_on(set_.numpy()) - expected.detach().numpy()).max() > 1e-3
    again = copy.deepcopy(scorer)
    scorer.verdict[-1].bias.data.zero_()
    torch.testing.assert_close(torch.from_numpy(again.verdict_on(rows.numpy())), again.judge(rows))


def test_the_rule_keeps_what_is_seen_and_spaces_what_lasts():
    policy = LearnedWriteGate("untrained", **TIERS).by_rule()
    *_, last = live(policy, Video(1, 41))
    read = policy.read(last.state, Query(41, torch.zeros(8, 4, 4), None))
    assert [entry.frame for entry, _ in read.spatial] == [0, 25, 30, 35, 38, 39, 40]
    absent = list(live(policy, Video(1, 60, lost=20, found=50)))
    assert all(entry.frame < 20 for entry in policy.entries(absent[49].state))


def test_a_trusted_frame_is_one_the_first_head_believes():
    policy = LearnedWriteGate("untrained", threshold=0.5)
    with torch.no_grad():
        policy.scorer.verdict[-1].weight.zero_()
        policy.scorer.verdict[-1].bias.copy_(torch.tensor([0.0, 5.0, 0.0]))  # every mask is wrong
    *_, last = live(policy, Video(1, 30))
    assert [entry.frame for entry in policy.entries(last.state)] == [0]
    policy.scorer.verdict[-1].bias.data.copy_(torch.tensor([5.0, 0.0, 0.0]))
    *_, last = live(policy, Video(1, 30))
    assert len(policy.entries(last.state)) > 6


def test_the_rule_is_the_same_whatever_is_left_out():
    """So that an ablation learns from the same rollouts."""
    whole, part = LearnedWriteGate("untrained"), LearnedWriteGate("untrained")
    part.ignore(["rivals"])
    assert describe(part) != describe(whole) and describe(part.by_rule()) == describe(whole.by_rule())


def test_the_second_head_overrules_the_oldest_only_beyond_the_margin():
    torch.manual_seed(1)
    eager, careful = (LearnedWriteGate("untrained", threshold=None, margin=margin, **TIERS) for margin in (0.0, 1e9))
    careful.scorer = eager.scorer
    rule = eager.by_rule()
    video = Video(2, 80)

    def kept(policy):
        return [[kept.entry.frame for kept in step.state.lasting] for step in live(policy, video)]

    assert kept(careful) == kept(rule) != kept(eager)


def test_every_alternative_is_one_candidate_less_and_one_of_them_was_taken():
    policy = LearnedWriteGate("untrained", **TIERS)
    decisions = [step.state for step in live(policy.by_rule(), Video(3, 60)) if step.state.choice]
    assert len(decisions) >= 5
    for state in decisions:
        arms = policy.alternatives(state)
        assert len(arms) == len(state.choice) == policy.long_tier + 1 == len(policy.candidates(state))
        assert sum(arm.lasting == state.lasting for arm in arms) == 1
        assert all(set(map(id, arm.lasting)) < set(map(id, state.choice)) for arm in arms)
        rows = elements(state.choice, state.now)
        assert {len(row) for row in rows} == {len(INPUTS)} and rows[-1][-1] == 1.0 and rows[0][-1] == 0.0


def test_attention_is_told_by_whom_the_mask_reads():
    old, new = (Entry(frame, torch.ones(4), "memory", Scores(1.0, 5.0, None, 9, frame == 0)) for frame in (0, 3))
    attention = torch.zeros(4, GRID, GRID)
    attention[0, :4, :4], attention[1, :4, :4], attention[2, :4, :4] = 0.5, 0.2, 0.3  # under the mask
    attention[1, 4:], attention[1, :4, 4:] = 1.0, 1.0  # beside it
    _, outcome = seen(4, [(0, 0, 4, 4)])
    read = Read(((old, -1), (new, 0)), ((old, 4), (new, 1)))
    heed = attention_stats(replace(outcome, read=read, attention=attention))
    assert heed.of == pytest.approx({0: 0.8, 3: 0.2}, abs=0.01)
    assert heed.prompt == pytest.approx(0.8, abs=0.01) and heed.newest == pytest.approx(0.2, abs=0.01)
    assert heed.contrast == pytest.approx(0.8, abs=0.01)
    assert heed.focus == pytest.approx(1 + (0.8 * math.log(0.8) + 0.2 * math.log(0.2)) / math.log(2), abs=0.01)
    assert attention_stats(outcome) == AttentionStats() and len(heed.row) == len(ATTENTION)
    kept = MemoryFeatures(old, (), 1.0, np.ones(2)).heeded(heed).heeded(attention_stats(outcome))
    assert kept.heed == pytest.approx(0.8, abs=0.01) and kept.reads == 1


def test_a_policy_that_sees_attention_decides_by_it_and_tells_it(tmp_path):
    torch.manual_seed(3)
    policy, blind = (LearnedWriteGate("untrained", attention=attention, **TIERS) for attention in (True, False))
    assert policy.measures and not blind.measures
    decided = [step.state for step in live(policy.by_rule(), Video(3, 60)) if step.state.choice]
    candidates = [policy.candidates(state) for state in decided]
    assert {len(row) for rows in candidates for row in rows} == {len(policy.inputs)}
    assert all(rows[0][-1] > rows[-1][-1] > 0 for rows in candidates)  # the oldest has been read most often
    watched = list(live(Recorder(SkipAbsent(), attention=True), Video(3, 9)))
    assert len(watched[-1].state.trail.evidence) == len(FEATURES) + len(ATTENTION)
    path = tmp_path / "learned.pt"
    torch.save(policy.checkpoint(), path)
    assert LearnedWriteGate(str(path), attention=True).measures
    with pytest.raises(ValueError, match=r"other inputs.*heed"):
        LearnedWriteGate(str(path))
    policy.ignore(["attention"])
    assert int((policy.scorer.used == 0).sum()) == 6


def test_the_future_changes_no_decision():
    policy = LearnedWriteGate("untrained", threshold=0.3)

    def reads(video: Video) -> list[Read]:
        return [step.read for step in live(policy, video)]

    one, other = reads(Video(4, 30)), reads(Video(4, 60, lost=30))
    for a, b in zip(one, other[:30], strict=True):
        assert [(e.frame, slot) for e, slot in a.spatial] == [(e.frame, slot) for e, slot in b.spatial]


def test_a_witness_decides_as_what_it_watches():
    bare, watched = SkipAbsent(), Recorder(SkipAbsent())
    video = Video(5, 50, 20, 30)
    for a, b in zip(live(bare, video), live(watched, video), strict=True):
        assert [e.frame for e, _ in a.read.spatial] == [e.frame for e, _ in b.read.spatial]
        assert (watched.evidence(b.state) is None) == (b.frame == 0)
    with pytest.raises(ValueError, match="see the truth"):
        Recorder(OracleGate())


def test_a_checkpoint_comes_back_and_a_strange_one_is_refused(tmp_path):
    torch.manual_seed(2)
    policy, path = LearnedWriteGate("untrained"), tmp_path / "learned.pt"
    policy.ignore(["motion", "rank"])
    torch.save(policy.checkpoint(), path)
    again = LearnedWriteGate(str(path))
    rows = torch.randn(4, len(INPUTS))
    torch.testing.assert_close(again.scorer.rate(rows), policy.scorer.rate(rows))
    assert int((again.scorer.used == 0).sum()) == 7
    torch.save({"model": policy.scorer.state_dict(), "inputs": [*INPUTS[:-1], "mood"]}, path)
    with pytest.raises(ValueError, match=r"other inputs.*mood, nominee"):
        LearnedWriteGate(str(path))
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="not hold weights of learner=write_gate"):
        LearnedWriteGate(str(path))
    torch.save({"model": {}, "inputs": list(INPUTS)}, path)
    with pytest.raises(ValueError, match="not hold weights of learner=write_gate"):
        LearnedWriteGate(str(path))
    with pytest.raises(ValueError, match="does not exist"):
        LearnedWriteGate(str(tmp_path / "nowhere.pt"))
    with pytest.raises(ValueError, match="unknown: choose among"):
        policy.ignore(["mood"])
