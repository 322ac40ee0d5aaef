"""Tables that stay readable in a terminal of any width: numbers are not broken, names between words if possible."""

import re
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP, EDGES = 3, 2  # characters between columns, and at both ends of a line
NARROWEST = 16  # characters, at least, of the names
SIGNS = "[./=,_+]"
"""Words may be broken after these."""


def show(title: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table with numbers in all its columns but the first, and below it what those are that are defined.

    `columns` are headings with their definitions, empty where the heading says it.
    """
    console = Console()
    console.print(f"\n{title}", style="bold", highlight=False)
    for part in tables(list(columns), [list(map(str, row)) for row in rows], console.width, together=3):
        console.print(part)
    if definitions := "; ".join(f"{name}: {what}" for name, what in columns.items() if what):
        console.print(definitions, style="dim", highlight=False)


def tables(
    titles: Sequence[str], lines: Sequence[Sequence[str | Text]], width: int, together: int = 1, names: int = 1
) -> list[Table]:
    """One table, or several with the same names where its columns do not fit beside one another.

    Args:
        titles: of the columns; they may be broken between words, and after signs such as underscores.
        lines: cells of each line, the first `names` of them text, the others numbers.
        width: characters of a line.
        together: columns of numbers that the first table should have; for them long names are broken.
        names: columns that every table begins with. Only the first one is broken.
    """
    columns = list(zip(*([_plain(cell) for cell in line] for line in lines), strict=True)) or [()] * len(titles)
    numbers = [max(map(len, cells), default=0) for cells in columns]
    widths = [max(len(title), cells) for title, cells in zip(titles, numbers, strict=True)]

    def room(beside: Sequence[int]) -> int:
        """For the first column, beside these columns of numbers."""
        return width - EDGES - sum(GAP + widths[index] for index in (*range(1, names), *beside))

    left = list(range(names, len(titles)))
    first = [titles[0], *columns[0]]
    whole, word = max(map(len, first)), max(map(_word, first))
    if room(left) < word:
        widths = [max(_part(title), cells) for title, cells in zip(titles, numbers, strict=True)]
    given = room(left) if room(left) >= word else max(room(left[:together]), NARROWEST)
    widths[0] = min(whole, given)
    made: list[Table] = []
    while left or not made:
        fits = max(1, max((n for n in range(len(left) + 1) if room(left[:n]) >= widths[0]), default=1))
        made.append(_table(titles, lines, widths, [*range(names), *left[:fits]], names))
        left = left[fits:]
    return made


def _table(
    titles: Sequence[str], lines: Sequence[Sequence[str | Text]], widths: Sequence[int], kept: Sequence[int], names: int
) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index in kept:
        justify = "left" if index < names else "right"
        title = _broken(titles[index], widths[index])
        table.add_column(Text(title), justify=justify, width=widths[index], overflow="fold")  # type: ignore[arg-type]
    for line in lines:
        name, *cells = (cell if isinstance(cell, Text) else Text(cell) for cell in (line[index] for index in kept))
        table.add_row(Text(_broken(name.plain, widths[0]), style=name.style), *cells)
    return table


def _broken(text: str, width: int) -> str:
    """With line ends within words of more than `width` characters, after signs such as dots as far as there are any."""
    most = f".{{1,{width}}}"
    line = re.compile(f"{most}$|{most}(?<={SIGNS})|{most}")
    return re.sub(rf"\S{{{width + 1},}}", lambda word: "\n".join(line.findall(word[0])), text)


def _plain(cell: str | Text) -> str:
    return cell.plain if isinstance(cell, Text) else cell


def _part(text: str) -> int:
    """Length of the longest part that is not broken unless there is no room at all."""
    return max((len(part) for word in text.split() for part in re.split(f"(?<={SIGNS})", word)), default=0)


def _word(text: str) -> int:
    """Length of the longest word."""
    return max(map(len, text.split()), default=0)
