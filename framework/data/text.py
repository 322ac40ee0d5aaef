"""Text files that people and other programs wrote: their encoding, their lines and the numbers in them."""

import codecs
import math
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from framework.errors import InputError

ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What a file begins with -> its encoding; UTF-8 where there is no such mark."""

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?nan", re.IGNORECASE | re.ASCII)
SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark. Raises InputError for other encodings."""
    content = path.read_bytes()
    encoding = next((name for mark, name in ENCODINGS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 (byte {error.start}); save it in UTF-8") from None


def read_lines(path: Path) -> list[str]:
    """Stripped lines of an annotation file, one per frame: blank ones may only end it.

    Raises InputError for a missing file and for a blank line, which would shift the truth of every later frame.
    """
    try:
        lines = [line.strip() for line in re.split(r"\r\n|\r|\n", read_text(path))]
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: no such annotation; unpack the data again") from None
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise InputError(f"{path}, line {lines.index('') + 1}: blank; write what is known of that frame, or NaN")
    return lines


def numbers_of(line: str) -> list[str]:
    """Numbers of a line as they are written, separated by commas, semicolons, tabs or blanks.

    Raises InputError for anything else.
    """
    fields = SEPARATOR.split(line.rstrip(",; \t"))
    wrong = [field for field in fields if not NUMBER.fullmatch(field)]
    if wrong or {",", ";"} <= {*line}:
        what = f"{wrong[0]!r} is no number" if wrong else "both , and ; separate numbers"
        raise InputError(f"not a row of numbers ({what})")
    return fields


def read_rows(path: Path, columns: int | None = None) -> Float[np.ndarray, "N K"]:
    """Numbers of an annotation file, one row per line, separated by commas, semicolons, tabs or blanks; NaN as written.

    `columns`: how many each row has; None: as many as the first. Raises InputError, naming the line, for anything but
    finite numbers and NaN, and for rows of another length.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            fields = numbers_of(line)
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}: correct the file") from None
        wanted = columns or (len(rows[0]) if rows else len(fields))
        if len(fields) != wanted:
            count = f"{len(fields)} number{'s' * (len(fields) != 1)}"
            raise InputError(f"{path}, line {number}: {count} where {wanted} are needed: correct the file")
        rows.append([float(field) for field in fields])
        if any(math.isinf(value) for value in rows[-1]):
            raise InputError(f"{path}, line {number}: a number is too large: correct the file")
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(rows[0]) if rows else columns or 0)
