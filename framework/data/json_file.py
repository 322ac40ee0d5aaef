"""JSON files that people and other programs wrote: a field has the type that it should have, or one line says so.

A field that is there twice is refused, and so is an unknown one where a file is written for this project alone.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from framework.data.text import read_text
from framework.errors import InputError, unknown

LARGEST = 2**53
"""Up to which whole numbers are floats, too."""


class Fields(dict[str, Any]):
    """A JSON object.

    Args:
        value: as it was read.
        origin: what to call it in a message.
        names: the fields that there are; None: others may be there, too.

    Raises InputError for what is no object, and for a field that there is not, naming the nearest one.
    """

    def __init__(self, value: Any, origin: str, names: Collection[str] | None = None) -> None:
        if not isinstance(value, Mapping):
            listed = f" with the fields {', '.join(names)}" if names else ""
            raise InputError(f"{origin} is {shown(value)}: give an object{listed}")
        super().__init__(value)
        self.origin = origin
        for name in self:
            if names is not None and name not in names:
                raise InputError(f"{origin}: {unknown('field', name, names)}")

    def whole(self, name: str, default: int | None = None) -> int:
        """0 or more. Like what follows, raises InputError for anything else, and for a missing one without default."""
        value = self._given(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong(name, "a whole number, 0 or more")
        return value

    def truth(self, name: str, default: bool | None = None) -> bool:
        value = self._given(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        value = self._given(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "text")
        return value

    def key(self, name: str) -> int | str:
        """What one object calls another: a whole number or text."""
        value = self._given(name, None)
        if not isinstance(value, int | str) or isinstance(value, bool):
            raise self._wrong(name, "a whole number or text")
        return value

    def count(self, name: str) -> int:
        """A whole number, 0 or more, or the text of one."""
        value = self._given(name, None)
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            return int(value)
        return self.whole(name)

    def texts(self, name: str) -> list[str]:
        """A list of one text or more."""
        value = self._given(name, None)
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise self._wrong(name, "a list of texts")
        return value

    def objects(self, name: str) -> list["Fields"]:
        """A list of objects."""
        value = self._given(name, None)
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return [Fields(item, f"{self.origin}, {name} {number}") for number, item in enumerate(value, 1)]

    def object(self, name: str) -> "Fields":
        return Fields(self._given(name, None), f"{self.origin}, {name}")

    def _given(self, name: str, default: Any) -> Any:
        value = self.get(name, default)
        if value is None and name not in self:
            raise InputError(f"{self.origin} has no field '{name}'")
        return value

    def _wrong(self, name: str, wanted: str) -> InputError:
        quotes = ", without quotes" if isinstance(self[name], str) else ""
        return InputError(f"{self.origin}: {name}={shown(self[name])} must be {wanted}{quotes}")


def read_json(path: Path) -> Any:
    """What a file holds. Raises InputError for what is no JSON in UTF-8, and for a field that is there twice.

    Raises FileNotFoundError where there is none.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); correct the file") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' is there twice in one object")
    return found


def shown(value: Any) -> str:
    """In a message, of one line and not too long."""
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def are_numbers(values: Any, count: int | None = None) -> bool:
    """Whether `values` is a list of finite numbers, so many of them or any."""
    if not isinstance(values, list | tuple) or count not in (None, len(values)):
        return False
    plain = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return plain and all(-LARGEST <= value <= LARGEST for value in values)
