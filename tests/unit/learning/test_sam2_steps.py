"""The differentiable steps compute what the network's facade computes."""

import numpy as np
import pytest
import torch

from framework.learning.pretraining.sam2_steps import (
    PROMPTED_SLOT,
    RowMemories,
    condition,
    decode,
    encode,
    memorise,
    object_pointer,
)
from framework.networks.micro import micro, network
from framework.types import Entry, Prompt, Read, Scores, upsample

ROUNDING = 2.0**-8  # of bfloat16, in which memories are kept


@pytest.fixture(scope="module")
def facade():
    return network("random")


@pytest.fixture(scope="module")
def features(facade):
    image = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    with torch.no_grad():
        return facade.encode(image, 0, None), encode(facade.model, facade.prepare(image)[None])


def test_grids_are_sixteen_times_sixteen_tokens_and_half_resolution_masks():
    torch.manual_seed(0)
    model = micro().eval()
    with torch.no_grad():
        pyramid = encode(model, torch.randn(2, 3, 128, 128))
        decoded = decode(model, pyramid, pyramid.embedding)
        memory = memorise(model, pyramid, torch.randn(2, 128, 128), torch.tensor([True, False]))
    assert pyramid.embedding.shape == (2, 64, 16, 16)
    assert decoded.logits.shape == (2, 4, 64, 64) and decoded.tokens.shape == (2, 4, 64)
    assert memory.shape == (2, 64, 16, 16)
    assert model.sam_prompt_encoder.mask_input_size == (64, 64)


def test_memory_attention_and_masks_are_the_facades(facade, features):
    theirs, ours = features
    mask = np.zeros((128, 128), bool)
    mask[40:72, 48:80] = True
    with torch.no_grad():
        prompted = facade.prompt(theirs, [Prompt(mask=mask)])
        stored = facade.memorise(theirs, prompted.logits[:, 0], prompted.presence, torch.tensor([True]))[0]
        entry = Entry(0, prompted.pointers[0, 0], stored, Scores(1.0, 10.0, None, 0, True))
        their_reading = facade.condition(theirs, [Read(spatial=((entry, -1),), pointers=((entry, 3),))])
        their_masks = facade.decode(theirs, their_reading, torch.tensor([-1e9]))
        memory = RowMemories(
            stored.float()[None], entry.pointer[None], torch.zeros(1, 256), torch.zeros(1, dtype=torch.long)
        )
        slot = torch.tensor([PROMPTED_SLOT])
        our_reading, _ = condition(facade.model, ours, [(memory, slot)], [(memory, torch.tensor([3.0]))])
        our_masks = decode(facade.model, ours, our_reading)
    torch.testing.assert_close(our_reading, their_reading, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(our_masks.logits[:, 1:], their_masks.logits, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(our_masks.iou[:, 1:], their_masks.iou, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("visible", [True, False])
@pytest.mark.parametrize("prompted", [True, False])
def test_a_memory_is_the_one_the_facade_keeps(facade, features, visible, prompted):
    """To the rounding in which both are kept, for a prompt's sure mask and for a tracked one, present and absent."""
    theirs, ours = features
    logits = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(1)) * 3
    full = upsample(logits, (128, 128))
    full = torch.where(full > 0, torch.inf, -torch.inf) if prompted else full
    presence, flags = torch.tensor([1.0 if visible else -1.0]), torch.tensor([prompted])
    with torch.no_grad():
        stored = facade.memorise(theirs, logits, presence, flags)[0]
        memory = memorise(facade.model, ours, full, torch.tensor([visible]))
    torch.testing.assert_close(memory[0], stored.float(), rtol=2 * ROUNDING, atol=2 * ROUNDING)


def test_an_absence_adds_its_embedding_to_the_rows_that_are_absent_alone():
    torch.manual_seed(0)
    model = micro().eval()
    with torch.no_grad():
        pyramid, logits = encode(model, torch.randn(2, 3, 128, 128)), torch.randn(2, 128, 128)
        without = memorise(model, pyramid, logits, torch.tensor([True, True]))
        model.no_obj_embed_spatial.fill_(8.0)
        mixed = memorise(model, pyramid, logits, torch.tensor([True, False]))
    assert torch.equal(mixed[0], without[0])
    torch.testing.assert_close(mixed[1] - without[1], torch.full_like(without[1], 8.0), rtol=0, atol=16 * ROUNDING)


def test_a_pointer_is_of_the_chosen_token_or_the_learned_one_of_no_object(facade, features):
    _, ours = features
    two = ours.pick(torch.tensor([0, 0]))
    with torch.no_grad():
        decoded = decode(facade.model, two, two.embedding)
        pointer = object_pointer(facade.model, decoded, torch.tensor([2, 1]), torch.tensor([True, False]))
        expected = facade.model.obj_ptr_proj(decoded.tokens[0, 2])
    torch.testing.assert_close(pointer[0], expected)
    assert torch.equal(pointer[1:], facade.model.no_obj_ptr)
