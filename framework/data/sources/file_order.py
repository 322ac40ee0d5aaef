"""The order of numbered files, and a refusal where it is in doubt."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from framework.errors import InputError

DECIMAL = re.compile(r"([+-]?\d+(?:\.\d+)?(?:e[+-]\d+)?)")
INTEGER = re.compile(r"([+-]?\d+)")
HEXADECIMAL = re.compile(r"[0-9a-f]+")
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

    A minus sign counts where only some names have it or nothing is before it, and a decimal point or comma where what
    follows it cannot be a count of its own (0.04, 0.08, 0.12, 0.2). Names that count in hexadecimal do so. Raises
    InputError, naming two files, where the order is in doubt: one number twice, masks or copies or other pictures
    beside numbered ones, signs or points that may be read in two ways.
    """
    if (hexadecimal := _counted_in_hexadecimal(files)) is not None:
        return hexadecimal
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
    _check_dates(list(kinds.values()), keys)
    ordered = sorted(files, key=lambda path: (keys[path], path.name))
    for one, other in pairwise(ordered):
        if keys[one] == keys[other]:
            raise _doubt(one, other, "have one number; leave one of them")
    _check_companions(list(kinds.values()), keys)
    return ordered


def _taken_apart(path: Path) -> _Name:
    stem = path.stem.lower().replace("\N{MINUS SIGN}", "-")
    several = len(re.findall(r"\d[.,](?=\d)", stem)) > 1  # points of a date or a version
    if not several:
        stem = re.sub(r"(?<=\d),(?=\d)", ".", stem)
    parts = (INTEGER if several else DECIMAL).split(stem)
    return _Name(path, tuple(parts[::2]), tuple(parts[1::2]))


def _values(column: Sequence[str], before: str, at: int, names: Sequence[_Name]) -> list[Number]:
    """The numbers that stand at one place of names which are alike but for their numbers; `before`: the text there."""
    if all(text.startswith("-") for text in column):  # a hyphen, unless nothing is there that it could join
        if before.endswith(" ") and len(set(column)) > 1:
            raise _doubt(names[0].path, names[1].path, "may count down or up; name them without '-'")
        joins = before[-1].isalnum() or before[-1] in " )]}" if before else at > 0
        column = [text[1:] for text in column] if joins else column
    readings = _readings(column)
    if all(_ranked(reading) == _ranked(readings[0]) for reading in readings):
        return readings[0]
    even = [reading for reading in readings if _evenly_spaced(reading)]
    if len(even) != 1:
        raise _doubt(names[0].path, names[1].path, "may hold decimals or two counts; give them digits of one length")
    return even[0]


def _readings(column: Sequence[str]) -> list[list[Number]]:
    """What numbers may mean by the way they are written: decimals, or two counts, or digits grouped by thousands."""
    fractions = [text.partition(".")[2] for text in column]
    decimals = [(Decimal(text), 0) for text in column]
    if any("e" in text for text in column) or not any(fractions):
        return [decimals]
    if not all(fractions):
        grouped = all(
            len(digits) == 3 and text[0] != "0" for text, digits in zip(column, fractions, strict=True) if digits
        )
        return [decimals, [(Decimal(text.replace(".", "")), 0) for text in column]] if grouped else [decimals]
    if len(set(map(len, fractions))) == 1 or any(text[0] in "+-" for text in column):
        return [decimals]
    counts = [(Decimal(text.partition(".")[0]), int(text.partition(".")[2])) for text in column]
    as_decimals = not any(len(digits) > 1 and digits.endswith("0") for digits in fractions)
    as_counts = not any(len(digits) > 1 and digits.startswith("0") for digits in fractions)
    if as_decimals == as_counts:
        return [decimals, counts]
    return [decimals if as_decimals else counts]


def _ranked(values: Sequence[tuple[Any, ...]]) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)


def _evenly_spaced(values: Sequence[Number]) -> bool:
    """Whether three numbers or more are one step apart, but for rounding; of two counts, the second ones 1 apart."""
    steps = list(pairwise(sorted(values)))
    if any(second for _, second in values):
        counted = [after[1] - one[1] for one, after in steps if after[0] == one[0]]
        return len(counted) > 1 and {*counted} == {1}
    apart = [after[0] - one[0] for one, after in steps]
    rounding = 2 * Decimal(10) ** min(int(value.as_tuple().exponent) for value, _ in values)
    return len(apart) > 1 and max(apart) - min(apart) <= (rounding if rounding < 1 else 0)


def _counted_in_hexadecimal(files: Sequence[Path]) -> list[Path] | None:
    """The order of names that are numbers in base 16, one step apart; None for other names.

    Raises InputError for such names of one length whose steps differ, where letters may also be no digits.
    """
    stems = [path.stem.lower() for path in files]
    if not all(map(HEXADECIMAL.fullmatch, stems)) or all(map(str.isdecimal, stems)):
        return None
    ordered = sorted(files, key=lambda path: (int(path.stem, 16), path.name))
    values = [int(path.stem, 16) for path in ordered]
    steps = {after - one for one, after in pairwise(values)}
    if len(steps) == 1 and 0 not in steps:
        return ordered
    if len({*map(len, stems)}) == 1 and 0 not in steps and ordered != sorted(files, key=natural):
        lettered = next(path for path in ordered if not path.stem.isdecimal())
        raise _doubt(ordered[0], lettered, "may count in hexadecimal; number them from 0 to 9")
    return None


def _check_dates(kinds: Sequence[Sequence[_Name]], keys: dict[Path, list[Part]]) -> None:
    """Raises InputError for dates whose last number is the year, and for hours that are counted twice a day."""
    halves = [names for names in kinds if re.fullmatch(r"\W*[ap]\.?m\W*", names[0].texts[-1])]
    if len(halves) > 1:
        raise _doubt(halves[0][0].path, halves[1][0].path, "count hours twice a day; count them from 0 to 23")
    for names in kinds:
        rows = [[value for kind, value in keys[name.path] if kind == 0] for name in names]
        for at in range(len(rows[0]) - 2):
            dates = [tuple(int(value[0]) for value in row[at : at + 3]) for row in rows]
            if not all(1 <= a <= 31 and 1 <= b <= 31 and 1900 <= c <= 2100 for a, b, c in dates):
                continue
            ranks = [[*map(order, dates)] for order in (lambda d: d, lambda d: d[::-1], lambda d: (d[2], *d[:2]))]
            if any(_ranked(rank) != _ranked(ranks[0]) for rank in ranks):
                raise _doubt(names[0].path, names[-1].path, "hold dates; begin them with the year")


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
