"""Backbones: the published parameter layouts, and the modules that sam2 does not have."""

import gzip
import inspect
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sam2.modeling.position_encoding import apply_rotary_enc, compute_axial_cis
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor, nn

from framework.errors import InputError
from framework.networks import checkpoint_names
from framework.networks.attention import project
from framework.networks.build import NAMES, layout, model, network
from framework.networks.edgetam import GLOBAL, TOKENS, TwoGridAttention
from framework.networks.efficienttam import PooledAttention
from framework.networks.rope import RotaryCrossAttention
from framework.networks.sam2 import Sam2Network
from framework.types import Entry, Features, Prompt, Read, Scores

TESTS = Path(__file__).parents[2]
BACKBONES = sorted(path for path in (TESTS.parent / "conf" / "backbone").glob("*.yaml") if path.stem in NAMES)
PUBLISHED = json.loads(gzip.decompress((TESTS / "assets" / "state_dicts.json.gz").read_bytes()))
SINCE_2_1 = ("no_obj_embed_spatial", "obj_ptr_tpos_proj.")  # what SAM 2.1 added to SAM 2


# ------------------------------------------------------------------------------------------------------------ layout


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "sam3"])
def test_state_has_the_published_names_shapes_and_order(name: str) -> None:
    assert [(key, list(shape)) for key, shape in layout(name).items()] == list(PUBLISHED[name]["state"].items())


def test_sam3_has_the_entries_of_its_file_that_track() -> None:
    """The file names them after another network, and holds tables and a level besides that nobody reads."""
    published = PUBLISHED["sam3"]
    here = {name: checkpoint_names.of_sam3(name) for name in published["state"]}
    used = {new: tuple(published["state"][name]) for name, new in here.items() if new is not None}
    assert used == layout("sam3")
    unused = [name for name, new in here.items() if new is None]
    assert sum(name.endswith(".attn.freqs_cis") for name in unused) == 32
    assert sum(".sam2_convs.3." in name for name in unused) == len(unused) - 32 == 4
    counted = sum(math.prod(published["state"][name]) for name in here if name not in published["buffers"])
    assert counted == published["parameters"]


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("sam2_")])
def test_sam2_is_sam21_without_its_additions(name: str) -> None:
    newer = layout(name.replace("sam2_", "sam2.1_"))
    assert list(layout(name).items()) == [item for item in newer.items() if not item[0].startswith(SINCE_2_1)]


@pytest.mark.parametrize("name", ["sam2.1_hiera_t", "efficienttam_s", "efficienttam_ti", "edgetam"])
def test_parameters_and_buffers_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        built = model(name)
    assert sum(parameter.numel() for parameter in built.parameters()) == PUBLISHED[name]["parameters"]
    in_state = set(built.state_dict())
    assert sorted(key for key, _ in built.named_buffers() if key in in_state) == sorted(PUBLISHED[name]["buffers"])
    assert not built.training


def test_every_backbone_has_its_config() -> None:
    assert {path.stem for path in BACKBONES} == set(NAMES)


@pytest.mark.parametrize("path", BACKBONES, ids=lambda path: path.stem)
def test_config_names_its_backbone_and_every_option(path: Path) -> None:
    config = OmegaConf.load(path)
    assert config.pop("_target_") == "framework.networks.build.network"
    assert set(config) == set(inspect.signature(network).parameters)
    assert config.name == path.stem
    assert path.stem + ".pt" in path.read_text() or "hiera" in path.stem
    with torch.device("meta"):
        assert config.image_size == model(path.stem).image_size


# --------------------------------------------------------------------------------------------------------- the facade


@pytest.fixture(scope="module", params=["efficienttam_ti_1", "efficienttam_ti_2", "efficienttam_ti_512x512", "edgetam"])
def small(request: pytest.FixtureRequest) -> Sam2Network:
    """Untrained weights on the smallest input that every one of them takes."""
    config = OmegaConf.load(TESTS.parent / "conf" / "backbone" / f"{request.param}.yaml")
    return instantiate(config, checkpoint="random", image_size=256, device="cpu")


def observe(net: Sam2Network, rows: int) -> tuple[Features, list[Entry]]:
    features = net.encode(torch.randn(3, 256, 256, generator=torch.Generator().manual_seed(1)), 0, 9)
    masks = torch.arange(256).view(1, -1, 1) + torch.zeros(rows, 256, 256) < 64 * torch.arange(1, rows + 1).view(
        -1, 1, 1
    )
    seen = net.prompt(features, [Prompt(mask=mask.numpy()) for mask in masks])
    memories = net.memorise(features, seen.logits[:, 0], seen.presence, torch.ones(rows, dtype=torch.bool))
    scores = Scores(iou=1.0, presence=1.0, motion=None, area=1, prompted=True)
    return features, [Entry(i, seen.pointers[i, 0], memories[i], scores) for i in range(rows)]


def reading(entries: list[Entry], pointers: int = 1, **weights: Tensor) -> Read:
    spatial = tuple((entry, slot - 1) for slot, entry in enumerate(entries))
    return Read(spatial=spatial, pointers=tuple((entry, 1) for entry in entries[:pointers]), **weights)


def test_objects_in_one_batch_answer_as_alone(small: Sam2Network) -> None:
    features, entries = observe(small, 2)
    reads = [reading([entry, replace(entry)]) for entry in entries]
    both = small.condition(features, reads)
    alone = torch.cat([small.condition(features, [read]) for read in reads])
    torch.testing.assert_close(both, alone, rtol=0, atol=1e-5)
    assert (both[0] - both[1]).abs().max() > 1e-4
    (lone,) = small.memorise(features, *(x[1:] for x in (torch.ones(2, 64, 64), torch.ones(2))), torch.tensor([False]))
    assert lone.shape == entries[0].features.shape


@pytest.mark.parametrize("count", [0, 1, 3])
def test_unit_gain_and_zero_bias_change_nothing(small: Sam2Network, count: int) -> None:
    features, entries = observe(small, 3)
    plain = small.condition(features, [reading(entries[:count]) if count else Read(pointers=((entries[0], 1),))])
    items = count + 1
    for weights in ({"gain": torch.ones(items)}, {"bias": torch.zeros(items)}):
        read = reading(entries[:count], **weights) if count else Read(pointers=((entries[0], 1),), **weights)
        torch.testing.assert_close(small.condition(features, [read]), plain, rtol=0, atol=1e-5)


def test_memories_alone_can_be_read(small: Sam2Network) -> None:
    """They are stored in bfloat16, which no float32 pointer promotes here."""
    features, entries = observe(small, 2)
    read = reading(entries, pointers=0)
    plain = small.condition(features, [read])
    assert plain.dtype == torch.float32 and plain.isfinite().all()
    torch.testing.assert_close(small.measure(features, [read])[0], plain, rtol=0, atol=1e-5)


def test_a_very_negative_bias_forgets_an_item(small: Sam2Network) -> None:
    features, entries = observe(small, 3)
    bias = torch.tensor([0.0, -1e4, 0.0, 0.0])
    muted, mass = small.measure(features, [reading(entries, bias=bias)])
    without = Read(spatial=((entries[0], -1), (entries[2], 1)), pointers=((entries[0], 1),))
    torch.testing.assert_close(muted, small.condition(features, [without]), rtol=0, atol=1e-5)
    assert not mass[0, 1].any() and mass.sum(1).flatten().tolist() == pytest.approx([1] * mass[0, 0].numel(), abs=1e-5)


def test_edgetam_memories_are_tokens_whatever_the_grid() -> None:
    net = network("edgetam", checkpoint="random", image_size=256, device="cpu")
    _, (entry,) = observe(net, 1)
    assert entry.features.shape == (64, TOKENS, 1)


def test_random_weights_come_from_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (
        network("efficienttam_ti", checkpoint="random", image_size=64, device="cpu", seed=seed).model.state_dict()
        for seed in (3, 3, 4)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_bfloat16_computes_close_to_float32() -> None:
    full, half = (
        network("efficienttam_ti", checkpoint="random", image_size=64, device="cpu", dtype=dtype)
        for dtype in ("float32", "bfloat16")
    )
    image = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    exact, rounded = (net.encode(image, 0, None).query.embedding.float() for net in (full, half))
    assert 0 < (exact - rounded).abs().max() < 0.1 * exact.std()


def test_compiling_keeps_the_published_names() -> None:
    net = network("efficienttam_ti", checkpoint="random", image_size=64, device="cpu", compile=True)
    assert net.model.image_encoder.trunk._compiled_call_impl is not None
    assert list(net.model.state_dict()) == list(PUBLISHED["efficienttam_ti"]["state"])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"name": "sam4"}, "sam4"),
        ({"name": "sam3", "image_size": 250}, "14"),
        ({"name": "sam2.1_hiera_t", "image_size": 1000}, "1000"),
        ({"name": "edgetam", "image_size": 640}, "256"),
        ({"name": "edgetam", "image_size": -256}, "-256"),
        ({"name": "edgetam", "dtype": "float8"}, "float8"),
        ({"name": "edgetam", "device": "abacus"}, "abacus"),
    ],
)
def test_bad_options_are_named_in_one_line(options: dict[str, object], named: str) -> None:
    with pytest.raises(InputError) as error:
        network(**{"checkpoint": "random", **options})
    assert named in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("running", [False, True])
def test_importing_leaves_hydra_as_it_was(running: bool) -> None:
    script = f"""
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
if {running}:
    initialize_config_module("conf", version_base="1.3")
before = GlobalHydra.instance().hydra
import framework.networks
assert GlobalHydra.instance().hydra is before and GlobalHydra.instance().is_initialized() == {running}
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=TESTS.parent)


# ----------------------------------------------------------------------------------------------------- own attentions

WIDTH, MEMORY = 32, 16


def make(kind: type[RoPEAttention], **options: object) -> RoPEAttention:
    torch.manual_seed(0)
    return kind(
        embedding_dim=WIDTH, num_heads=1, kv_in_dim=MEMORY, rope_k_repeat=True, feat_sizes=(8, 8), **options
    ).eval()


def inputs(tokens: int, keys: int) -> tuple[Tensor, Tensor, Tensor]:
    made = torch.Generator().manual_seed(2)
    return tuple(torch.randn(2, n, d, generator=made) for n, d in ((tokens, WIDTH), (keys, MEMORY), (keys, MEMORY)))


def head(linear: nn.Linear, x: Tensor) -> Tensor:
    return linear(x)[:, None]


@torch.no_grad()
@pytest.mark.parametrize(("maps", "pointers"), [(1, 0), (1, 4), (3, 8)])
def test_rotary_attention_is_sam2s(maps: int, pointers: int) -> None:
    q, k, v = inputs(64, maps * 64 + pointers)
    expected = make(RoPEAttention)(q, k, v, num_k_exclude_rope=pointers)
    torch.testing.assert_close(make(RotaryCrossAttention)(q, k, v, num_k_exclude_rope=pointers), expected)
    if maps == 1:
        torch.testing.assert_close(make(PooledAttention)(q, k, v, num_k_exclude_rope=pointers), expected)


@torch.no_grad()
@pytest.mark.parametrize("shift_keys", [False, True])
@pytest.mark.parametrize("pointers", [0, 4])
def test_pooled_attention_reads_2x2_landmarks(shift_keys: bool, pointers: int) -> None:
    attention, maps, side = make(PooledAttention, shift_keys=shift_keys), 3, 8
    q, k, v = inputs(side * side, maps * side * side + pointers)
    spatial = maps * side * side
    rotated, keys = apply_rotary_enc(
        head(attention.q_proj, q),
        head(attention.k_proj, k[:, :spatial]),
        compute_axial_cis(WIDTH, side, side),
        repeat_freqs_k=True,
    )

    def pool(x: Tensor) -> Tensor:
        grids = x.view(2 * maps, side, side, WIDTH).permute(0, 3, 1, 2)
        return F.avg_pool2d(grids, 2).flatten(2).mT.reshape(2, 1, -1, WIDTH)

    keys, values = pool(keys), pool(head(attention.v_proj, v[:, :spatial]))
    logits = rotated @ (keys + math.log(4) * shift_keys).mT / WIDTH**0.5 + math.log(4) * (not shift_keys)
    loose = rotated @ head(attention.k_proj, k[:, spatial:]).mT / WIDTH**0.5
    weights = torch.cat([logits, loose], dim=3).softmax(dim=3)
    expected = weights @ torch.cat([values, head(attention.v_proj, v[:, spatial:])], dim=2)
    found = attention(q, k, v, num_k_exclude_rope=pointers)
    torch.testing.assert_close(found, attention.out_proj(expected[:, 0]))


@torch.no_grad()
def test_two_grid_attention_rotates_only_the_placed_latents() -> None:
    attention, maps, pointers = make(TwoGridAttention), 2, 4
    q, k, v = inputs(64, maps * TOKENS + pointers)
    rotated, _ = apply_rotary_enc(head(attention.q_proj, q), head(attention.q_proj, q), compute_axial_cis(WIDTH, 8, 8))
    keys = head(attention.k_proj, k).clone()
    for start in range(GLOBAL, maps * TOKENS, TOKENS):
        part = keys[:, :, start : start + 256]
        keys[:, :, start : start + 256] = apply_rotary_enc(part, part, compute_axial_cis(WIDTH, 16, 16))[0]
    expected = (rotated @ keys.mT / WIDTH**0.5).softmax(dim=3) @ head(attention.v_proj, v)
    torch.testing.assert_close(attention(q, k, v, num_k_exclude_rope=pointers), attention.out_proj(expected[:, 0]))


@torch.no_grad()
def test_pooled_keys_belong_to_the_item_they_were_pooled_from() -> None:
    q, k, v = inputs(64, 3 * 64 + 4)
    owner = torch.tensor([0] * 64 + [1] * 64 + [2] * 64 + [3] * 4)
    bias = owner.float().expand(2, -1)
    projected = project(make(PooledAttention), q, k, v, 4, bias, owner)
    assert projected.owner.tolist() == [0] * 16 + [1] * 16 + [2] * 16 + [3] * 4
    landmarks = torch.tensor([math.log(4)] * 48 + [0.0] * 4)
    torch.testing.assert_close(projected.bias, projected.owner + landmarks.expand(2, -1))


def test_attention_built_under_inference_mode_still_trains() -> None:
    """The rotary tables are shared by all callers, so the first one may not leave them unfit for gradients."""
    q, k, v = inputs(36, 2 * 36)  # a grid no other test uses
    attention = make(PooledAttention)
    with torch.inference_mode():
        attention(q, k, v)
    attention(q, k, v).sum().backward()
    assert attention.k_proj.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_perceiver_takes_batches() -> None:
    perceiver = network("edgetam", checkpoint="random", image_size=256, device="cpu").model.spatial_perceiver
    x, position = torch.randn(2, 3, 64, 32, 32, generator=torch.Generator().manual_seed(0))
    together = perceiver(x, position)
    for i in range(3):
        latents, codes = perceiver(x[i : i + 1], position[i : i + 1])
        torch.testing.assert_close(together[0][i : i + 1], latents)
        assert torch.equal(together[1][i : i + 1], codes) and not codes[:, :GLOBAL].any()
    changed = x.clone()
    changed[0, :, :2, :2] = x[0, :, 2:4, :2]  # the first of the 16x16 windows
    placed = (perceiver(changed, position)[0] - together[0]).abs().amax(dim=2)[:, GLOBAL:]
    assert placed[0, 0] > 1e-3 and not placed[0, 1:].any() and not placed[1:].any()
