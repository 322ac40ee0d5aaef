"""Where back-propagation through a video stops."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from torch import Tensor

V = TypeVar("V")


def detached(value: V) -> V:
    """The same nested value (dataclasses, tuples, lists, mappings) without what its tensors were made from.

    What is shared stays shared: one entry in two places is one entry afterwards. Parts without tensors
    stay what they are.
    """
    return _detached(value, {})


def _detached(value: Any, made: dict[int, Any]) -> Any:
    """`made` maps the id of a part to what became of it; all parts live as long as the value."""
    if id(value) in made:
        return made[id(value)]
    result = value
    if isinstance(value, Tensor):
        result = value.detach() if value.requires_grad else value
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        changed = {name: new for name, old in parts.items() if (new := _detached(old, made)) is not old}
        result = replace(value, **changed) if changed else value
    elif isinstance(value, Mapping):
        items = {key: _detached(item, made) for key, item in value.items()}
        result = items if any(items[key] is not item for key, item in value.items()) else value
    elif isinstance(value, list | tuple):
        parts_ = [_detached(item, made) for item in value]
        if any(new is not old for new, old in zip(parts_, value, strict=True)):
            result = type(value)(parts_)
    made[id(value)] = result
    return result
