"""What decides a result, as plain values and as one hash. Two runs with the same hash are the same experiment.

Identity is read off the objects themselves, so it is the same from the command line and from Python, whatever the
configuration spelled out or left to defaults:

* a dataclass is its class and its fields, a module is its class, its plain settings and a digest of its weights;
* code is the source of the classes in use and of what they import from their own package and from framework/. So an
  edited policy, plot or document leaves the results of all other policies valid, an edited engine leaves none.

Device, library versions and the git commit are recorded beside results but are not identity.
"""

import ast
import hashlib
import importlib.util
import json
import math
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CHECKOUT = Path(__file__).parents[2]
OURS = ("framework", "policies", "motion")
"""Packages whose source counts also when they are installed."""


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
    """Digest of the source of the classes that `parts` are made of, and of the modules that `parts` name."""
    modules: set[str] = set()
    for name in _modules_in(parts):
        _follow(name, modules)
    digest = hashlib.sha256()
    for name in sorted(modules):
        digest.update(name.encode())
        digest.update(_source(name))
    return digest.hexdigest()[:16]


@cache
def commit() -> str | None:
    """Git commit the code runs from, with ``+`` when files were changed since; None outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != CHECKOUT.resolve():
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


def _modules_in(value: Any) -> Iterator[str]:
    """Names of the Python modules that define the classes in a nested value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _modules_in(item)
    elif isinstance(value, nn.Module):
        yield from sorted({type(part).__module__ for part in value.modules()})
    elif is_dataclass(value) and not isinstance(value, type):
        yield type(value).__module__
        inner = [getattr(value, field.name) for field in fields(value)]
        yield from _modules_in([item for item in inner if is_dataclass(item) or isinstance(item, nn.Module)])
    elif value is not None:
        yield type(value).__module__


def _follow(module: str, found: set[str]) -> None:
    """Adds a module and what it imports from its own top-level package and from framework/, directly or not."""
    if module in found or _path(module) is None:
        return
    found.add(module)
    own = {module.partition(".")[0], "framework"}
    for name in _imports(module):
        if name.partition(".")[0] in own:
            _follow(name, found)


@cache
def _path(module: str) -> Path | None:
    """Source file of a module of the project; None for installed libraries, whose versions are recorded instead."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    installed = {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(Path(ast.__file__).parent)
    return None if installed and module.partition(".")[0] not in OURS else path


@cache
def _source(module: str) -> bytes:
    """Read once: what runs is what was there when the process began, as nearly as can be told."""
    path = _path(module)
    return path.read_bytes() if path else b""


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Everything that may be a module in the import statements of a module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            package = ".".join([*above, *([node.module] if node.module else [])])
            found += [package, *(f"{package}.{alias.name}" for alias in node.names)]
    return tuple(found)
