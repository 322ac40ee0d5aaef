"""Values as plain data and back: what `torch.load(..., weights_only=True)` takes, whatever classes a plug-in uses.

A value is taken apart into lists, numbers, text and tensors. Objects become the name of their class and their fields;
one that occurs twice is one object again afterwards, since rows that read the same memories are merged by identity.
"""

import sys
from abc import ABC
from dataclasses import fields, is_dataclass
from typing import Any, Generic, Protocol

import numpy as np
import torch
from torch import Tensor

CONTAINERS: dict[str, type] = {kind.__name__: kind for kind in (tuple, list, set, frozenset)}
SCALARS = (type(None), bool, int, float, str, bytes)


def to_plain(value: Any) -> Any:
    """`value` as lists, numbers, text and tensors. Raises TypeError for what is code or a handle: it cannot be kept."""
    known: dict[int, tuple[Any, Any]] = {}  # with the value itself, so that its identity stays its own

    def plain(item: Any) -> Any:
        if type(item) in SCALARS or isinstance(item, Tensor):
            return item
        if id(item) not in known:
            known[id(item)] = item, take_apart(item)
        return known[id(item)][1]

    def take_apart(item: Any) -> list[Any]:
        kind = type(item)
        if CONTAINERS.get(kind.__name__) is kind:
            return [kind.__name__, [plain(part) for part in item]]
        if kind is dict:
            return ["dict", [[plain(key), plain(part)] for key, part in item.items()]]
        if isinstance(item, np.ndarray | np.generic) and item.dtype.kind in "biufc":
            return ["array" if isinstance(item, np.ndarray) else "number", torch.from_numpy(np.array(item))]
        names = _fields(item)
        if names is None:
            raise TypeError(f"a {kind.__module__}.{kind.__qualname__} cannot be kept as plain data")
        return ["object", f"{kind.__module__}:{kind.__qualname__}", [[n, plain(getattr(item, n))] for n in names]]

    return plain(value)


def from_plain(value: Any) -> Any:
    """Inverse of `to_plain`. No constructor runs, and nothing is imported.

    Raises ValueError for anything else, and for a class that the process does not know, or knows with other fields.
    """
    known: dict[int, Any] = {}

    def restored(item: Any) -> Any:
        if type(item) in SCALARS or isinstance(item, Tensor):
            return item
        if id(item) not in known:
            known[id(item)] = put_together(item)
        return known[id(item)]

    def put_together(item: Any) -> Any:
        match item:
            case [str(name), list(parts)] if name in CONTAINERS:
                return CONTAINERS[name](restored(part) for part in parts)
            case ["dict", list(pairs)]:
                return {restored(key): restored(part) for key, part in pairs}
            case ["array", Tensor() as numbers]:
                return numbers.numpy()
            case ["number", Tensor() as number]:
                return number.numpy()[()]
            case ["object", str(name), list(pairs)]:
                kind = _class(name)
                if is_dataclass(kind) and {field for field, _ in pairs} != {field.name for field in fields(kind)}:
                    raise ValueError(f"{name} has other fields here")
                made: Any = object.__new__(kind)
                for field, part in pairs:
                    object.__setattr__(made, field, restored(part))
                return made
        raise ValueError("no plain value")

    return restored(value)


def _fields(item: Any) -> list[str] | None:
    """Names of what an object consists of; None for a class, a function, or what keeps its state elsewhere."""
    if isinstance(item, type | torch.nn.Module) or callable(item):
        return None
    kinds = [kind for kind in type(item).__mro__ if kind not in (object, ABC, Generic, Protocol)]
    if not kinds or any(kind.__module__.partition(".")[0] in sys.stdlib_module_names for kind in kinds):
        return None
    if is_dataclass(item):
        return [field.name for field in fields(item)]
    slots = [name for kind in kinds for name in getattr(kind, "__slots__", ())]
    if not slots and not hasattr(item, "__dict__"):
        return None
    return [name for name in (*slots, *getattr(item, "__dict__", ())) if hasattr(item, name)]


def _class(name: str) -> type:
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise ValueError(f"no class {name} here")
    return found
