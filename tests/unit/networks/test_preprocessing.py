"""Frames become network input the way each project does it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from framework.evaluation.protocol import EvaluationProtocol
from framework.networks.conventions import Conventions
from framework.networks.micro import network
from framework.types import IMAGE_DEVIATION, IMAGE_MEAN, Normalisation

FRAME = np.random.default_rng(0).integers(0, 256, (200, 320, 3), dtype=np.uint8)


def normalised(image: torch.Tensor) -> torch.Tensor:
    return (image - torch.tensor(IMAGE_MEAN)[:, None, None]) / torch.tensor(IMAGE_DEVIATION)[:, None, None]


@pytest.mark.parametrize("resize", ["bicubic", "bilinear", "antialiased"])
def test_resize_is_the_protocols(resize: str) -> None:
    prepared = EvaluationProtocol(resize=resize).network(network("random")).prepare(FRAME)
    if resize == "bicubic":
        pillow = np.array(Image.fromarray(FRAME).resize((128, 128)))
        expected = torch.from_numpy(pillow).permute(2, 0, 1) / 255
    else:
        floats = torch.from_numpy(FRAME).permute(2, 0, 1)[None] / 255
        (expected,) = F.interpolate(floats, (128, 128), mode="bilinear", antialias=resize == "antialiased")
    torch.testing.assert_close(prepared, normalised(expected), atol=2e-6, rtol=0)


def test_images_are_normalised_as_the_network_was_trained() -> None:
    halves = Normalisation((0.5, 0.25, 0.5), (0.5, 0.125, 2.0))
    net = network("random")
    pixels = np.zeros((128, 128, 3), np.uint8) + np.array([255, 0, 51], np.uint8)
    net.model.conventions = Conventions(normalisation=halves)
    features = net.encode(pixels, 0, None)
    expected = torch.tensor([(1 - 0.5) / 0.5, -0.25 / 0.125, (0.2 - 0.5) / 2])
    torch.testing.assert_close(features.image, expected[:, None, None].expand(3, 128, 128))
    assert features.normalisation == halves
    rgb = torch.tensor([1.0, 0.0, 0.2])[:, None, None].expand(3, 128, 128)
    torch.testing.assert_close(halves.undo(features.image), rgb)


def test_compute_type_is_the_protocols_or_the_backbones() -> None:
    backbone = network("random", dtype="bfloat16")
    assert EvaluationProtocol().network(backbone).autocast == torch.bfloat16
    assert EvaluationProtocol(autocast="float32").network(backbone).autocast is None
    assert EvaluationProtocol(autocast="float16").network(backbone).autocast == torch.float16


def test_float16_tracks_like_float32() -> None:
    features = {}
    for autocast in ("float32", "float16"):
        found = EvaluationProtocol(autocast=autocast).network(network("random")).encode(FRAME, 0, None)
        features[autocast] = found.query.embedding.float()
    assert (features["float16"] - features["float32"]).abs().max() < 0.02 * features["float32"].abs().max()
