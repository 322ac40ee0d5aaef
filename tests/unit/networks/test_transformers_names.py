"""Weights in the format of the package transformers: every entry has its place here, and every entry here is filled."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from framework.errors import InputError
from framework.networks import transformers_names
from framework.networks.build import layout, network
from framework.networks.checkpoints import CONVERTED, SOURCES, read
from framework.networks.transformers_names import MARK, official, official_name

LISTED = json.loads(gzip.decompress((Path(__file__).parents[2] / "assets/transformers_names.json.gz").read_bytes()))
"""Backbone -> name and shape of every entry of transformers 5.24's model of it."""
TWIN = "prompt_encoder.shared_embedding.positional_embedding"


def numbered(listing: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """Every entry filled with a number of its own."""
    values = {name: torch.tensor(number).expand(shape) for number, (name, shape) in enumerate(listing.items())}
    return values | {TWIN: values[MARK]} if TWIN in values else values


@pytest.mark.parametrize("name", LISTED)
def test_every_entry_has_its_place(name):
    given = numbered(LISTED[name])
    found = SOURCES[name].select(official(given))
    assert {key: tuple(value.shape) for key, value in found.items()} == layout(name)
    numbers = [
        number for value in found.values() for number in value.flatten(1 if value.dim() > 9 else 0).unique().tolist()
    ]
    unread = set(range(len(given))) - set(numbers)
    names = [key for number, key in enumerate(given) if number in unread]
    assert all(key == TWIN or "neck.fpn_layers.3." in key for key in names)
    zeros = 1 if name == "sam3" else 0  # the class token that no one reads
    split = 3 * sum(".point_embed." in key for key in given)  # one for each kind of point
    assert len(numbers) == len(given) - len(names) + split + zeros


@pytest.mark.parametrize("name", [name for name in LISTED if name != "sam3"])
def test_numbers_go_there_and_back(name):
    """What is made of a state by the listing gives that state again."""
    generator = torch.Generator().manual_seed(0)
    own = {key: torch.randn(shape, generator=generator) for key, shape in layout(name).items()}
    found = official(converted(own, LISTED[name]))
    assert list(found) and found.keys() == own.keys()
    assert all(torch.equal(found[key], own[key]) for key in own)


def converted(own: Mapping[str, Tensor], listing: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """An own state as transformers would write it."""
    given = {}
    for name in listing:
        here = official_name(MARK if name == TWIN else name)
        if part := transformers_names._JOINED.fullmatch(here):
            before, letter, after = part.groups()
            letters = (
                "qkv"
                if f"{before}qkv{after}" in own
                else "kv"
                if f"{before}kv{after}" in own and letter != "q"
                else "q"
            )
            given[name] = own[f"{before}{letters}{after}"].chunk(len(letters))[letters.index(letter)].clone()
        elif here == "sam_prompt_encoder.point_embed.weight":
            given[name] = torch.cat([own[f"sam_prompt_encoder.point_embeddings.{kind}.weight"] for kind in range(4)])
        else:
            given[name] = own[here].clone()
    assert {name: list(value.shape) for name, value in given.items()} == dict(listing)
    return given


def test_queries_keys_and_values_are_stacked_in_this_order():
    attention = "vision_encoder.backbone.layers.3.attention"
    q, k, v = (torch.full((2, 2), float(number)) for number in range(3))
    given = {f"{attention}.v_proj.weight": v, f"{attention}.q_proj.weight": q, f"{attention}.k_proj.weight": k}
    assert official(given)["image_encoder.trunk.blocks.3.attn.qkv.weight"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    perceiver = "spatial_perceiver.layers.1.self_attention"
    given = {f"{perceiver}.{letter}_proj.weight": part for letter, part in zip("qvk", (q, v, k), strict=True)}
    found = official(given)
    assert found["spatial_perceiver.layers.1.self_attn.to_kv.weight"][:, 0].tolist() == [1, 1, 2, 2]
    assert found["spatial_perceiver.layers.1.self_attn.to_q.weight"] is q


def test_positions_of_sam3_have_a_class_token_in_front():
    table = torch.arange(1.0, 5).reshape(1, 2, 2)
    name = "vision_encoder.backbone.embeddings.position_embeddings"
    assert official({name: table})["image_encoder.trunk.pos_embed"].tolist() == [[[0, 0], [1, 2], [3, 4]]]


def test_the_file_of_detector_and_tracker_holds_the_tracker():
    """Its tracker reads the detector's trunk through a neck of its own."""
    alone = numbered(LISTED["sam3"])
    prefixes = {"vision_encoder.backbone.": "detector_model.", "vision_encoder.neck.": "tracker_neck."}
    whole = {}
    for name, value in alone.items():
        prefix = next((given for start, given in prefixes.items() if name.startswith(start)), "tracker_model.")
        whole[prefix + (name.removeprefix("vision_encoder.neck.") if prefix == "tracker_neck." else name)] = value
    whole["detector_model.vision_encoder.neck.fpn_layers.0.proj1.weight"] = torch.zeros(1)
    whole["detector_model.detr_encoder.layers.0.weight"] = torch.zeros(1)
    found, expected = official(whole), official(alone)
    assert found.keys() == expected.keys() and all(found[key].equal(expected[key]) for key in found)


def test_a_folder_of_transformers_loads(tmp_path):
    own = network("edgetam", checkpoint="random", device="cpu", seed=3).model.state_dict()
    save_file(
        {key: value.contiguous() for key, value in converted(own, LISTED["edgetam"]).items()}, tmp_path / CONVERTED
    )
    loaded = network("edgetam", checkpoint=str(tmp_path), device="cpu").model.state_dict()
    assert all(torch.equal(loaded[key], own[key]) for key in own)
    with pytest.raises(InputError, match=r"does not fit sam2.1_hiera_t: .* it fits backbone=edgetam$"):
        network("sam2.1_hiera_t", checkpoint=str(tmp_path / CONVERTED), device="cpu")


def test_other_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\x05\x00")
    with pytest.raises(InputError, match=r"weights.safetensors is truncated or damaged, or no safetensors file"):
        read(path)
    save_file({"lm_head.weight": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="of no network that transformers has for tracking"):
        read(path)
    save_file({MARK: torch.zeros(2, 128), TWIN: torch.ones(2, 128)}, path)
    with pytest.raises(InputError, match="differ, which are one matrix"):
        read(path)
