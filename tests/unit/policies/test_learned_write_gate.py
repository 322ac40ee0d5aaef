"""The learned write gate: the features it sees, its decisions, its checkpoint."""

import copy
import math

import pytest
import torch

from framework.diagnostics.synthetic import Video, live
from framework.storage.identity import describe
from framework.types import Candidates, Entry, Outcome, Read, Scores
from policies.components.recorder import Recorder
from policies.components.set_classifier import SetClassifier
from policies.features.frame import FEATURES, HISTORY, History
from policies.learned_write_gate import LearnedWriteGate
from policies.oracle_gate import OracleGate
from policies.skip_absent import SkipAbsent

GRID = 16

BLANK = torch.zeros(1, 1, 1)


def seen(frame: int, masks, iou=(0.9, 0.4, 0.3), presence=5.0, choice=0, embedding=BLANK, prompted=False):
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


def features(history: History) -> dict[str, float]:
    assert history.features is not None
    return dict(zip(FEATURES, history.features, strict=True))


def test_features_are_what_the_masks_say():
    embedding = torch.zeros(2, 4, 4)
    embedding[0, 0, 0], embedding[1, 3, 3] = 1.0, 1.0  # the object's look at the top left, another one's bottom right
    here, there = (0, 0, 4, 4), (12, 12, 16, 16)
    history = History().observe(*seen(0, [here], prompted=True, embedding=embedding))
    assert history.features is None
    found = features(history.observe(*seen(1, [here, there, None], embedding=embedding)))
    assert found["iou"] == pytest.approx(0.9) and found["margin"] == pytest.approx(-0.5)
    assert found["border"] == 1.0 and found["seen"] == 1.0 and found["away"] == 0.0
    assert found["area_prompt"] == 0.0 and found["jump"] == 0.0 and found["stability"] == 1.0
    assert found["distractor"] == pytest.approx(0.4)  # as large as the mask, predicted IoU .4
    assert found["distractor_box"] == pytest.approx(16 / 256)
    assert found["look_prompt"] == pytest.approx(1.0, abs=1e-3) and found["distractor_look"] < -0.5
    drifted = features(history.observe(*seen(1, [here, there, None], choice=1, embedding=embedding)))
    assert drifted["look_prompt"] < 0.5 < drifted["distractor_look"]
    assert drifted["found_outside"] > drifted["found_inside"]
    assert drifted["jump"] == 4.0  # hypot(12, 12) / 4 is cut off there
    half = features(history.observe(*seen(1, [(4, 4, 6, 6), None, None], embedding=embedding)))
    assert half["area_prompt"] == pytest.approx(math.log(1 / 4)) and half["border"] == 0.0


def test_ranks_are_the_shares_of_lower_values_among_the_last_frames():
    """Ties count half; the first tracked frame has nothing to compare with."""
    history, found = History().observe(*seen(0, [(2, 2, 6, 6)], prompted=True)), []
    for t, iou in enumerate((0.5, 0.7, 0.6, 0.7, 0.9, 0.1), start=1):
        history = history.observe(*seen(t, [(2, 2, 6, 6)], iou=(iou,), presence=float(-t)))
        found.append(features(history))
    assert [row["iou_rank"] for row in found] == pytest.approx([0.5, 1.0, 1 / 2, 2.5 / 3, 1.0, 0.0])
    assert [row["presence_rank"] for row in found] == [0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    for t in range(7, 7 + HISTORY):  # frames before these are forgotten
        history = history.observe(*seen(t, [(2, 2, 6, 6)], iou=(0.3,)))
    lowest = history.observe(*seen(99, [(2, 2, 6, 6)], iou=(0.2,)))
    assert features(history)["iou_rank"] == pytest.approx((1 + 0.5 * (HISTORY - 1)) / HISTORY)
    assert features(lowest)["iou_rank"] == 0.0


def test_an_absent_object_leaves_its_numbers_blank():
    history = History().observe(*seen(0, [(2, 2, 6, 6)], prompted=True))
    history = history.observe(*seen(1, [None, None, None], presence=-5.0))
    history = history.observe(*seen(2, [None, None, None], presence=-5.0))
    found = features(history)
    assert found["seen"] == 0.0 and found["seen_share"] == 0.0 and found["presence"] < 0
    assert found["away"] == pytest.approx(math.log(2))
    assert {found[name] for name in ("area_typical", "area_prompt", "jump", "surprise", "look_prompt")} == {0.0}


def test_areas_are_compared_with_those_of_the_last_masks():
    """The first is the prompt's, 16 cells; of an even number the median is half way."""
    history, found = History().observe(*seen(0, [(4, 4, 8, 8)], prompted=True)), []
    for t, box in enumerate([(4, 4, 12, 12), (4, 4, 8, 12), (4, 4, 8, 8), None, (4, 4, 6, 6)], start=1):
        history = history.observe(*seen(t, [box]))
        found.append(features(history)["area_typical"])
    medians = [(16 + 64) / 2, 32, (16 + 32) / 2, None, 16]
    areas = [64, 32, 16, 0, 4]
    expected = [median and math.log(area / median) for area, median in zip(areas, medians, strict=True)]
    assert found == pytest.approx([0.0 if value is None else value for value in expected])
    assert history.areas == (16, 64, 32, 16, 4)


def test_ratios_of_areas_are_cut_off():
    """256 cells beside 1, then 1 cell beside 256."""
    small, large = (7, 7, 8, 8), (0, 0, 16, 16)
    for prompt, box, sign in ((small, large, 1), (large, small, -1)):
        history = History().observe(*seen(0, [prompt], prompted=True)).observe(*seen(1, [prompt]))
        found = features(history.observe(*seen(2, [prompt])).observe(*seen(3, [box])))
        assert found["area_prompt"] == 3.0 * sign and found["area_typical"] == 2.0 * sign


@pytest.mark.parametrize("box", [(0, 4, 8, 8), (4, 0, 8, 8), (4, 4, 16, 8), (4, 4, 8, 16)])
def test_each_border_counts(box):
    history = History().observe(*seen(0, [(4, 4, 8, 8)], prompted=True))
    assert features(history.observe(*seen(1, [box])))["border"] == 1.0
    assert features(history.observe(*seen(1, [(1, 1, 15, 15)])))["border"] == 0.0


def test_padding_does_not_count_nor_the_order_of_what_came_before():
    torch.manual_seed(0)
    classifier, rows = SetClassifier(5), torch.randn(4, 5)
    logits = classifier(rows)
    torch.testing.assert_close(classifier(rows[[2, 0, 1, 3]]), logits)
    assert (classifier(rows[[3, 0, 1, 2]]) - logits).abs().max() > 1e-3
    padded = torch.cat([torch.full((3, 5), 9.0), rows])
    torch.testing.assert_close(classifier(padded, torch.arange(7) >= 3), logits)
    both = torch.stack([padded, torch.cat([rows[[1]], padded[1:]])]), torch.arange(7) >= torch.tensor([[3], [1]])
    one_by_one = [classifier(elements[present]) for elements, present in zip(*both, strict=True)]
    torch.testing.assert_close(classifier(*both), torch.stack(one_by_one))
    classifier.used[2] = 0
    changed = rows.clone()
    changed[:, 2] += 5
    torch.testing.assert_close(classifier(changed), classifier(rows))


def test_a_set_on_the_host_is_classified_as_in_training_by_the_weights_of_the_moment():
    torch.manual_seed(4)
    classifier, rows = SetClassifier(5), 3 * torch.randn(10, 5)
    for count in (1, 10):
        set_ = rows[:count]
        expected = classifier(set_)
        torch.testing.assert_close(torch.from_numpy(classifier.on_host(set_.numpy())), expected, atol=1e-6, rtol=1e-6)
        expected.sum().backward()
        torch.optim.SGD(classifier.parameters(), lr=0.1).step()
        classifier.scale *= 1.5
        classifier.embed[0].weight.data = classifier.embed[0].weight.data * 2
        assert abs(classifier.on_host(set_.numpy()) - expected.detach().numpy()).max() > 1e-3
    again = copy.deepcopy(classifier)
    classifier.head[-1].bias.data.zero_()
    torch.testing.assert_close(torch.from_numpy(again.on_host(rows.numpy())), again(rows))


def test_the_initial_rule_remembers_what_is_seen():
    ours, theirs = (
        [[entry.frame for entry, _ in step.read.spatial] for step in live(policy, Video(1, 60, lost=20, found=50))]
        for policy in (LearnedWriteGate().initial_rule(), SkipAbsent())
    )
    assert ours == theirs and ours[49] == [0, *range(14, 20)]


def test_a_trusted_frame_is_one_that_is_probably_right():
    """Softmax of (log 3, 0, 0): right with a probability of 3/5."""
    logits = torch.tensor([math.log(3), 0.0, 0.0])
    for threshold, held in ((0.59, 16), (0.61, 1)):
        policy = LearnedWriteGate("untrained", threshold=threshold)
        policy.classifier.head[-1].weight.data.zero_()
        policy.classifier.head[-1].bias.data.copy_(logits)
        *_, last = live(policy, Video(1, 30))
        assert len(policy.entries(last.state)) == held


def test_the_rule_is_the_same_whatever_is_left_out():
    """So that an ablation learns from the same rollouts."""
    whole, part = LearnedWriteGate("untrained"), LearnedWriteGate("untrained")
    part.ignore(["distractors"])
    assert describe(part) != describe(whole) and describe(part.initial_rule()) == describe(whole.initial_rule())


def test_the_future_changes_no_decision():
    policy = LearnedWriteGate("untrained", threshold=0.3)

    def reads(video: Video) -> list[Read]:
        return [step.read for step in live(policy, video)]

    one, other = reads(Video(4, 30)), reads(Video(4, 60, lost=30))
    for a, b in zip(one, other[:30], strict=True):
        assert [(e.frame, slot) for e, slot in a.spatial] == [(e.frame, slot) for e, slot in b.spatial]


def test_a_recorder_decides_as_the_policy_that_it_records():
    bare, recorder = SkipAbsent(), Recorder(SkipAbsent())
    video = Video(5, 50, 20, 30)
    for a, b in zip(live(bare, video), live(recorder, video), strict=True):
        assert [e.frame for e, _ in a.read.spatial] == [e.frame for e, _ in b.read.spatial]
        assert (recorder.features(b.state) is None) == (b.frame == 0)
    with pytest.raises(ValueError, match="see the truth"):
        Recorder(OracleGate())


def test_a_checkpoint_comes_back_and_a_strange_one_is_refused(tmp_path):
    torch.manual_seed(2)
    policy, path = LearnedWriteGate("untrained"), tmp_path / "learned.pt"
    policy.ignore(["motion", "rank"])
    torch.save(policy.checkpoint(), path)
    again = LearnedWriteGate(str(path))
    rows = torch.randn(4, len(FEATURES))
    torch.testing.assert_close(again.classifier(rows), policy.classifier(rows))
    assert int((again.classifier.used == 0).sum()) == 7
    torch.save({"model": policy.classifier.state_dict(), "inputs": [*FEATURES[:-1], "mood"]}, path)
    with pytest.raises(ValueError, match=r"other inputs.*look_rank, mood"):
        LearnedWriteGate(str(path))
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="not hold weights of learner=write_gate"):
        LearnedWriteGate(str(path))
    torch.save({"model": {}, "inputs": list(FEATURES)}, path)
    with pytest.raises(ValueError, match="not hold weights of learner=write_gate"):
        LearnedWriteGate(str(path))
    with pytest.raises(ValueError, match="does not exist"):
        LearnedWriteGate(str(tmp_path / "nowhere.pt"))
    with pytest.raises(ValueError, match="unknown: choose among"):
        policy.ignore(["mood"])
