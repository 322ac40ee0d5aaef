"""The network for photographs: grown from the embedded one without forgetting, at twice its size in pixels."""

import pytest
import torch
import torch.nn.functional as F

from framework.errors import InputError
from framework.networks.micro import WEIGHTS, MicroSize, load, micro
from framework.networks.photo import IMAGE_SIZE, SIZE, network, photo

SMALL = MicroSize(width=32, memory_width=32, layers=1, feedforward=64, trunk_widths=(8, 16, 24), trunk_depths=(1, 1))
LARGER = MicroSize(
    width=32,
    memory_width=32,
    layers=1,
    feedforward=64,
    trunk_widths=(8, 16, 24),
    trunk_depths=(2, 2),
    stem=5,
    context=2,
)


@torch.no_grad()
def test_grown_from_the_embedded_network_it_answers_the_same_on_the_halved_image():
    known, grown = micro().eval(), photo(initial="micro").eval()
    load(known, WEIGHTS)
    made = torch.Generator().manual_seed(3)
    image, mask = torch.randn(1, 3, 256, 256, generator=made), torch.rand(1, 1, 256, 256, generator=made)
    halved, maps = known.forward_image(F.avg_pool2d(image, 2)), grown.forward_image(image)
    for before, after in zip(halved["backbone_fpn"], maps["backbone_fpn"], strict=True):
        torch.testing.assert_close(after, before)
    embedding = maps["backbone_fpn"][-1]
    before = known.memory_encoder(embedding, F.avg_pool2d(mask, 2), skip_mask_sigmoid=True)["vision_features"]
    torch.testing.assert_close(grown.memory_encoder(embedding, mask, skip_mask_sigmoid=True)["vision_features"], before)
    assert grown.backbone_stride == 16 and grown.image_size == IMAGE_SIZE
    assert 2e6 < sum(parameter.numel() for parameter in grown.parameters()) < 6e6


def test_what_is_new_learns_though_it_adds_nothing_yet(tmp_path):
    torch.manual_seed(0)
    torch.save({"model": micro(64, SMALL).state_dict()}, tmp_path / "small.pt")
    grown = photo(128, LARGER, str(tmp_path / "small.pt"))
    grown.forward_image(torch.randn(1, 3, 128, 128))["backbone_fpn"][-1].square().mean().backward()
    trunk = grown.image_encoder.trunk
    new = (trunk.stages[0][0][0].weight[:, 3:], trunk.stages[0][0][0].weight.grad[:, 3:])
    assert not new[0].any() and new[1].any()
    assert not trunk.context[1].gather.weight.any() and trunk.context[1].gather.weight.grad.any()
    assert trunk.stages[2][-1].body[-1].weight.grad.any()


def test_weights_of_other_networks_are_refused_in_one_line(tmp_path):
    torch.save({"model": micro(64, SMALL).state_dict()}, tmp_path / "small.pt")
    with pytest.raises(InputError, match=r"small.pt: .* has shape .*, not"):
        photo(initial=str(tmp_path / "small.pt"))
    torch.save({"model": {"head.weight": torch.zeros(2)}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other.pt is no smaller network of the same family: head.weight"):
        photo(initial=str(tmp_path / "other.pt"))
    with pytest.raises(InputError, match="multiple of 16 from 64 on, not 40"):
        photo(40)
    with pytest.raises(InputError, match="stem and context"):
        MicroSize(context=-1)


def test_behind_the_facade():
    facade = network("random", device="cpu")
    assert facade.input_size == (256, 256) and facade.logit_size == (64, 64)
    assert SIZE.stride == 16 and MicroSize().stride == 8
