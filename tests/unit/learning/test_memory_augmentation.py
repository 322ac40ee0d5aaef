"""What rows remember in pretraining: cases worked out by hand."""

import numpy as np
import pytest
import torch

from framework.learning.pretraining.clip_rows import ClipRows, clip_rows
from framework.learning.pretraining.clips import Clips
from framework.learning.pretraining.memory_augmentation import (
    absence,
    after_identity_switch,
    after_occlusion,
    frame_memories,
    known_logits,
    newest_kept,
)
from framework.learning.pretraining.sam2_steps import POINTERS, PROMPTED_SLOT, Decoded, RowMemories, memorise
from framework.networks.micro import MicroSize, micro

SIDE, CELLS, TOKENS = 32, 16, 16


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return micro(SIDE, MicroSize(width=32, memory_width=32, layers=1, feedforward=64, trunk_widths=(8, 16, 32))).eval()


@pytest.fixture(scope="module")
def clip(model) -> ClipRows:
    """Two videos of five frames, objects 1 (left) and 2 (right); object 2 of the second video is gone in frame 2."""
    owners = torch.zeros(2, 5, SIDE, SIDE, dtype=torch.uint8)
    owners[:, :, 8:16, 4:12], owners[:, :, 8:16, 20:28] = 1, 2
    owners[1, 2][owners[1, 2] == 2] = 0
    images = torch.randint(0, 255, (2, 5, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([[0, 2, 4, 6, 9], [10, 11, 12, 13, 14]])
    with torch.no_grad():
        clips = Clips(images, owners, torch.tensor([[1, 2], [1, 2]]), times, sequential=False)
        return clip_rows(model, clips, slice(0, None), half=False)


class Scripted(np.random.Generator):
    """Draws what it was given."""

    def __init__(self, integers: list[int], random: list[float] | None = None) -> None:
        super().__init__(np.random.PCG64())
        self.given = np.array(integers), np.array(random)

    def integers(self, *_):
        return self.given[0]

    def random(self, *_):
        return self.given[1]


def numbered(*values: float) -> RowMemories:
    """A memory of every row, told apart by its numbers; it covers its object."""
    number = torch.tensor(values)
    rows = len(values)
    features = number.view(rows, 1, 1, 1).expand(rows, 32, 4, 4).clone()
    pointer = number[:, None].expand(rows, 32).clone()
    return RowMemories(features, pointer, torch.ones(rows, TOKENS), number.long())


def numbers(memory: RowMemories) -> list[float]:
    """Those of `numbered`, the same in all parts."""
    assert torch.equal(memory.pointer[:, 0], memory.features[:, 0, 0, 0])
    return memory.pointer[:, 0].tolist()


def test_an_occlusion_leaves_the_newest_memories_empty_and_the_elder_ones_as_they_were(model, clip):
    missed = [0, 2, POINTERS, 5]
    seen = [numbered(10.0, 11.0, 12.0, 13.0), numbered(20.0, 21.0, 22.0, 23.0)]
    with torch.no_grad():
        past = after_occlusion(model, clip, seen, 3, Scripted(missed))
        empty = [absence(model, clip, 1), absence(model, clip, 2)]
    assert len(past) == POINTERS
    for ago, memory in enumerate(past):
        source = 1 - ago % 2  # the newest frame first, then the other, and again
        for row, count in enumerate(missed):
            lost = ago < count
            expected = empty[source] if lost else seen[source]
            assert torch.equal(memory.features[row], expected.features[row]), (ago, row)
            assert torch.equal(memory.pointer[row], model.no_obj_ptr[0] if lost else expected.pointer[row]), (ago, row)
            assert memory.coverage[row].sum() == (0 if lost else TOKENS)
        assert memory.time.tolist() == [6 - 1 - ago, 6 - 1 - ago, 13 - 1 - ago, 13 - 1 - ago]


def test_the_newest_memories_that_a_row_keeps_fill_its_slots_the_newest_first():
    prompt = numbered(0.0, 0.5)
    past = [numbered(1.0, 1.5), numbered(2.0, 2.5), numbered(3.0, 3.5), numbered(4.0, 4.5)]
    kept = [torch.tensor([True, True]), torch.tensor([True, False]), torch.tensor([True, True])]
    kept.append(torch.tensor([True, False]))
    items = newest_kept(prompt, past, kept, 3)
    assert [numbers(memory) for memory, _ in items] == [[4.0, 3.5], [3.0, 1.5], [2.0, 0.5]]
    assert [slot.tolist() for _, slot in items] == [[0, 0], [1, 1], [2, PROMPTED_SLOT]]
    assert [memory.time.tolist() for memory, _ in items] == [[4, 3], [3, 1], [2, 0]]
    assert len(newest_kept(prompt, past[:2], kept[:2], 6)) == 2 and newest_kept(prompt, [], [], 6) == []


def test_after_an_identity_switch_the_newest_memories_are_those_of_the_other_row(clip):
    recent = [(numbered(1.0, 2.0, 3.0, 4.0), torch.zeros(4, dtype=torch.long)) for _ in range(3)]
    rng = Scripted([1, 3, 3, 2], [0.1, 0.9, 0.1, 0.1])
    items = after_identity_switch(clip, recent, 0.5, rng)
    assert [numbers(memory) for memory, _ in items] == [
        [2.0, 2.0, 4.0, 3.0],  # row 0 has one switched memory, row 1 is not chosen, row 2 has three, row 3 two
        [1.0, 2.0, 4.0, 3.0],
        [1.0, 2.0, 4.0, 4.0],
    ]
    assert all(torch.equal(memory.coverage, torch.ones(4, TOKENS)) for memory, _ in items)
    assert [numbers(m) for m, _ in after_identity_switch(clip, recent, 0.0, rng)] == [[1.0, 2.0, 3.0, 4.0]] * 3


def decoded(clip, presence: list[float]) -> Decoded:
    """Everything is object by token 2, which is best; nothing is by the others."""
    logits = torch.full((4, 4, CELLS, CELLS), -5.0)
    logits[:, 2] = 5.0
    return Decoded(logits, torch.tensor([[0.9, 0.1, 0.8, 0.2]] * 4), torch.randn(4, 4, 32), torch.tensor(presence))


def test_a_frame_is_remembered_with_its_true_mask_or_with_the_one_predicted(model, clip):
    frame, everything = 2, torch.full((4, SIDE, SIDE), 5.0)
    found = decoded(clip, [1.0, -1.0, 1.0, 1.0])
    pointer = model.obj_ptr_proj(found.tokens[:, 2])
    with torch.no_grad():
        true = frame_memories(model, clip, frame, found, own=False)
        own = frame_memories(model, clip, frame, found, own=True)
        truth = memorise(model, clip.at(frame), known_logits(clip.masks[:, frame]), torch.tensor([True] * 3 + [False]))
        predicted = memorise(model, clip.at(frame), everything, torch.ones(4, dtype=torch.bool))
        empty = absence(model, clip, frame)
    assert torch.equal(true.features, truth)
    assert torch.equal(true.pointer[:3], pointer[:3]) and torch.equal(true.pointer[3:], model.no_obj_ptr)
    present = [0, 2, 3]
    assert torch.equal(own.features[present], predicted[present])
    assert torch.equal(own.features[1], empty.features[1]) and torch.equal(own.pointer[1:2], model.no_obj_ptr)
    assert torch.equal(own.coverage, clip.covered[:, frame]) and own.time.tolist() == [4, 4, 12, 12]


def test_a_switched_row_remembers_the_other_object_where_that_is_visible(model, clip):
    frame, every = 2, torch.ones(4, dtype=torch.bool)
    with torch.no_grad():
        memory = frame_memories(model, clip, frame, decoded(clip, [1.0] * 4), own=False, switched=every)
        switched = memorise(model, clip.at(frame), known_logits(clip.masks[[1, 0, 2, 2], frame]), every)
    # Row 2's other object is gone, so it remembers its own; row 3, whose object is gone, remembers the other one.
    assert torch.equal(memory.features, switched)
    assert not torch.equal(memory.pointer[3:], model.no_obj_ptr)
