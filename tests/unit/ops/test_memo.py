"""What is remembered of a frame: made once however many ask, and gone with the frame."""

import gc
from weakref import ref

import numpy as np
import torch

from framework.data.procedural.dataset import Procedural
from framework.networks.micro import network
from framework.ops.features import hypotheses
from framework.ops.features.hypotheses import describe
from framework.ops.memo import memoised
from framework.ops.tokens import coarse_tokens
from framework.tracker import Tracker, lockstep
from framework.types import Candidates, Features, Frame, Query
from motion.learned_judge import LearnedJudge
from policies.learned_write_gate import LearnedWriteGate


def test_each_value_is_computed_once_and_by_identity():
    asked = []

    @memoised
    def doubled(values):
        asked.append(values)
        return 2 * values

    one, equal = torch.ones(2), torch.ones(2)
    assert doubled(one) is doubled(one) and doubled(equal) is doubled(equal) is not doubled(one)
    assert doubled(one) is doubled(one) and len(asked) == 2, "alternating between two costs nothing"
    assert doubled(one).tolist() == [2, 2]


def test_nothing_is_kept_after_the_frame():
    candidates = Candidates(torch.ones(1, 3, 8, 8), torch.ones(1, 3), torch.ones(1, 3, 4), torch.ones(1))
    embedding = torch.rand(2, 64, 64)
    features = Features(Query(0, embedding, None), torch.rand(3, 8, 8), None)
    assert describe(candidates, features) is describe(candidates, features)
    masks, tokens = ref(describe(candidates, features).masks), ref(coarse_tokens(embedding))
    assert masks() is not None and tokens() is not None
    del candidates
    assert masks() is None and tokens() is not None
    del embedding, features
    assert tokens() is None


def test_gate_and_judge_count_the_masks_of_each_object_once_a_frame(monkeypatch):
    counted, alive = [], []

    def count(logits):
        found = hypotheses_counted(logits)
        counted.append(len(logits))
        alive.append(ref(found[0]))
        return found

    hypotheses_counted = hypotheses.count_cells
    monkeypatch.setattr(hypotheses, "count_cells", count)
    video = Procedural("val", "hard", length=6, targets=2).sequence(0)
    prompts = video.prompts()[0]
    frames = (Frame(video.frame(t), prompts if t == 0 else {}) for t in range(video.length))
    tracker = Tracker(network(), LearnedWriteGate(), LearnedJudge())
    results = list(lockstep({"": tracker}, frames, video.length))
    gc.collect()  # checks of types leave cycles behind
    assert len(prompts) == 2 and counted == [1, 1] + [3, 3] * 5
    assert len(results) == 6 and all(masks() is None for masks in alive), "though the results are kept"
    assert np.isfinite([track.scores.motion for track in results[-1][""].tracks.values()]).all()
