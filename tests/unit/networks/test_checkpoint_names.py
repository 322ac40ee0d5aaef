"""SAM 3's file: what of it is loaded, what is missing, whose it is, and what its authors ask for."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from torch import Tensor, nn

from framework.errors import InputError
from framework.networks.checkpoint_names import of_sam3
from framework.networks.checkpoints import find, load


@pytest.mark.parametrize(
    ("file", "here"),
    [
        ("detector.backbone.vision_backbone.trunk.ln_pre.bias", "image_encoder.trunk.ln_pre.bias"),
        ("detector.backbone.vision_backbone.trunk.blocks.31.attn.freqs_cis", None),
        ("detector.backbone.vision_backbone.sam2_convs.2.conv_1x1.bias", "image_encoder.neck.convs.2.conv_1x1.bias"),
        ("detector.backbone.vision_backbone.sam2_convs.3.conv_1x1.bias", None),
        ("detector.backbone.vision_backbone.convs.2.conv_1x1.bias", None),
        ("detector.transformer.encoder.norm.bias", None),
        ("tracker.transformer.encoder.layers.0.linear1.bias", "memory_attention.layers.0.linear1.bias"),
        ("tracker.maskmem_backbone.out_proj.bias", "memory_encoder.out_proj.bias"),
        (
            "tracker.sam_mask_decoder.transformer.layers.1.mlp.lin1.bias",
            "sam_mask_decoder.transformer.layers.1.mlp.layers.0.bias",
        ),
        (
            "tracker.sam_mask_decoder.transformer.layers.0.mlp.lin2.weight",
            "sam_mask_decoder.transformer.layers.0.mlp.layers.1.weight",
        ),
        ("tracker.sam_mask_decoder.iou_token.weight", "sam_mask_decoder.iou_token.weight"),
        ("image_encoder.trunk.pos_embed", "image_encoder.trunk.pos_embed"),
    ],
)
def test_names(file: str, here: str | None) -> None:
    assert of_sam3(file) == here


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.memory_encoder = nn.Linear(2, 3)
        self.no_obj_ptr = nn.Parameter(torch.randn(1, 2))


def layout(name: str) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in Net().state_dict().items()} if name == "sam3" else {}


def published(net: nn.Module) -> dict[str, Tensor]:
    state = {name.replace("memory_encoder.", "maskmem_backbone."): value for name, value in net.state_dict().items()}
    used = {f"tracker.{name}": value for name, value in state.items()}
    turns = torch.ones(4, 2, dtype=torch.complex64)
    return used | {
        "detector.class_head.bias": torch.zeros(2),
        "detector.backbone.vision_backbone.trunk.blocks.0.attn.freqs_cis": turns,
    }


@pytest.mark.parametrize("bare", [True, False])
def test_the_file_loads_with_and_without_a_key_around_it(bare: bool, tmp_path: Path) -> None:
    net, other = Net(), Net()
    content: dict[str, Any] = published(net)
    torch.save(content if bare else {"model": content, "epoch": 3}, tmp_path / "sam3.pt")
    load(other, "sam3", tmp_path, layout)
    assert all(torch.equal(one, two) for one, two in zip(net.parameters(), other.parameters(), strict=True))


def test_what_is_missing_or_unknown_is_said(tmp_path: Path) -> None:
    state = published(Net())
    del state["tracker.maskmem_backbone.bias"]
    torch.save(state | {"tracker.new": torch.zeros(1)}, tmp_path / "sam3.pt")
    with pytest.raises(InputError, match=r"1 missing \(memory_encoder.bias\), 1 unexpected \(new\); it fits no known"):
        load(Net(), "sam3", tmp_path, layout)


def test_a_file_of_sam3_is_known_where_another_is_wanted(tmp_path: Path) -> None:
    torch.save({"model": published(Net())}, tmp_path / "x.pt")
    with pytest.raises(InputError, match=r"does not fit edgetam: .*; it fits backbone=sam3$"):
        load(nn.Linear(2, 2), "edgetam", tmp_path / "x.pt", layout)


def test_without_access_the_line_says_what_to_accept_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(url: str) -> None:
        assert url == "https://huggingface.co/facebook/sam3/resolve/main/sam3.pt"
        raise OSError("401 Client Error: access to model facebook/sam3 is restricted")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refused)
    with pytest.raises(InputError) as error:
        find("sam3", None, tmp_path)
    line = str(error.value)
    asked = "https://huggingface.co/facebook/sam3 (accept the SAM License there, then log in with `hf auth login`"
    assert asked in line and str(tmp_path / "sam3.pt") in line and "restricted" in line and "\n" not in line
