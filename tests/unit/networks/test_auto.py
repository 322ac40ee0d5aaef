"""The best weights that can be had: what is at hand first, the best of it, then the hub, then the embedded network."""

import threading
import time
from pathlib import Path

import huggingface_hub
import pytest
import torch

from framework.errors import InputError
from framework.networks import auto, checkpoints
from framework.networks.auto import choose
from framework.networks.build import NAMES
from framework.networks.build import network as official
from framework.networks.checkpoints import SOURCES


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoint anywhere, and a hub that cannot be reached."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENGRAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: None)

    def unreachable(url: str, timeout: float = 0) -> None:
        raise OSError("no route to host\nmore")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


def test_the_best_of_what_is_here_is_taken(tmp_path: Path) -> None:
    put(tmp_path / "cache" / "edgetam.pt")
    assert choose().name == "edgetam"
    put(tmp_path / "cache" / "sam2_hiera_large.pt")
    assert choose().name == "sam2_hiera_l"
    put(tmp_path / "cache" / "sam2.1_hiera_tiny.pt")
    choice = choose()
    assert choice.name == "sam2.1_hiera_t"
    assert choice.line == (
        f"backbone=sam2.1_hiera_t, the best checkpoint that is here: {tmp_path}/cache/sam2.1_hiera_tiny.pt; "
        "backbone=sam2.1_hiera_l is more accurate and slower"
    )
    large = put(tmp_path / "cache" / "sam2.1_hiera_large.pt")
    assert choose().line == f"backbone=sam2.1_hiera_l, the best checkpoint that is here: {large}"
    assert set(auto.BEST) <= set(NAMES)


def test_checkpoints_are_found_where_they_usually_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sam2's own folder, torch.hub's and the hub's cache, after the project's; and whichever backbone is asked for."""
    hub = put(tmp_path / "hub" / "blob")
    asked = []

    def cached(repository: str, file: str) -> str | None:
        asked.append((repository, file))
        return str(hub) if file == "sam2.1_hiera_small.pt" else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    cache = tmp_path / "cache"
    assert checkpoints.find("sam2.1_hiera_s", None, cache) == hub
    assert asked == [("facebook/sam2.1-hiera-small", "sam2.1_hiera_small.pt")]
    assert choose().name == "sam2.1_hiera_s" and str(hub) in choose().line
    file = "sam2.1_hiera_small.pt"
    for place in (tmp_path / "torch" / "checkpoints" / file, Path("checkpoints") / file, cache / file):
        put(place)
        assert checkpoints.find("sam2.1_hiera_s", None, cache) == place


def test_what_lies_in_a_cache_of_others_is_loaded_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    name = "efficienttam_ti_512x512"
    made = official(name, checkpoint="random", image_size=64, device="cpu", seed=5)
    Path("checkpoints").mkdir()
    torch.save({"model": made.model.state_dict()}, f"checkpoints/{name}.pt")
    found = official(name, image_size=64, device="cpu")
    image = torch.randn(3, 64, 64)
    assert torch.equal(made.encode(image, 0, None).query.embedding, found.encode(image, 0, None).query.embedding)
    assert [path.name for path in Path("checkpoints").iterdir()] == [f"{name}.pt"]


def test_without_any_the_embedded_network_is_taken_and_says_how_to_get_a_better_one(tmp_path: Path) -> None:
    source = SOURCES["sam2.1_hiera_t"]
    assert choose().name == "photo"
    assert choose().line == (
        "backbone=photo, embedded, as no checkpoint is here or can be fetched (no route to host): for better masks, "
        f"put {source.file} from {source.page} into {tmp_path}/cache"
    )
    assert "(fetching is off)" in choose(fetch=False).line


def test_the_hub_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: over.wait(60))
    monkeypatch.setattr(auto, "PATIENCE", 0.05)
    begun = time.monotonic()
    assert "(no answer in 0.05 seconds)" in choose().line
    assert time.monotonic() - begun < 30
    over.set()


def test_a_hub_that_answers_is_fetched_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: None)
    monkeypatch.setattr(checkpoints, "fetch", lambda name, cache: cache / SOURCES[name].file)
    choice = choose()
    assert choice.name == "sam2.1_hiera_t" and f"to {tmp_path}/cache/sam2.1_hiera_tiny.pt;" in choice.line

    def broken(name: str, cache: Path) -> Path:
        raise InputError("no weights") from OSError("disk quota")

    monkeypatch.setattr(checkpoints, "fetch", broken)
    assert choose().name == "photo" and "(the download failed: disk quota)" in choose().line


def test_the_choice_is_said_and_made(capsys: pytest.CaptureFixture[str]) -> None:
    made = auto.network(fetch=False, device="cpu", rows_at_once=2)
    assert made.input_size == (256, 256) and made.rows_at_once == 2
    assert capsys.readouterr().err == choose(fetch=False).line + "\n"
    auto.network(checkpoint="random", device="cpu")
    assert capsys.readouterr().err == ""
    put(Path("checkpoints/sam2.1_hiera_tiny.pt"))
    with pytest.raises(InputError, match=r"checkpoints/sam2\.1_hiera_tiny\.pt is not a checkpoint"):
        auto.network(device="cpu")
