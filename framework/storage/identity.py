"""What decides a result, as plain values and as one hash. Two runs with the same hash are the same experiment.

Identity is read off the objects themselves, so it is the same from the command line and from Python, whatever the
configuration spelled out or left to defaults:

* a dataclass is its class and its fields, a module is its class, its plain settings and a digest of its weights;
* code is the source of the classes in use, of their bases and of what they import, as far as it is ours, of their own
  package or lies in no installed one. So an edited policy, plot or document leaves the results of all other policies
  valid, an edited engine leaves none;
* a class from an installed distribution, such as a plug-in of somebody else, also counts by the version of that.

Device, git commit and the versions of `LIBRARIES` are recorded beside results but are not identity.
"""

import ast
import hashlib
import importlib.util
import inspect
import json
import math
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CHECKOUT = Path(__file__).parents[2]
OURS = ("framework", "policies", "motion")
"""Packages whose source counts wherever they are, and their installed version does not."""
LIBRARIES = ("numpy", "sam2", "torch")
"""Recorded by their versions; their code is not identity."""
WHEN_USED = {"identity": "when used"}
"""Metadata of a field that came later: at its default it is no part of the identity, so that earlier results stay."""


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
        values = {field: getattr(value, field.name) for field in fields(value) if field.init}
        return described | {
            field.name: describe(item)
            for field, item in values.items()
            if field.metadata != WHEN_USED or item != field.default
        }
    if isinstance(value, Mapping):
        return {str(key): describe(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, np.generic):
        return describe(value.item())
    if isinstance(value, torch.dtype | torch.device | Path):
        return str(value)
    if isinstance(value, Enum):
        return f"{_class_name(value)}.{value.name}"
    if isinstance(value, partial):
        return {"function": describe(value.func), "arguments": describe([*value.args, value.keywords])}
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return {"class": _class_name(value)} | {name: describe(item) for name, item in _attributes(value).items()}


def run_hash(identity: Mapping[str, Any]) -> str:
    """16 hexadecimal digits naming an experiment."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_digest(*parts: object) -> str:
    """Digest of the source of what `parts` are made of; a text names a module."""
    modules: set[str] = set()
    for part in parts:
        for name in [part] if isinstance(part, str) else sorted(set(_modules_in(part))):
            _follow(name, modules)
    digest = hashlib.sha256()
    for name in sorted(modules):
        digest.update(name.encode())
        digest.update(_source(name))
        digest.update(_distributions(name).encode())
    return digest.hexdigest()[:16]


@cache
def versions() -> dict[str, str]:
    """Of each of `LIBRARIES`, to be recorded beside results."""
    return {name: metadata.version(name) for name in LIBRARIES}


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


def _attributes(value: object) -> dict[str, Any]:
    """Of a plain object: the public ones, and those that keep an argument of its constructor under a private name.

    Raises TypeError for a value that has none, which would be the same as any other of its class.
    """
    try:
        taken = tuple(inspect.signature(type(value)).parameters)
    except ValueError:
        taken = ()
    return {name: item for name, item in vars(value).items() if not name.startswith("_") or name.lstrip("_") in taken}


def _class_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _describe_module(module: nn.Module) -> dict[str, Any]:
    settings = {}
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            if not key.startswith("_") and isinstance(value, bool | int | float | str | tuple | list | torch.dtype):
                settings[f"{name}.{key}" if name else key] = str(value)
            elif not key.startswith("_") and (isinstance(value, Enum) or is_dataclass(value)):
                settings[f"{name}.{key}" if name else key] = json.dumps(describe(value), sort_keys=True)
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
    """Names of the modules that define what a nested value is made of: classes with their bases, and functions."""
    if value is None or isinstance(value, bool | int | float | str | Path | Tensor | np.ndarray):
        return
    if isinstance(value, type):
        yield from (base.__module__ for base in value.__mro__)
    elif isinstance(value, nn.Module):
        for part in value.modules():
            yield from _modules_in(type(part))
            yield from _modules_in([item for item in vars(part).values() if is_dataclass(item)])
    elif isinstance(value, Mapping):
        yield from _modules_in(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _modules_in(item)
    elif isinstance(value, partial):
        yield from _modules_in([value.func, value.args, value.keywords])
    elif callable(value) and hasattr(value, "__qualname__"):
        yield value.__module__
    else:
        yield from _modules_in(type(value))
        if is_dataclass(value):
            yield from _modules_in([getattr(value, field.name) for field in fields(value)])
        elif hasattr(value, "__dict__"):
            yield from _modules_in(list(_attributes(value).values()))


def _follow(module: str, found: set[str]) -> None:
    """Adds a module and what it imports, directly or not, of its own package, of ours, and of what is not installed."""
    if module in found or _path(module) is None:
        return
    found.add(module)
    own = {module.partition(".")[0], *OURS}
    for name in _imports(module):
        top = name.partition(".")[0]
        if top in own or not _installed(top):
            _follow(name, found)


@cache
def _path(module: str) -> Path | None:
    """File of a module whose code counts; None for the standard library, `LIBRARIES`, and what is no module."""
    loaded = sys.modules.get(module)
    if loaded is not None and (module == "__main__" or getattr(loaded, "__spec__", None) is None):  # no import made it
        return Path(getattr(loaded, "__file__", None) or module)
    if module.partition(".")[0] in (*sys.stdlib_module_names, *LIBRARIES):
        return None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin else None


@cache
def _installed(top: str) -> bool:
    """Whether a package is a library as far as its users' code goes: of the standard library or of a distribution."""
    if top in (*sys.stdlib_module_names, *LIBRARIES):
        return True
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return True
    places = [] if spec is None else [spec.origin or "", *(spec.submodule_search_locations or ())]
    return not places or any({"site-packages", "dist-packages"} & set(Path(place).parts) for place in places)


@cache
def _distributions(module: str) -> str:
    """Names and versions of the distributions that bring a module; empty for ours and for what is not installed."""
    top = module.partition(".")[0]
    if top in OURS or not _installed(top):
        return ""
    return " ".join(f"{name}=={metadata.version(name)}" for name in sorted({*_brought().get(top, ())}))


@cache
def _brought() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


_READ: dict[str, tuple[object, bytes]] = {}
"""Module -> what it was loaded by, and its source then."""


def _source(module: str) -> bytes:
    """Read once, and again when the module is reloaded: what runs is what was there when it was loaded, as nearly as
    can be told.

    Code that has no file, such as that of a notebook, is never the same as any other.
    """
    path = _path(module)
    if path is None or not path.is_file():
        return secrets.token_bytes()
    loaded = getattr(sys.modules.get(module), "__spec__", None)
    if module not in _READ or _READ[module][0] is not loaded:
        _READ[module] = loaded, path.read_bytes()
    return _READ[module][1]


def _imports(module: str) -> tuple[str, ...]:
    """Everything that may be a module in the import statements of a module."""
    path = _path(module)
    return _imported(module, _source(module)) if path and path.suffix == ".py" and path.is_file() else ()


@cache
def _imported(module: str, source: bytes) -> tuple[str, ...]:
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            package = ".".join([*above, *([node.module] if node.module else [])])
            found += [package, *(f"{package}.{alias.name}" for alias in node.names)]
    return tuple(found)
