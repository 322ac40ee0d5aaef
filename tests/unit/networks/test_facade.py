"""The facade over a network: what it refuses, and what it does where the published predictors stop."""

import numpy as np
import pytest
import torch

from framework.errors import InputError
from framework.networks.micro import micro, network
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker, lockstep
from framework.types import Frame, Prompt
from policies.sam2 import Sam2


def test_a_network_that_mixes_the_rows_of_a_batch_is_refused() -> None:
    mixing = micro(64).eval()
    mixing.non_overlap_masks_for_mem_enc = True
    with pytest.raises(InputError, match=r"non_overlap_masks_for_mem_enc=true, by which .*: set it to false"):
        Sam2Network(mixing)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_prompt_of_a_later_frame_may_be_all_that_is_remembered(dtype: str) -> None:
    """Then no pointer is read either, and in sam2's predictor bfloat16 memories meet float32 weights."""
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    absorbed = {3: Frame(images[3], {1: Prompt(box=(8.0, 8.0, 40.0, 40.0))})}
    tracker = Tracker(network("random", dtype=dtype, image_size=64), Sam2(), presence_threshold=-100.0)
    with torch.inference_mode():
        results = [step[""].tracks[1] for step in lockstep({"": tracker}, map(Frame, images), 4, absorbed)]
    assert (results[0].memory.spatial, results[0].memory.pointers) == (((3, -1),), ())
    assert all(track.logits.isfinite().all() and track.logits.std() > 0 for track in results)
    assert results[3].scores.prompted
