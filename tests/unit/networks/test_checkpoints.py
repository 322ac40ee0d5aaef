"""Official checkpoints: found, verified and loaded strictly, or refused in one clear line."""

import io
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from torch import Tensor, nn

from framework.errors import InputError
from framework.networks import checkpoints
from framework.networks.build import layout, network
from framework.networks.checkpoints import SOURCES, cache_folder, find, load, read, sha256

TINY = "efficienttam_ti_512x512"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.second = nn.Linear(2, 2, bias=False)


def tiny_layout(name: str) -> dict[str, tuple[int, ...]]:
    return {"first.weight": (2, 3), "first.bias": (2,), "second.weight": (2, 2)} if name == "edgetam" else {}


def official(path: Path, net: nn.Module) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": net.state_dict()}, path)
    return path


def refusal(action: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        action(*args, **options)
    line = str(error.value)
    assert "\n" not in line
    return line


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **options: object) -> str:
        raise OSError("no route to host\nmore")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)


# ------------------------------------------------------------------------------------------------------------ finding


def test_official_weights_load_by_name_and_answer_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGRAM_CACHE", str(tmp_path))
    made = network(TINY, checkpoint="random", image_size=64, device="cpu", seed=5)
    official(tmp_path / f"{TINY}.pt", made.model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = network(TINY, image_size=64, device="cpu")
    image = torch.randn(3, 64, 64)
    assert torch.equal(made.encode(image, 0, None).query.embedding, found.encode(image, 0, None).query.embedding)
    assert not any(parameter.requires_grad for parameter in found.model.parameters())


def test_path_folder_and_cache_are_looked_up(tmp_path: Path, offline: None) -> None:
    net = Net()
    elsewhere = official(tmp_path / "mine" / "weights.pt", net)
    in_folder = official(tmp_path / "downloads" / "edgetam.pt", net)
    cache = tmp_path / "cache"
    assert find("edgetam", elsewhere, cache) == elsewhere
    assert find("edgetam", str(in_folder.parent), cache) == in_folder
    cached = official(cache / "edgetam.pt", net)
    assert find("edgetam", None, cache) == cached
    for checkpoint in (elsewhere, in_folder, None):
        other = Net()
        assert load(other, "edgetam", checkpoint, tiny_layout, cache).exists()
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_cache_folder_is_configurable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGRAM_CACHE", "~/weights")
    assert cache_folder() == Path.home() / "weights"
    monkeypatch.delenv("ENGRAM_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "engram"


@pytest.mark.parametrize("name", SOURCES)
def test_offline_says_what_to_fetch_from_where_and_where_to_put_it(name: str, tmp_path: Path, offline: None) -> None:
    line = refusal(find, name, None, tmp_path)
    source = SOURCES[name]
    assert source.file in line and source.page in line and str(tmp_path / source.file) in line
    assert "no route to host" in line
    assert source.page.startswith("https://")


def test_a_missing_path_says_the_same(tmp_path: Path) -> None:
    line = refusal(find, "sam2.1_hiera_t", tmp_path / "nowhere.pt", tmp_path)
    assert "nowhere.pt does not exist" in line and "https://huggingface.co/facebook/sam2.1-hiera-tiny" in line


@pytest.mark.parametrize("honest", [True, False])
def test_hub_downloads_are_compared_with_the_published_checksum(
    honest: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    published = official(tmp_path / "hub" / "file.pt", Net())

    def download(repository: str, file: str, local_dir: Path) -> None:
        asked.append((repository, file))
        local_dir.mkdir()
        (local_dir / file).write_bytes(published.read_bytes())

    def metadata(url: str) -> Any:
        assert "facebook/sam2-hiera-base-plus" in url
        return type("Metadata", (), {"etag": sha256(published) if honest else "0" * 64})

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", metadata)
    cache = tmp_path / "cache"
    if honest:
        assert find("sam2_hiera_b+", None, cache).read_bytes() == published.read_bytes()
        find("sam2_hiera_b+", None, cache)  # not asked for again
    else:
        assert "checksum" in refusal(find, "sam2_hiera_b+", None, cache)
        assert not list(cache.iterdir())
    assert asked == [("facebook/sam2-hiera-base-plus", "sam2_hiera_base_plus.pt")]


def test_edgetam_comes_from_its_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda url, path: asked.append(url) or official(Path(path), Net())
    )
    assert find("edgetam", None, tmp_path / "new").exists()
    assert asked == ["https://github.com/facebookresearch/EdgeTAM/raw/main/checkpoints/edgetam.pt"]


# ------------------------------------------------------------------------------------------------------------ reading


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["ATTACKED"],)


def saved(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


WEIGHTS = {"model": {"weight": torch.zeros(200, 200)}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (saved(WEIGHTS)[:-5000], "truncated or damaged"),
        (saved(WEIGHTS)[:10], "truncated or damaged"),
        (saved(WEIGHTS, _use_new_zipfile_serialization=False)[:-5000], "truncated or damaged"),
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a checkpoint: it starts with"),
        (saved({"weight": torch.zeros(3)}), 'should hold {"model": weights}, found weight'),
        (saved(torch.zeros(3)), "found Tensor"),
        (saved({"model": {"weight": 3}, "epoch": 4}), "found model, epoch"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    path.write_bytes(content)
    line = refusal(read, path)
    assert str(path) in line and said in line


def test_one_changed_number_is_noticed(tmp_path: Path) -> None:
    content = bytearray(saved({"model": {"weight": torch.full((200,), 1.5)}}))
    content[content.index(torch.full((9,), 1.5).numpy().tobytes()) + 7] ^= 1
    (tmp_path / "x.pt").write_bytes(content)
    assert torch.load(tmp_path / "x.pt")["model"]["weight"].unique().tolist() != [1.5]
    assert "truncated or damaged; fetch it again" in refusal(read, tmp_path / "x.pt")


@pytest.mark.parametrize("bare", [False, True])
def test_code_in_a_pickle_is_refused_and_never_runs(
    bare: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTACKED", str(tmp_path / "attacked"))
    path = tmp_path / "attack.pt"
    path.write_bytes(pickle.dumps({"model": Attack()}) if bare else saved({"model": Attack()}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "pickled code" in refusal(read, path)
    assert not (tmp_path / "attacked").exists()


def test_older_file_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "legacy.pt"
    path.write_bytes(saved(WEIGHTS, _use_new_zipfile_serialization=False))
    assert torch.equal(read(path)["weight"], WEIGHTS["model"]["weight"])


# ------------------------------------------------------------------------------------------------------------ fitting


def hollow(name: str, path: Path) -> Path:
    """A checkpoint of a backbone's layout in a few kilobytes: every tensor repeats one number."""
    state: dict[str, Tensor] = {key: torch.zeros(()).expand(shape) for key, shape in layout(name).items()}
    torch.save({"model": state}, path)
    return path


@pytest.mark.parametrize(
    ("wanted", "given", "said"),
    [
        (TINY, "efficienttam_s", "backbone=efficienttam_s or efficienttam_s_1 or"),
        ("edgetam", "sam2_hiera_l", "it fits backbone=sam2_hiera_l"),
    ],
)
def test_another_backbones_file_is_recognised(wanted: str, given: str, said: str, tmp_path: Path) -> None:
    line = refusal(network, wanted, checkpoint=str(hollow(given, tmp_path / "x.pt")), device="cpu")
    assert f"does not fit {wanted}" in line and said in line


def test_differing_entries_are_counted_and_the_first_named(tmp_path: Path) -> None:
    state = Net().state_dict()
    state["first.weight"] = torch.zeros(2, 4)
    del state["first.bias"]
    state |= {f"extra.{i}": torch.zeros(1) for i in range(5)}
    torch.save({"model": state}, tmp_path / "x.pt")
    line = refusal(load, Net(), "edgetam", tmp_path / "x.pt", tiny_layout, tmp_path)
    assert "1 missing (first.bias)" in line
    assert "5 unexpected (extra.0, extra.1, extra.2, ...)" in line
    assert "1 of another shape (first.weight [2, 4] for [2, 3])" in line
    assert "it fits no known backbone" in line


def test_a_cached_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = official(tmp_path / "edgetam.pt", Net())
    load(Net(), "edgetam", None, tiny_layout, tmp_path)
    record = tmp_path / "edgetam.pt.sha256"
    assert record.read_text() == f"{sha256(path)}  edgetam.pt\n"
    load(Net(), "edgetam", None, tiny_layout, tmp_path)
    official(path, Net())
    assert "changed since it was first loaded" in refusal(load, Net(), "edgetam", None, tiny_layout, tmp_path)
    record.unlink()
    load(Net(), "edgetam", None, tiny_layout, tmp_path)


def test_efficienttam_variants_share_a_layout_so_names_and_checksums_are_compared(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    net = Net()
    official(cache / "efficienttam_s_1.pt", net)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(Net(), "efficienttam_s_1", None, tiny_layout, cache)
        load(Net(), "edgetam", official(tmp_path / "renamed.pt", net), tiny_layout, cache)
    with pytest.warns(UserWarning, match=r"renamed\.pt is loaded into efficienttam_s_1"):
        load(Net(), "efficienttam_s_1", tmp_path / "renamed.pt", tiny_layout, cache)
    (tmp_path / "efficienttam_s_2.pt").write_bytes((cache / "efficienttam_s_1.pt").read_bytes())
    with pytest.warns(UserWarning, match=r"has the content of efficienttam_s_1\.pt"):
        load(Net(), "efficienttam_s_2", tmp_path / "efficienttam_s_2.pt", tiny_layout, cache)


def test_all_efficienttam_of_one_width_do_share_it() -> None:
    for width in ("s", "ti"):
        same = [layout(name) for name in checkpoints.SOURCES if name.startswith(f"efficienttam_{width}")]
        assert len(same) == 4 and all(entry == same[0] for entry in same)
