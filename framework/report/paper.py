"""A published table beside what was measured: for the terminal, as Markdown and as CSV."""

from rich.table import Table
from rich.text import Text

from framework.benchmarks.papers import PaperNumber, Reproduction
from framework.report import terminal
from framework.report.table import csv_text

TITLES = ("row", "measure", "measured", "published", "difference", "within")


def cells(number: PaperNumber) -> list[str]:
    """One line of the table; a dash where there is no value."""
    digits = 3 if abs(number.published) <= 1 else 2
    measured, difference, within = number.measured, number.difference, number.within
    return [
        number.row,
        number.measure,
        "-" if measured is None else f"{measured:.{digits}f}",
        f"{number.published:.{digits}f}",
        "-" if difference is None else f"{round(difference, digits) + 0.0:+.{digits}f}",
        "-" if within is None else "yes" if within else "no",
    ]


def caption(reproduction: Reproduction) -> list[str]:
    """Where the numbers are from, and what they can be held against."""
    table, sequences = reproduction.table, reproduction.sequences
    lines = [
        f"published: {table.source}{' (read second-hand, not from the paper)' if table.second_hand else ''}",
        f"within: at most {table.tolerance:g} apart, scored by the evaluator {table.evaluator}",
    ]
    if table.sequences is not None and sequences != table.sequences:
        lines.append(f"measured on {sequences} of the {table.sequences} sequences, so it need not be near")
    caveats: dict[str, list[str]] = {}
    for name, row in table.rows.items():
        if row.caveat is not None:
            caveats.setdefault(row.caveat, []).append(name)
    lines += [f"{', '.join(names)}: {caveat}" for caveat, names in caveats.items()]
    if any(number.measured is None for number in reproduction.numbers):
        lines.append("a row that lacks a sequence has no number")
    return lines


def rich_tables(reproduction: Reproduction, width: int = 80) -> list[Table]:
    """For a terminal; numbers that are not near are bold."""
    lines = [
        [Text(text, style="bold" if number.within is False else "") for text in cells(number)]
        for number in reproduction.numbers
    ]
    return terminal.tables(TITLES, lines, width, together=4, names=2)


def markdown(reproduction: Reproduction) -> str:
    """The same table as Markdown."""
    lines = [f"| {' | '.join(TITLES)} |", "|---|---|---:|---:|---:|---:|"]
    lines += [f"| {' | '.join(cells(number))} |" for number in reproduction.numbers]
    return "\n".join([*lines, "", *caption(reproduction), ""])


def csv_table(reproduction: Reproduction) -> str:
    """All numbers at full precision; empty where there is none."""
    numbers = reproduction.numbers
    lines = [[n.row, n.measure, n.measured, n.published, n.difference, n.within, n.tolerance] for n in numbers]
    return csv_text([*TITLES, "tolerance"], lines)
