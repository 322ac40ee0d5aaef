"""What decides a result, as plain values and as one hash. Two runs with the same hash are the same experiment.

Identity is read off the objects themselves, so it is the same from the command line and from Python, whatever the
configuration spelled out or left to defaults:

* a dataclass is its class and its fields, a module is its class, its plain settings and a digest of its weights;
* code is the source of the engine (framework/ without what only displays or trains) and of the policy, motion model
  and selector in use with the siblings they import. A new or edited policy leaves the results of all others valid.

Device, library versions and the git commit are recorded beside results but are not identity.
"""

import ast
import hashlib
import importlib.util
import inspect
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ENGINE = Path(__file__).parent
NOT_DECIDING = ("learning", "report", "cli.py", "errors.py", "statistics.py", "variants.py", "wandb_log.py")
"""Parts of framework/ that cannot change a mask or a score."""


def describe(value: Any) -> Any:
    """`value` as JSON-ready plain data; equal for equal behaviour."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor | np.ndarray):
        return {"values": _digest([("", value)])}
    if isinstance(value, nn.Module):
        return _describe_module(value)
    if is_dataclass(value) and not isinstance(value, type):
        described = {"class": _class_name(value)}
        return described | {field.name: describe(getattr(value, field.name)) for field in fields(value) if field.init}
    if isinstance(value, Mapping):
        return {str(key): describe(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, torch.dtype | torch.device | Path):
        return str(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    plain = {name: describe(item) for name, item in vars(value).items() if not name.startswith("_")}
    return {"class": _class_name(value)} | plain


def run_hash(identity: Mapping[str, Any]) -> str:
    """16 hexadecimal digits naming an experiment."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_digest(*parts: object) -> str:
    """Digest of the engine's source and of the source of the classes of `parts` (policy, motion model ...)."""
    paths = set(_engine_sources())
    for part in parts:
        _add_source(type(part).__module__, paths)
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode())
        digest.update(_source(path))
    return digest.hexdigest()[:16]


@cache
def commit() -> str | None:
    """Git commit the code runs from, with ``+`` when files were changed since; None outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ENGINE.parent, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != ENGINE.parent.resolve():
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _class_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _describe_module(module: nn.Module) -> dict[str, Any]:
    settings = {}
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            if not key.startswith("_") and isinstance(value, bool | int | float | str | tuple | list | torch.dtype):
                settings[f"{name}.{key}" if name else key] = str(value)
    settings_text = json.dumps(settings, sort_keys=True)
    return {
        "class": _class_name(module),
        "settings": hashlib.sha256(settings_text.encode()).hexdigest()[:16],
        "weights": _weights_digest(module),
    }


def _weights_digest(module: nn.Module) -> str:
    return _digest([*module.named_parameters(), *module.named_buffers()])


def _digest(arrays: list[tuple[str, Any]]) -> str:
    digest = hashlib.sha256()
    for name, value in arrays:
        tensor = torch.as_tensor(value).detach().cpu().contiguous()
        digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()[:16]


@cache
def _engine_sources() -> tuple[Path, ...]:
    return tuple(path for path in ENGINE.rglob("*.py") if path.relative_to(ENGINE).parts[0] not in NOT_DECIDING)


@cache
def _source(path: Path) -> bytes:
    """Read once: what runs is what was there when the process began, as nearly as can be told."""
    return path.read_bytes()


def _add_source(module: str, paths: set[Path]) -> None:
    """The module's file and those of the siblings (same top-level package) it imports, directly or not."""
    package = module.partition(".")[0]
    loaded = sys.modules.get(module)
    spec = importlib.util.find_spec(module) if loaded is None else None
    file = (inspect.getsourcefile(loaded) if loaded is not None else spec.origin if spec else None) if package else None
    if file is None or package == "framework" or Path(file) in paths:
        return
    paths.add(Path(file))
    for node in ast.walk(ast.parse(_source(Path(file)))):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name.partition(".")[0] == package:
                _add_source(name, paths)
