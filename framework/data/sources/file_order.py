"""The order of numbered files, and a refusal where it is in doubt."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from framework.errors import InputError

DECIMAL = re.compile(r"(-?\d+(?:\.\d+)?(?:e[+-]\d+)?)")
INTEGER = re.compile(r"(-?\d+)")
Number = tuple[Decimal, int]
"""A value and, where a decimal point separates two counts, the second one."""
Part = tuple[int, Number | str]
"""Of a name: (0, number) or (1, text), so that numbers come before text."""


def natural(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """Sorting key under which frame9 comes before frame10."""
    parts = [part for part in re.split(r"(\d+)", path.name.lower()) if part]
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts], path.name


@dataclass(frozen=True, slots=True)
class _Name:
    """What a file is called: texts, and the numbers between them, as written."""

    path: Path
    texts: tuple[str, ...]
    numbers: tuple[str, ...]


def in_order(files: Sequence[Path]) -> list[Path]:
    """Files of one folder by the numbers in their names, and in natural order of the text between them.

    A minus sign counts where only some names have it, and a decimal point where what follows it cannot be a count
    of its own (0.04, 0.08, 0.12, 0.2). Raises InputError, naming two files, where the order is in doubt: one number
    twice, masks or copies or other pictures beside numbered ones, signs or points that may be read in two ways.
    """
    kinds: dict[tuple[str, ...], list[_Name]] = defaultdict(list)
    for name in map(_taken_apart, sorted(files)):
        kinds[name.texts].append(name)
    keys: dict[Path, list[Part]] = {}
    for texts, names in kinds.items():
        columns = [_values([name.numbers[at] for name in names], text, at, names) for at, text in enumerate(texts[:-1])]
        for name, numbers in zip(names, zip(*columns, strict=True) if columns else [()] * len(names), strict=True):
            parts: list[Part] = [(1, texts[0])]
            for number, text in zip(numbers, texts[1:], strict=True):
                parts += [(0, number), (1, text)]
            keys[name.path] = [part for part in parts if part != (1, "")]
    ordered = sorted(files, key=lambda path: (keys[path], path.name))
    for one, other in pairwise(ordered):
        if keys[one] == keys[other]:
            raise _doubt(one, other, "have one number; leave one of them")
    _check_companions(list(kinds.values()), keys)
    return ordered


def _taken_apart(path: Path) -> _Name:
    stem = path.stem.lower()
    several = len(re.findall(r"\d\.(?=\d)", stem)) > 1  # points of a date or a version
    parts = (INTEGER if several else DECIMAL).split(stem)
    return _Name(path, tuple(parts[::2]), tuple(parts[1::2]))


def _values(column: Sequence[str], before: str, at: int, names: Sequence[_Name]) -> list[Number]:
    """The numbers that stand at one place of names which are alike but for their numbers; `before`: the text there."""
    signed = [text.startswith("-") for text in column]
    if all(signed):  # a hyphen, unless what is before it says otherwise
        column = [text[1:] for text in column]
        alone = before.endswith((" ", "_", "=")) or (at == 0 and not before)
        if alone and len(set(column)) > 1:
            raise _doubt(names[0].path, names[1].path, "may count down or up; name them without '-'")
    fractions = [text.partition(".")[2] for text in column]
    decimals = [(Decimal(text), 0) for text in column]
    if not all(fractions) or any("e" in text for text in column) or len(set(map(len, fractions))) == 1:
        return decimals
    counts = [(Decimal(text.partition(".")[0]), int(text.partition(".")[2])) for text in column]
    as_decimals = not any(len(text) > 1 and text.endswith("0") for text in fractions)
    as_counts = not any(len(text) > 1 and text.startswith("0") for text in fractions)
    places = range(len(column))
    if as_decimals == as_counts and sorted(places, key=decimals.__getitem__) != sorted(places, key=counts.__getitem__):
        raise _doubt(names[0].path, names[1].path, "may hold decimals or two counts; give them digits of one length")
    return counts if as_counts and not as_decimals else decimals


def _check_companions(kinds: Sequence[Sequence[_Name]], keys: dict[Path, list[Part]]) -> None:
    """Raises InputError where the numbers of one kind of name are all there in another kind, of two files or more."""

    def numbers(name: _Name, count: int) -> tuple[Number | str, ...]:
        return tuple(value for kind, value in keys[name.path] if kind == 0)[:count]

    for names in kinds:
        if len(names) < 2 or not names[0].numbers:
            continue
        there = [{numbers(name, count) for name in names} for count in range(len(names[0].numbers) + 1)]
        for others in kinds:
            shared = min(len(names[0].numbers), len(others[0].numbers))
            if others is not names and all(numbers(name, shared) in there[shared] for name in others):
                raise _doubt(names[0].path, others[0].path, "are of two kinds; leave one kind in the folder")


def _doubt(one: Path, other: Path, why: str) -> InputError:
    return InputError(f"{one.parent}: the order of its images is in doubt: {one.name} and {other.name} {why}")
