"""The read gate as a policy: what it does to attention, what it may know, and the file it comes from."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from framework.data.procedural.dataset import Procedural
from framework.diagnostics.synthetic import Video, live
from framework.networks.build import facade
from framework.networks.micro import MicroSize, micro
from framework.ops.features.history import TargetHistory
from framework.ops.features.hypotheses import describe as describe_hypotheses
from framework.ops.features.relative import FEATURES as ROW
from framework.ops.features.relative import compare, follow
from framework.storage.identity import describe
from framework.tracker import Tracker, lockstep
from framework.types import Frame, Query
from policies.components.read_features import FEATURES, PLACE, VERSION, ReadHistory
from policies.components.read_gate import WEIGHTS, ReadGate, load
from policies.learned_read_gate import LearnedReadGate
from policies.oracle_gate import OracleGate
from policies.prompt_bias import PromptBias
from policies.rmem import RMem
from policies.sam2 import Sam2
from policies.sam2long import Sam2Long
from policies.skip_absent import SkipAbsent
from policies.spread import Spread
from tests.fakes.frames import HERE, THERE, candidates, features, written

SIZE, FRAMES = 64, 14
ALL = -1e9
"""Presence that untrained weights always reach."""
BANK = Spread(presence=ALL, interval=2)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    small = micro(SIZE, MicroSize(width=32, memory_width=32, layers=1, feedforward=64, trunk_widths=(8, 16, 32)))
    return facade(lambda: small, device="cpu")


@pytest.fixture(scope="module")
def video():
    return Procedural("train", "distractors", length=FRAMES, size=SIZE).sequence(0)


def opinionated(seed=0, scale=3.0):
    """A gate that has been trained towards nothing in particular."""
    torch.manual_seed(seed)
    gate = ReadGate()
    torch.nn.init.normal_(gate.layers[-1].weight, std=scale)
    return gate


def tracked(network, policy, video, images=None):
    """Tracks of the one object, frame by frame, each tracker alone."""
    images = images or [video.frame(t) for t in range(video.length)]
    frames = [Frame(image, video.prompts().get(t, {})) for t, image in enumerate(images)]
    with torch.no_grad():
        results = list(lockstep({"": Tracker(network, policy, presence_threshold=ALL)}, frames))
    return [result[""].tracks[1] for result in results]


@pytest.mark.parametrize(
    ("gated", "base"),
    [
        (LearnedReadGate(ReadGate(), BANK), BANK),
        (LearnedReadGate(ReadGate(), BANK, budget=7), SkipAbsent(presence=ALL)),
    ],
    ids=["soft", "hard"],
)
def test_an_untrained_gate_is_its_base_to_the_last_bit(network, video, gated, base):
    ours, theirs = tracked(network, gated, video), tracked(network, base, video)
    assert max(len(track.memory.spatial) for track in ours) == (7 if gated.budget else 10)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine.candidates.logits, other.candidates.logits)
        assert torch.equal(mine.candidates.pointers, other.candidates.pointers)
        assert mine.memory.spatial == other.memory.spatial and mine.memory.pointers == other.memory.pointers


@dataclass(frozen=True)
class Silenced(Spread):
    """Reads some frames with a bias of minus infinity, or not at all."""

    frames: tuple[int, ...] = (0, 5)
    deleted: bool = False

    def read(self, state, query):
        read = super().read(state, query)
        items = [entry.frame in self.frames for entry, _ in (*read.spatial, *read.pointers)]
        if not self.deleted:
            return replace(read, bias=torch.where(torch.tensor(items), -torch.inf, 0.0))
        spatial, pointers = (
            tuple(item for item in part if item[0].frame not in self.frames) for part in (read.spatial, read.pointers)
        )
        return replace(read, spatial=spatial, pointers=pointers)


def test_a_bias_of_minus_infinity_deletes_a_memory(network, video):
    state, query = None, video.length - 1
    tracker = Tracker(network, BANK, presence_threshold=ALL)
    with torch.no_grad():
        state = tracker.init()
        for t in range(query):
            state, _ = tracker.step(state, network.encode(video.frame(t), t, None), video.prompts().get(t, {}))
        features = network.encode(video.frame(query), query, None)
        whole, silent, without = (
            replace(tracker, policy=policy).step(state, features)[1].tracks[1].candidates.logits
            for policy in (
                BANK,
                Silenced(presence=ALL, interval=2),
                Silenced(presence=ALL, interval=2, deleted=True),
            )
        )
    torch.testing.assert_close(silent, without, atol=1e-4, rtol=1e-4)
    assert (whole - without).abs().max() > 100 * (silent - without).abs().max()


@pytest.mark.parametrize("budget", [None, 4])
def test_later_frames_change_no_decision(network, video, budget):
    policy, change = LearnedReadGate(opinionated(), BANK, budget), 9
    images = [video.frame(t) for t in range(video.length)]
    other = [*images[:change], *(np.ascontiguousarray(image[::-1]) for image in images[change:])]
    ours, theirs = tracked(network, policy, video, images), tracked(network, policy, video, other)
    for t in range(change):
        assert torch.equal(ours[t].logits, theirs[t].logits) and ours[t].memory == theirs[t].memory
    assert not torch.equal(ours[-1].logits, theirs[-1].logits)


def test_learning_starts_from_a_bias_on_the_prompts(network, video):
    """All of one read lack the same constant, which attention does not see."""
    bank = SkipAbsent(presence=ALL, pointers=0)
    ours, theirs, plain = (
        tracked(network, policy, video)[-1].candidates.logits
        for policy in (LearnedReadGate(ReadGate(prompt=-1.0), bank), PromptBias(bank, bias=-1.0), bank)
    )
    assert (ours - plain).abs().max() > 100 * (ours - theirs).abs().max()


def test_the_gate_decides_what_a_budget_reads(network, video):
    chosen = tracked(network, LearnedReadGate(opinionated(), BANK, budget=4), video)[-1].memory.spatial
    newest = tracked(network, LearnedReadGate(ReadGate(), BANK, budget=4), video)[-1].memory.spatial
    assert len(chosen) == len(newest) == 4 and chosen[0] == newest[0] == (0, -1)
    assert [slot for _, slot in newest[1:]] == [2, 1, 0] and chosen != newest


def test_pointers_get_the_bias_of_their_frame():
    policy = LearnedReadGate(opinionated(), Spread())
    *_, step = live(policy, Video(1, 60))
    count, bias = len(step.read.spatial), step.read.bias.tolist()
    of = {entry.frame: value for (entry, _), value in zip(step.read.spatial, bias, strict=False)}
    assert count == 12 and len(set(bias[:count])) == count
    assert [of.get(entry.frame, 0.0) for entry, _ in step.read.pointers] == bias[count:]


def test_any_policy_is_read_through_the_gate():
    gated = LearnedReadGate(opinionated(), OracleGate())
    assert gated.privileged and not gated.measures
    *_, plain = live(Sam2(), Video(1, 30))
    *_, step = live(LearnedReadGate(opinionated(), Sam2()), Video(1, 30))
    assert [e.frame for e, _ in step.read.spatial] == [e.frame for e, _ in plain.read.spatial]
    assert len(set(step.read.bias[: len(step.read.spatial)].tolist())) == len(step.read.spatial) == 7


def test_the_weights_of_the_policy_beneath_stay_with_their_items():
    *_, plain = live(LearnedReadGate(opinionated(), Spread()), Video(1, 30))
    *_, soft = live(LearnedReadGate(opinionated(), PromptBias(Spread(), -5.0)), Video(1, 30))
    prompted = [entry.scores.prompted for entry, _ in (*plain.read.spatial, *plain.read.pointers)]
    torch.testing.assert_close(soft.read.bias - plain.read.bias, -5.0 * torch.tensor(prompted).float())
    for policy, name in ((PromptBias(Spread(), -5.0), "bias"), (Sam2Long(), "gain")):
        *_, whole = live(policy, Video(1, 30))
        *_, hard = live(LearnedReadGate(opinionated(), policy, budget=3), Video(1, 30))
        own = zip((*whole.read.spatial, *whole.read.pointers), getattr(whole.read, name).tolist(), strict=True)
        spatial = {entry.frame for entry, _ in hard.read.spatial}
        count = len(whole.read.spatial)
        kept = [value for index, ((e, _), value) in enumerate(own) if index >= count or e.frame in spatial]
        assert len(spatial) == 3 and getattr(hard.read, name).tolist() == kept


def test_weights_of_another_number_of_items_are_refused():
    *_, step = live(PromptBias(Spread(), -5.0), Video(1, 30))
    with pytest.raises(ValueError, match="a read of 27 memories and pointers has a bias for 28"):
        replace(step.read, spatial=step.read.spatial[1:])


def test_attention_is_counted_for_what_the_budget_lets_through():
    steps = list(live(LearnedReadGate(ReadGate(), RMem(), budget=3), Video(1, 20)))
    reads = Counter(entry.frame for step in steps for entry, _ in step.read.spatial)
    tried = steps[-1].state.memory.tried
    assert {memory.entry.frame: memory.reads for memory in tried} == {
        memory.entry.frame: reads[memory.entry.frame] for memory in tried
    }


def test_features_are_finite_and_know_no_frame_number():
    """Whether 200 frames have passed since or 60,000, all looks the same."""
    policy = LearnedReadGate(opinionated(), Spread())
    *_, step = live(policy, Video(2, 150, lost=60, found=90))
    entries = [entry for entry in policy.entries(step.state) if entry.features is not None]
    soon, later = (
        step.state.history.features(entries, (), Query(frame, torch.zeros(1, 1, 1), None)) for frame in (600, 60_000)
    )
    assert soon.shape == (12, len(FEATURES)) and torch.equal(soon, later)
    assert soon.isfinite().all() and soon.abs().max() <= 4.1


def test_a_memory_is_described_as_its_mask_was_when_it_was_written():
    state, target, entries, rows = ReadHistory(), TargetHistory(), [], []
    for t, (boxes, choice) in enumerate([((HERE,), 0), ((HERE, THERE, None), 1), ((None, THERE, HERE), 2)]):
        found = candidates(*boxes)
        entry, became = written(t, found, choice)
        hypotheses = describe_hypotheses(found, features(t))
        relative = compare(target, hypotheses)
        rows.append([0.0] * len(ROW) if relative is None else relative.rows[choice].tolist())
        target = follow(target, hypotheses, relative, choice) if t else TargetHistory.begin(hypotheses.mask(0))
        entries.append(entry)
        state = state.add(entry, became, {e.frame for e in entries})
    seen = state.features([entries[2], entries[0], entries[1]], entries[:1], Query(5, torch.zeros(1, 1, 1), None))
    assert seen[:, : len(ROW)].tolist() == [rows[2], rows[0], rows[1]] and any(rows[1]) and not any(rows[0])
    place = [dict(zip(PLACE, row, strict=True)) for row in seen[:, len(ROW) :].tolist()]
    assert [p["colour_now"] for p in place] == pytest.approx([1.0, 1.0, 0.0], abs=1e-6)
    assert [p["rank"] for p in place] == pytest.approx([0.0, 2 / 12, 1 / 12])
    assert [p["age"] for p in place] == pytest.approx([np.log(n) / np.log(101) for n in (4, 6, 5)])
    assert [(p["gap_known"], p["prompt"], p["older"], p["held"]) for p in place] == [
        (1.0, 0.0, 0.0, 0.25), (0.0, 1.0, 1.0, 0.25), (1.0, 0.0, 0.0, 0.25),
    ]  # fmt: skip
    assert list(state.add(*written(3, candidates(HERE)), {0, 3}).of) == [0, 3]


def test_the_bank_is_dense_lately_and_sparse_long_ago():
    for length in (100, 400):
        *_, step = live(Spread(), Video(3, length))
        frames = [entry.frame for entry, _ in step.read.spatial]
        prompt, older, recent = frames[0], frames[1:6], frames[6:]
        assert prompt == 0 and recent == list(range(length - 7, length - 1))
        ages = [length - frame for frame in older]
        assert ages[0] > 0.6 * length and ages[-1] < 30
        assert all(old > 1.2 * new for old, new in pairwise(ages))


def test_the_shipped_gate_loads_and_is_small():
    assert WEIGHTS.stat().st_size < 100_000
    assert not any(parameter.requires_grad for parameter in load().parameters())


def test_a_checkpoint_keeps_what_the_gate_does(tmp_path):
    gate, features = opinionated(), torch.rand(5, len(FEATURES))
    torch.save(gate.checkpoint(), tmp_path / "gate.pt")
    assert torch.equal(load(str(tmp_path / "gate.pt"))(features), gate(features))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"inputs": ["taste", *FEATURES[1:]]}, "iou, taste"),
        ({"version": VERSION + 1}, f"version {VERSION + 1}, not {VERSION}"),
        ({"model": {}}, "does not hold weights"),
        ({"model": 1}, "does not hold weights"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(tmp_path, change, named):
    path = tmp_path / "gate.pt"
    torch.save(ReadGate().checkpoint() | change, path)
    with pytest.raises(ValueError, match=named) as refusal:
        load(str(path))
    assert "\n" not in str(refusal.value) and "gate.pt" in str(refusal.value) and "train" in str(refusal.value)


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("no checkpoint")
    for name, reason in (("text.pt", "does not hold weights"), ("none.pt", "does not exist")):
        with pytest.raises(ValueError, match=reason):
            load(str(tmp_path / name))


def test_other_weights_are_another_experiment():
    one, two = (describe(LearnedReadGate(opinionated(seed), BANK)) for seed in (0, 1))
    assert one != two and one == describe(LearnedReadGate(opinionated(0), BANK))
