"""What a machine has that the project uses, by name: what somebody else needs to know of it to help."""

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import torch

Facts = Mapping[str, str]
"""Name -> what was found."""

DISTRIBUTIONS = (
    "engram-tracking",
    "torch",
    "sam2",
    "numpy",
    "numba",
    "opencv-python-headless",
    "pillow",
    "hydra-core",
    "omegaconf",
    "jaxtyping",
    "cloudpickle",
    "loky",
    "pytorch-lightning",
    "av",
    "matplotlib",
    "pandas",
    "pycocotools",
    "rich",
    "scipy",
    "wandb",
    "huggingface-hub",
    "safetensors",
    "hydra-joblib-launcher",
    "hydra-submitit-launcher",
    "optuna",
    "filelock",
)
"""What the project needs, its extras included."""


def machine(cache: Path) -> dict[str, Facts]:
    """Section -> facts. `cache` is the folder in which checkpoints are kept."""
    return {
        "versions": versions(),
        "devices": devices(),
        "threads": threads(),
        "decoders": decoders(),
        "folders": {name: folder(path) for name, path in (("working", Path.cwd()), ("checkpoints", cache))},
        "wandb": weights_and_biases(),
    }


def versions() -> Facts:
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def devices() -> Facts:
    """Accelerators that torch can use, and what its CPU kernels are built for."""
    found = {"cpu": f"{os.cpu_count()} cores, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"}
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = f"{about.name}, {about.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        found["mps"] = "available"
    return found


def threads() -> Facts:
    asked = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ}
    return {"torch": str(torch.get_num_threads())} | asked


def decoders() -> Facts:
    """Video formats that can be read; pictures need none."""
    if find_spec("av") is None:
        return {"video": "none: av is not installed"}
    import av

    wanted = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg", "prores")
    return {name: "yes" if name in av.codecs_available else "no" for name in wanted}


def folder(path: Path) -> str:
    """Whether files can be made in it, or in the nearest folder above that is there, and how much room is left."""
    there = next(each for each in (path, *path.absolute().parents) if each.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            writable = "writable"
    except OSError as error:
        writable = f"not writable ({error.strerror})"
    missing = "" if there == path else ", will be made"
    return f"{path}: {writable}{missing}, {shutil.disk_usage(there).free / 2**30:.1f} GiB free"


def weights_and_biases() -> Facts:
    """Without a connection: whether a key is there is said, the key is not."""
    if find_spec("wandb") is None:
        return {"state": "not installed"}
    known = bool(os.environ.get("WANDB_API_KEY")) or "api.wandb.ai" in _netrc()
    return {
        "key": "known" if known else "none: logger=wandb_offline needs none",
        "WANDB_MODE": os.environ.get("WANDB_MODE", "not set"),
    }


def _netrc() -> str:
    try:
        return Path("~/.netrc").expanduser().read_text()
    except (OSError, UnicodeDecodeError, RuntimeError):
        return ""


def as_text(sections: Mapping[str, Facts]) -> str:
    """One line per fact, by section."""
    width = max(len(name) for facts in sections.values() for name in facts)
    lines = []
    for section, facts in sections.items():
        lines += [section, *(f"  {name:<{width}}  {value}" for name, value in facts.items())]
    return "\n".join(lines)


def as_json(sections: Mapping[str, Facts]) -> str:
    return json.dumps({"executable": sys.executable, **sections}, indent=2)
