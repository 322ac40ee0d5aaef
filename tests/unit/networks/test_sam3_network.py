"""SAM 3's tracker with a tiny trunk: its levels, and another compute type."""

import torch

from framework.diagnostics.deterministic_weights import frame
from framework.networks.build import facade, sam3_model
from framework.networks.sam2 import Sam2Network
from framework.networks.sam3 import Sam3Size

SIZE = Sam3Size(width=32, depth=3, heads=2, window=3, global_blocks=(1,), pretrained_grid=4)


def tiny(**options: object) -> Sam2Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return facade(lambda: sam3_model(84, size=SIZE), device="cpu", **options)


def embedding(network: Sam2Network) -> torch.Tensor:
    return network.encode(frame(0, 100), 0, None).query.embedding.float()


def test_levels_have_four_two_and_one_cells_per_token() -> None:
    features = tiny().encode(frame(0, 100)[:80], 0, None)
    assert [tuple(level.shape) for level in features.private.fine] == [(1, 32, 24, 24), (1, 64, 12, 12)]
    assert tuple(features.query.embedding.shape) == (256, 6, 6) and features.video_size == (80, 100)
    assert tiny().logit_size == (24, 24) and tiny().input_size == (84, 84)


def test_bfloat16_computes_close_to_float32() -> None:
    expected, found = embedding(tiny()), embedding(tiny(dtype="bfloat16"))
    error = float((found - expected).pow(2).mean().sqrt())
    assert 0 < error < 0.03 * float(expected.std())
