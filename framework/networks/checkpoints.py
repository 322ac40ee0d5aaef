"""Official checkpoints, unmodified: found by path, where they usually lie or on the hub, and loaded strictly.

A checkpoint is a file of `{"model": state_dict}` as its authors publish it, or what the package transformers makes of
it: a `.safetensors` file, or the folder with it (`transformers_names`). The cache folder is `$ENGRAM_CACHE` or
`~/.cache/engram`; beside each file it keeps the SHA-256 of what was first loaded (`<file>.sha256`, in the format of
sha256sum), so a file that changes later is noticed. A file that is not there is looked for in sam2's own folder,
`./checkpoints`, and in the caches of torch.hub and of the Hugging Face hub.
"""

import hashlib
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from framework.errors import InputError
from framework.networks import checkpoint_names, transformers_names

T = TypeVar("T")
StateLayout = dict[str, tuple[int, ...]]
"""Name and shape of every entry of a state."""

CONVERTED = "model.safetensors"  # as transformers' folders call it
SHOWN = 3  # differing entries named in a message


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """Where a checkpoint is published: its file name, the page that lists it, and its repository if on the hub."""

    file: str
    page: str
    repository: str | None = None
    terms: str | None = None
    """What its authors ask for before they hand it out."""
    bare: bool = False
    """The file may be the state itself."""
    names: Callable[[str], str | None] = str
    """What an entry of the file is called here; None for one that the network has no use for."""

    def select(self, state: Mapping[str, T]) -> dict[str, T]:
        """Entries that the network has use for, by their names here."""
        return {here: value for name, value in state.items() if (here := self.names(name)) is not None}


def _on_hub(file: str, repository: str) -> CheckpointSource:
    return CheckpointSource(file, f"https://huggingface.co/{repository}", repository)


_SIZES = {"t": "tiny", "s": "small", "b+": "base-plus", "l": "large"}
SOURCES = {
    **{
        f"{family}_hiera_{short}": _on_hub(
            f"{family}_hiera_{size.replace('-', '_')}.pt", f"facebook/{family}-hiera-{size}"
        )
        for family in ("sam2", "sam2.1")
        for short, size in _SIZES.items()
    },
    "sam3": CheckpointSource(
        "sam3.pt",
        "https://huggingface.co/facebook/sam3",
        "facebook/sam3",
        terms="accept the SAM License there, then log in with `hf auth login` or set HF_TOKEN",
        bare=True,
        names=checkpoint_names.of_sam3,
    ),
    **{
        f"efficienttam_{size}{suffix}": _on_hub(f"efficienttam_{size}{suffix}.pt", "yunyangx/efficient-track-anything")
        for size in ("s", "ti")
        for suffix in ("", "_1", "_2", "_512x512")
    },
    "edgetam": CheckpointSource("edgetam.pt", "https://github.com/facebookresearch/EdgeTAM/tree/main/checkpoints"),
}


def cache_folder() -> Path:
    return Path(os.environ.get("ENGRAM_CACHE", "~/.cache/engram")).expanduser()


def load(
    model: nn.Module,
    name: str,
    checkpoint: str | Path | None,
    layout: Callable[[str], StateLayout],
    cache: Path | None = None,
) -> Path:
    """Loads a backbone's weights in place and returns the file they came from.

    Args:
        name: backbone, a key of `SOURCES`.
        checkpoint: a file, a folder that holds the official file, or None for where it usually lies and then the hub.
        layout: entries of a backbone by its name, to say which one a misfit belongs to.
        cache: cache folder, the default one if None.

    Raises:
        InputError: not found, unreadable, or of another backbone.
    """
    cache = cache or cache_folder()
    path, source = find(name, checkpoint, cache), SOURCES[name]
    published = read(path, source.bare)
    state = source.select(published)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    if found != expected:
        owner = _owner({key: tuple(value.shape) for key, value in published.items()}, layout)
        raise InputError(f"{path} does not fit {name}: {_difference(expected, found)}; {owner}")
    if odd := other_kinds(model, state):
        raise InputError(f"{path} does not fit {name}: {odd[0]} is of {state[odd[0]].dtype}; fetch the published file")
    if checkpoint is None and path.parent == cache:
        _verify(path)
    _warn_of_other_variant(path, name, cache)
    model.load_state_dict(state)
    return path


def find(name: str, checkpoint: str | Path | None, cache: Path) -> Path:
    """The file of a backbone's weights, downloaded into the cache if need be."""
    source = SOURCES[name]
    if checkpoint is None:
        return at_hand(name, cache) or fetch(name, cache)
    path = Path(os.path.expanduser(checkpoint))
    if path.is_dir():
        official, converted = path / source.file, path / CONVERTED
        path = converted if converted.exists() and not official.exists() else official
    if not path.exists():
        raise InputError(f"checkpoint {path} does not exist: {_remedy(source, cache)}")
    return path


def at_hand(name: str, cache: Path) -> Path | None:
    """The official file of a backbone where it usually lies; None where it is not on this machine."""
    return next((path for path in _usual(SOURCES[name], cache) if path.is_file()), None)


def _usual(source: CheckpointSource, cache: Path) -> Iterator[Path]:
    yield cache / source.file
    yield Path("checkpoints") / source.file  # sam2's own
    yield Path(torch.hub.get_dir()) / "checkpoints" / source.file
    if source.repository is not None:
        with suppress(ImportError):  # an extra
            from huggingface_hub import try_to_load_from_cache

            if isinstance(path := try_to_load_from_cache(source.repository, source.file), str):
                yield Path(path)


def read(path: Path, bare: bool = False) -> dict[str, Tensor]:
    """State of a checkpoint file under official names; tensors only, no code of the file is run.

    The file may be the state itself if `bare`.

    Raises:
        InputError: truncated, holding pickled code, or not a checkpoint.
    """
    if path.suffix == ".safetensors":
        return _read_converted(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # the one line below says it better
            content = torch.load(path, map_location="cpu", weights_only=True)
        _check_sums(path)
    except pickle.UnpicklingError as error:
        if _is_checkpoint_file(path):
            raise InputError(
                f"{path} holds pickled code besides tensors and was not loaded; use the published file"
            ) from error
        raise InputError(f"{path} is not a checkpoint: {_what_it_is(path)}") from error
    except Exception as error:  # a damaged file fails in any way
        if _is_checkpoint_file(path):
            raise InputError(f"{path} is truncated or damaged; fetch it again") from error
        raise InputError(f"{path} is not a checkpoint: {_what_it_is(path)}") from error
    state = content.get("model", content if bare else None) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(_is_weight(name, value) for name, value in state.items()):
        held = " ".join(", ".join(map(str, list(content)[:SHOWN])).split()) if isinstance(content, dict) else ""
        raise InputError(
            f'{path} is not an official checkpoint: it should hold {{"model": weights}}, found '
            f"{held or type(content).__name__}"
        )
    return state


def _read_converted(path: Path) -> dict[str, Tensor]:
    """What transformers wrote, under official names."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise InputError(f"{path}: safetensors is not installed: pip install 'engram-tracking[hub]'") from error
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is truncated or damaged, or no safetensors file; fetch it again") from error
    if transformers_names.MARK not in transformers_names.of_tracker(state):
        raise InputError(f"{path} is of no network that transformers has for tracking; give the official file")
    return transformers_names.official(state)


def _check_sums(path: Path) -> None:
    """Raises BadZipFile where numbers are not those that were written: torch compares no checksums."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(damaged)


def _is_weight(name: object, value: object) -> bool:
    """Whether it is numbers under a name: no sparse tensor, nor one that has a shape alone."""
    plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    return plain and isinstance(name, str) and name.isprintable()


def other_kinds(model: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Entries whose numbers may not be copied into a model: floats go to floats of any size, others to their like."""

    def fits(found: Tensor, own: Tensor) -> bool:
        return found.is_floating_point() if own.is_floating_point() else found.dtype == own.dtype

    return [key for key, own in model.state_dict().items() if key in state and not fits(state[key], own)]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remedy(source: CheckpointSource, cache: Path) -> str:
    terms = f" ({source.terms})" if source.terms else ""
    where = f"{source.page}{terms} and put it at {cache / source.file}"
    return f"fetch {source.file} from {where}, or set backbone.checkpoint"


def fetch(name: str, cache: Path) -> Path:
    """Downloads the official file of a backbone into the cache; interrupted hub downloads resume.

    Raises InputError, which says what to do, where that fails.
    """
    source = SOURCES[name]
    path = cache / source.file
    try:
        if source.repository is None:
            cache.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(f"{source.page.replace('/tree/', '/raw/')}/{source.file}", str(path))
        else:
            import huggingface_hub as hub

            # Asked first: without a network this fails at once, where the download would retry for half a minute.
            published = hub.get_hf_file_metadata(hub.hf_hub_url(source.repository, source.file)).etag
            hub.hf_hub_download(source.repository, source.file, local_dir=cache)
            if published and len(published) == 64 and published != sha256(path):
                path.unlink()
                raise OSError("the download differs from the published checksum")
    except Exception as error:  # whatever failed, the remedy is the same
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise InputError(f"no weights for {name}: {_remedy(source, cache)} (download failed: {reason})") from error
    return path


def _difference(expected: StateLayout, found: StateLayout) -> str:
    """The first few entries that are missing, unexpected or of another shape."""
    reshaped = [key for key in expected if key in found and found[key] != expected[key]]
    groups = {
        "missing": [key for key in expected if key not in found],
        "unexpected": [key for key in found if key not in expected],
        "of another shape": [f"{key} {list(found[key])} for {list(expected[key])}" for key in reshaped],
    }
    return ", ".join(
        f"{len(keys)} {kind} ({', '.join(keys[:SHOWN])}{', ...' if len(keys) > SHOWN else ''})"
        for kind, keys in groups.items()
        if keys
    )


def _owner(found: StateLayout, layout: Callable[[str], StateLayout]) -> str:
    names = [name for name, source in SOURCES.items() if layout(name) == source.select(found)]
    return f"it fits backbone={' or '.join(names)}" if names else "it fits no known backbone"


def _verify(path: Path) -> None:
    """Records the checksum of a cached file at its first load and compares it afterwards."""
    record = path.with_name(path.name + ".sha256")
    digest = sha256(path)
    if not record.exists():
        record.write_text(f"{digest}  {path.name}\n")
    elif record.read_text().split()[0] != digest:
        raise InputError(f"{path} changed since it was first loaded; fetch it again, or delete {record} to accept it")


def _warn_of_other_variant(path: Path, name: str, cache: Path) -> None:
    """All EfficientTAM of one width share a layout, so only the file's name or checksum tells them apart."""
    official = SOURCES[name].file
    if not name.startswith("efficienttam"):
        return
    if path.name != official:
        warnings.warn(
            f"{path.name} is loaded into {name}, whose official file is {official}; all variants of this width have "
            "the same layout, so a wrong one cannot be noticed",
            stacklevel=3,
        )
        return
    records = {line.split()[1]: line.split()[0] for line in (r.read_text() for r in cache.glob("*.pt.sha256"))}
    digest = sha256(path) if len(records) > (official in records) else None
    for other, recorded in records.items():
        if other != official and recorded == digest:
            warnings.warn(f"{path} has the content of {other}, not of {name}", stacklevel=3)


def _is_checkpoint_file(path: Path) -> bool:
    """Whether the file starts like what torch.save writes: a zip archive, or a bare pickle of protocol 2 or later."""
    with path.open("rb") as file:
        head = file.read(4)
    return head == b"PK\x03\x04" or (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05")


def _what_it_is(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64).lstrip()
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, fetch the file itself"
    if head[:1] == b"<":
        return "it is a web page, fetch the file itself"
    return f"it starts with {head[:12]!r}"
