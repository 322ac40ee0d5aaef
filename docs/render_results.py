"""Writes the tables of docs/results/*.csv into the pages that show them.

    python docs/render_results.py            # writes
    python docs/render_results.py --check    # names the pages that are not up to date, exit code 1

A results file starts with comment lines: `# about: ...` says what was measured, and every `# command: ...`, continued
by `#   ...`, is a command that made it. Then come a header and rows. The columns `x`, `x low` and `x high` are one cell
with its 95 % interval, bold where the interval as printed leaves out zero. A page shows a file, or some of its columns,
between

    <!-- results/x.csv: variant, J -->
    <!-- end -->
"""

import csv
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parent
PAGES = (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md")))
BLOCK = re.compile(r"<!-- results/([\w-]+\.csv)(?:: (.*?))? -->\n.*?<!-- end -->", flags=re.DOTALL)


@dataclass(frozen=True, slots=True)
class Results:
    """One results file."""

    about: str
    commands: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> list[str]:
        at = self.header.index(name)
        return [row[at] for row in self.rows]

    def cells(self, name: str) -> list[str]:
        """A column as it is shown."""
        if f"{name} low" not in self.header:
            return self.column(name)
        parts = (self.column(name), self.column(f"{name} low"), self.column(f"{name} high"))
        return [_interval(*cell) for cell in zip(*parts, strict=True)]

    def shown(self) -> list[str]:
        """Names of the columns, those of a bound of an interval left out."""
        bounds = {f"{name} {end}" for name in self.header for end in ("low", "high")}
        return [name for name in self.header if name not in bounds]


def read(path: Path) -> Results:
    """ValueError: a file without a description, without a command, or with a row of another length."""
    lines = path.read_text().splitlines()
    about, commands = "", []
    while lines and lines[0].startswith("#"):
        line = lines.pop(0)
        if line.startswith("# about: "):
            about = line.removeprefix("# about: ")
        elif line.startswith("# command: "):
            commands.append(line.removeprefix("# command: "))
        elif line.startswith("#   ") and commands:
            commands[-1] += " " + line.removeprefix("#   ")
        else:
            raise ValueError(f"{path.name}: {line!r} is neither `# about: ` nor `# command: `")
    header, *rows = [tuple(row) for row in csv.reader(lines)]
    if not about or not commands or any(len(row) != len(header) for row in rows):
        raise ValueError(f"{path.name} needs a description, a command and rows of {len(header)} cells")
    return Results(about, tuple(commands), header, tuple(rows))


def markdown(results: Results, columns: list[str]) -> str:
    """A table of these columns."""
    heads = [f"{name} [95 %]" if f"{name} low" in results.header else name for name in columns]
    rows = zip(*(results.cells(name) for name in columns), strict=True)
    lines = [heads, [":--", *["--:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def render(page: Path) -> str:
    """The page's text with its tables made anew."""

    def table(found: re.Match[str]) -> str:
        name, some = found.groups()
        results = read(DOCS / "results" / name)
        link = os.path.relpath(DOCS / "results" / name, page.parent)
        columns = some.split(", ") if some else results.shown()
        opening = found.group().split("\n", 1)[0]
        about = results.about[0].upper() + results.about[1:]
        body = f"{opening}\n\n{markdown(results, columns)}\n\n{about} ([data and command]({link})).\n"
        return f"{body}<!-- end -->"

    return BLOCK.sub(table, page.read_text())


def main() -> int:
    stale = [page for page in PAGES if render(page) != page.read_text()]
    if "--check" in sys.argv[1:]:
        for page in stale:
            print(f"{page.relative_to(DOCS.parent)} is not up to date: run python docs/render_results.py")
        return 1 if stale else 0
    for page in stale:
        page.write_text(render(page))
    return 0


def _interval(value: str, low: str, high: str) -> str:
    if not low:
        return value
    cell = f"{value} [{low}, {high}]"
    return f"**{cell}**" if float(low) > 0 or float(high) < 0 else cell


if __name__ == "__main__":
    sys.exit(main())
