"""What gain, bias and measurement do to memory attention, on SAM2's own modules with strong weights."""

import copy
import weakref
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from framework.diagnostics.deterministic_weights import array, fill
from framework.networks.build import model
from framework.networks.rope import RotaryCrossAttention
from framework.networks.sam2 import Sam2Network
from framework.types import ANCHOR, Entry, Features, Read, Scores

SCORES = Scores(1.0, 5.0, None, 10, False)
Reader = Callable[[int], Read]


@pytest.fixture(scope="module", params=[("sam2.1_hiera_t", 128), ("efficienttam_ti_1", 128), ("edgetam", 256)], ids=str)
def network(request: pytest.FixtureRequest) -> Sam2Network:
    return Sam2Network(fill(model(*request.param)).requires_grad_(False))


@pytest.fixture(scope="module")
def features(network: Sam2Network) -> Features:
    return network.encode(torch.from_numpy(array("image", (3, *network.input_size))), 9, None)


@pytest.fixture(scope="module")
def read(network: Sam2Network, features: Features) -> Reader:
    """A read of so many memories, in the shape that this network remembers in, and as many pointers."""
    logits = torch.from_numpy(array("mask", (1, *network.logit_size)))
    (memory,) = network.memorise(features, logits, torch.ones(1), torch.tensor([False]))

    def made(memories: int) -> Read:
        entries = [
            Entry(
                frame,
                torch.from_numpy(array(f"pointer{frame}", (256,))),
                torch.from_numpy(array(f"memory{frame}", tuple(memory.shape))).bfloat16(),
                SCORES,
            )
            for frame in range(memories)
        ]
        slots = [ANCHOR, *range(memories - 1)]
        return Read(tuple(zip(entries, slots, strict=True)), tuple((e, 9 - e.frame) for e in entries))

    return made


def test_neutral_weights_change_nothing(network: Sam2Network, features: Features, read: Reader) -> None:
    plain = read(3)
    expected = network.condition(features, [plain])
    for weighted in (replace(plain, bias=torch.zeros(6)), replace(plain, gain=torch.ones(6))):
        torch.testing.assert_close(network.condition(features, [weighted]), expected, atol=2e-5, rtol=0)


def test_minus_infinity_forgets_an_item(network: Sam2Network, features: Features, read: Reader) -> None:
    plain = read(4)
    bias = torch.zeros(8)
    bias[1] = bias[5] = -torch.inf
    shorter = Read(
        tuple(item for index, item in enumerate(plain.spatial) if index != 1),
        tuple(item for index, item in enumerate(plain.pointers) if index != 1),
    )
    found = network.condition(features, [replace(plain, bias=bias)])
    torch.testing.assert_close(found, network.condition(features, [shorter]), atol=5e-5, rtol=0)


def test_gain_is_felt(network: Sam2Network, features: Features, read: Reader) -> None:
    plain = read(3)
    louder = replace(plain, gain=torch.tensor([1.0, 1.3, 1.0, 1.0, 1.0, 1.0]))
    assert (network.condition(features, [louder]) - network.condition(features, [plain])).abs().max() > 1e-2


def test_gradient_reaches_the_bias(network: Sam2Network, features: Features, read: Reader) -> None:
    bias = torch.zeros(6, requires_grad=True)
    network.condition(features, [replace(read(3), bias=bias)]).square().sum().backward()
    assert bias.grad is not None and (bias.grad != 0).all()


def test_measured_mass(network: Sam2Network, features: Features, read: Reader) -> None:
    plain = read(3)
    conditioned, mass = network.measure(features, [plain, plain])
    torch.testing.assert_close(conditioned[:1], network.condition(features, [plain]), atol=2e-5, rtol=0)
    np.testing.assert_allclose(mass.sum(dim=1), 1, atol=1e-5)
    assert mass.shape == (2, 6, *conditioned.shape[2:]) and (mass > 0).all()
    assert (mass.std(dim=(2, 3)) > 0).all()  # each token's own
    bias = torch.zeros(6)
    bias[2] = -torch.inf
    _, without = network.measure(features, [replace(plain, bias=bias)])
    assert (without[0, 2] == 0).all()


def test_nothing_read_is_the_image_alone(network: Sam2Network, features: Features) -> None:
    expected = features.query.embedding + network.model.no_mem_embed[0, 0, :, None, None]
    torch.testing.assert_close(network.condition(features, [Read()])[0], expected)


def test_rows_are_independent(network: Sam2Network, features: Features, read: Reader) -> None:
    one, other = read(3), replace(read(3), pointers=tuple(reversed(read(3).pointers)))
    together = network.condition(features, [one, other])
    for row, alone in enumerate((one, other)):
        torch.testing.assert_close(together[row : row + 1], network.condition(features, [alone]), atol=2e-5, rtol=0)
    candidates = network.decode(features, together, torch.zeros(2))
    single = network.decode(features, together[1:], torch.zeros(1))
    torch.testing.assert_close(candidates.row(1).logits, single.logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kinds", ["both", "memories", "pointers"])
def test_preparing_memories_changes_nothing(
    network: Sam2Network, features: Features, read: Reader, kinds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever slots and in however many blocks of queries they are read."""
    first = read(4)
    moved = tuple((entry, slot) for (entry, _), (_, slot) in zip(first.spatial[::-1], first.spatial, strict=True))
    reads = [first, replace(first, spatial=moved)]
    if kinds == "memories":
        reads = [replace(each, pointers=()) for each in reads]
    if kinds == "pointers":
        reads = [replace(each, spatial=()) for each in reads]
    prepared = replace(network, prepare_memories=True)
    trainable = replace(prepared, model=copy.deepcopy(network.model).requires_grad_())
    assert trainable.prepared_attention is None and network.prepared_attention is None
    pooled = isinstance(network.model.memory_attention.layers[0].cross_attn_image, RotaryCrossAttention)
    assert (prepared.prepared_attention is None) == pooled
    with torch.no_grad():
        expected = network.condition(features, reads)
        torch.testing.assert_close(prepared.condition(features, reads), expected, atol=2e-5, rtol=0)
        monkeypatch.setattr("framework.networks.prepared_memory.SCORES", 1000)
        torch.testing.assert_close(prepared.condition(features, reads), expected, atol=2e-5, rtol=0)


def test_what_is_prepared_goes_with_its_memory() -> None:
    network = Sam2Network(fill(model("sam2.1_hiera_t", 64)).requires_grad_(False), prepare_memories=True)
    attention = network.prepared_attention
    assert attention is not None
    memory = torch.zeros(64, 4, 4, dtype=torch.bfloat16)
    prepared = weakref.ref(attention.prepared(memory))
    assert attention.prepared(memory) is prepared()
    del memory
    assert prepared() is None
