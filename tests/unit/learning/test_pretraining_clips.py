"""Training clips: the same for the same step, whoever draws them."""

from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from framework.errors import InputError
from framework.learning.pretraining.clips import ClipStream, Curriculum


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
