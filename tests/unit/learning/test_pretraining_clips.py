"""Training clips: the same for the same step, whoever draws them."""

from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from framework.data.procedural.dataset import Procedural
from framework.data.procedural.photo import Photo
from framework.errors import InputError
from framework.learning.pretraining.clips import ClipStream, Curriculum
from framework.learning.pretraining.datamodule import ProceduralClips
from framework.learning.pretraining.module import Pretraining
from framework.networks.micro import micro
from tests.fakes.cutouts import write_folders
from tests.fakes.draws import ScriptedDraws


def test_clips_are_the_same_for_the_same_step():
    plan = Curriculum(videos=2)
    one, two = (ClipStream(torch.zeros(1), plan, 64).draw(np.random.default_rng(5), 7, 0.3) for _ in range(2))
    assert torch.equal(one.images, two.images) and torch.equal(one.owners, two.owners)
    assert (one.times.diff(dim=1) >= 0).all()


def test_clips_do_not_depend_on_how_many_processes_draw_them():
    stream = ClipStream(torch.zeros(1), Curriculum(videos=1), 64, step=3)
    alone = list(islice(stream, 4))
    shared = list(islice(DataLoader(stream, batch_size=None, num_workers=2), 4))
    assert all(torch.equal(one.images, two.images) for one, two in zip(alone, shared, strict=True))
    assert not torch.equal(alone[0].images, alone[1].images)


def test_a_curriculum_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="share out the sequences"):
        Curriculum(right=0.7, sampled=0.2, spaced=0.2)
    with pytest.raises(InputError, match="a step has 256 videos at most, not 257"):
        Curriculum(sequence_videos=257)


def test_memories_become_harder_until_sequences_come():
    assert [Curriculum().difficulty(progress) for progress in (0.0, 0.3, 0.6, 0.9)] == [0.0, 0.5, 1.0, 1.0]
    assert Curriculum(sequential_from=0.0).difficulty(0.0) == 1.0


def test_gaps_grow_with_the_difficulty():
    """Longest 2 + 14 (.5 / .6) .6^2 = 6.2 frames; half a difficulty is a quarter of clips with one stale memory."""
    rng = ScriptedDraws(0.6, [0, 5, 2, 1], 0.2499, 2, 30)
    assert Curriculum().gaps(rng, 0.3, 5, sequential=False).tolist() == [1, 6, 33, 2]
    assert rng.asked == [("random",), ("integers", 0, 6, 4), ("random",), ("integers", 4), ("integers", 5, 45)]
    rng = ScriptedDraws(1.0, [0, 0], 0.0)
    assert Curriculum().gaps(rng, 0.0, 3, sequential=False).tolist() == [1, 1]
    assert rng.asked[1] == ("integers", 0, 2, 2)
    rng = ScriptedDraws(1.0, [15, 0], 0.5)
    assert Curriculum().gaps(rng, 0.9, 3, sequential=False).tolist() == [16, 1]
    assert rng.asked[1] == ("integers", 0, 16, 2)


def test_gaps_of_a_sequence_are_equal_but_for_a_stale_one():
    rng = ScriptedDraws(3, 0.4)
    assert Curriculum().gaps(rng, 0.3, 4, sequential=True).tolist() == [3, 3, 3]
    assert rng.asked == [("choice", 1, 1, 2, 3), ("random",)]
    assert Curriculum().gaps(ScriptedDraws(2, 0.39, 0, 5), 0.3, 4, sequential=True).tolist() == [7, 2, 2]


def test_steps_of_a_curriculum():
    plan = Curriculum(sequential_share=1.0, burn_in=(4, 4), learned=6, frames=5)
    assert [plan.sequential(3, progress) for progress in (0.59, 0.6)] == [False, True]
    assert not Curriculum(sequential_share=0.0).sequential(3, 1.0)
    assert (plan.length(3, False), plan.length(3, True)) == (5, 10)
    assert {Curriculum().length(step, True) for step in range(200)} == set(range(11, 27))  # 5 to 20, and 6
    shares = [Curriculum().sequential(step, 1.0) for step in range(1000)]
    assert 0.35 < sum(shares) / 1000 < 0.45
    assert Curriculum(videos=256, right=1.0, sampled=0.0, spaced=0.0).videos == 256
    with pytest.raises(InputError, match="share out the sequences"):
        Curriculum(right=0.2, sampled=-0.1, spaced=0.1)
    with pytest.raises(InputError, match="not 257"):
        Curriculum(videos=257)


def stream(**options):
    return ClipStream(torch.zeros(1), Curriculum(hide=0.15, learned=6), 64, **options)


def test_objects_hide_here_and_there():
    """One of two objects at a time, so with twice the probability; never on the prompted frame."""
    tracked = np.array([1, 4])
    rng = ScriptedDraws(0.29, 4, 0.3, 0.0, 1)
    assert stream()._hidden(rng, tracked, 4, sequential=False) == [set(), {4}, set(), {1}]
    assert rng.asked == [("random",), ("choice", 1, 4), ("random",), ("random",), ("choice", 1, 4)]


def test_an_object_of_a_sequence_hides_for_a_while():
    """20 frames, 6 learned, away for 5: from 20 - 6 + 1 - 2 = 13 on."""
    rng = ScriptedDraws(4, 5, 1, 0.59)
    found = stream()._hidden(rng, np.array([1, 4]), 20, sequential=True)
    assert [index for index, gone in enumerate(found) if gone] == [13, 14, 15, 16, 17]
    assert {frozenset(gone) for gone in found} == {frozenset(), frozenset({4})}
    assert rng.asked == [("choice", 1, 4), ("integers", 2, 12), ("integers", -4, 4), ("random",)]
    assert not any(stream()._hidden(ScriptedDraws(4, 5, 1, 0.6), np.array([1, 4]), 20, sequential=True))
    early = stream()._hidden(ScriptedDraws(1, 11, -4, 0.0), np.array([1, 4]), 10, sequential=True)
    assert [index for index, gone in enumerate(early) if gone] == list(range(1, 10))  # the prompt is never hidden


def other_of(sequence, t):
    """The draw of a second object, if there is one."""
    return [2] if len(ClipStream._trackable(sequence, t)) > 1 else []


def test_a_clip_shows_its_frames_and_ends_with_the_video():
    sequence = Procedural("train", "calm", length=120, size=64).sequence(0)
    assert 1 in ClipStream._trackable(sequence, 5)
    rng = ScriptedDraws(5, *other_of(sequence, 5), 1.0, 1.0)
    images, owners, tracked, times = stream()._clip(rng, sequence, np.array([2, 200]), sequential=False)
    assert times.tolist() == [5, 7, 119] and tracked[0] == 1
    for index, t in enumerate(times):
        np.testing.assert_array_equal(images[index], sequence.frame(int(t)))
        np.testing.assert_array_equal(owners[index], sequence.ids(int(t)))


@pytest.mark.parametrize(("length", "gaps", "starts"), [(120, [2, 90], 28), (120, [60, 60], 1), (120, [90, 90], 1)])
def test_a_clip_starts_so_early_that_its_gaps_fit(length, gaps, starts):
    sequence = Procedural("train", "calm", length=length, size=64).sequence(0)
    rng = ScriptedDraws(0, *other_of(sequence, 0), 1.0, 1.0)
    stream()._clip(rng, sequence, np.array(gaps), sequential=False)
    assert rng.asked[0] == ("integers", 0, starts)


def test_objects_of_few_pixels_are_not_tracked(monkeypatch):
    sequence = Procedural("train", "distractors", length=20, size=64).sequence(0)
    first, second = list(sequence.cast.objects)[:2]
    ids = np.zeros((10, 20), np.uint8)
    ids[:4, :10], ids[4:7, :13] = first, second  # 40 and 39 pixels
    monkeypatch.setattr(type(sequence), "ids", lambda self, t: ids)
    assert ClipStream._trackable(sequence, 0) == [first]
    assert ClipStream._trackable(sequence, 0, 39) == [first, second]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    root = write_folders(tmp_path_factory.mktemp("pictures"))
    return Photo(sprites=str(root / "sprites"), backgrounds=str(root / "grounds"))


def test_videos_of_a_step_are_its_own(monkeypatch, photographs):
    """Video v of step s of seed k is the (256 s + v) 64 + k mod 64 th; photographic ones are as large and as long."""
    drawn = []

    def sequence(self, index):
        drawn.append((type(self), self.split, self.level in ClipStream.LEVELS, self.length, self.size, index))
        raise StopIteration

    monkeypatch.setattr(Procedural, "sequence", sequence)
    for share in (0.0, 1.0):
        with pytest.raises(StopIteration):
            stream(seed=70, photographs=photographs, photographic=share).draw(np.random.default_rng(0), 3, 0.0)
    shared = ("train", True, 120, 64, 3 * 256 * 64 + 6)
    assert drawn == [(Procedural, *shared), (Photo, *shared)]


def test_a_share_of_the_photographic_videos_are_stills(photographs, monkeypatch):
    """With objects that are left out of frames like those of any other clip; a share of 0 draws nothing of chance."""
    plan = Curriculum(videos=3, frames=5, hide=0.5)

    def draw(**options):
        drawn = ClipStream(torch.zeros(1), plan, 64, photographs=photographs, photographic=1.0, **options)
        return drawn.draw(np.random.default_rng(1), 3, 0.0)

    asked = []
    made = Photo.still
    monkeypatch.setattr(Photo, "still", lambda self, index: asked.append((self.split, self.size)) or made(self, index))
    clips = draw(stills=1.0)
    assert asked == [("train", 64)] * 3 and clips.images.shape == (3, 5, 3, 64, 64)
    for video in range(3):
        tracked = clips.objects[video].tolist()
        assert all((clips.owners[video, 0] == key).sum() >= 40 for key in tracked)
    assert any(1 not in clips.owners[video, t] for video in range(3) for t in range(1, 5))
    asked.clear()
    assert torch.equal(draw(stills=0.0).images, draw().images) and not asked
    assert not torch.equal(draw().images, clips.images)


def test_shares_that_cannot_be_are_refused(photographs):
    assert ProceduralClips(photographs=photographs, photographic=0.0, stills=1.0).stills == 1.0
    with pytest.raises(InputError, match=r"data\.photographic=1\.1 and data\.stills=0\.0 are shares: give 0 to 1"):
        ProceduralClips(photographic=1.1)
    with pytest.raises(InputError, match=r"data\.stills=-0\.1 are shares"):
        ProceduralClips(photographs=photographs, stills=-0.1)
    with pytest.raises(InputError, match=r"data\.stills needs photographs"):
        ProceduralClips(stills=0.1)


def test_training_clips_are_those_of_the_process_and_step(photographs):
    data = ProceduralClips(64, workers=2, seed=3, photographs=photographs, photographic=0.25, stills=0.5)
    module = Pretraining(micro(64), 1.0)
    data.trainer = SimpleNamespace(lightning_module=module, world_size=2, global_rank=1, global_step=11)
    loader = data.train_dataloader()
    dataset = loader.dataset
    assert (dataset.seed, dataset.step, dataset.size) == (7, 11, 64)
    assert (dataset.photographs, dataset.photographic, dataset.stills) == (photographs, 0.25, 0.5)
    assert dataset.progress is module.progress and dataset.curriculum is module.curriculum
    assert (loader.batch_size, loader.num_workers) == (None, 2)


def test_held_out_videos_are_those_of_the_split_from_their_start(photographs):
    (name, clips), *others = ProceduralClips(64, videos=2, frames=3).val_dataloader()
    assert [name, *(other for other, _ in others)] == list(ClipStream.LEVELS)
    for index in range(2):
        sequence = Procedural("val", "calm", length=60, size=64).sequence(index)
        for t in range(3):
            np.testing.assert_array_equal(clips.images[index, t].permute(1, 2, 0), sequence.frame(t))
            np.testing.assert_array_equal(clips.owners[index, t], sequence.ids(t))
    assert clips.objects.tolist() == [[1], [1]] and clips.times.tolist() == [[0, 1, 2]] * 2 and clips.sequential

    sets = ProceduralClips(64, photographs=photographs).val_dataloader().dataset.sets
    held_out = replace(photographs, split="val", length=60, size=64)
    expected = [("distractors", Procedural("val", "distractors", length=60, size=64))]
    assert sets == expected + [(f"photo_{level}", replace(held_out, level=level)) for level in ClipStream.LEVELS]
