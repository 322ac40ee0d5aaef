"""Rows of numbers in every encoding and with every separator; what is wrong is named with its line."""

import numpy as np
import pytest

from framework.data.text import read_lines, read_rows, read_text
from framework.errors import InputError

ROWS = np.array([[25.5, 25, 31, 31], [-29, 27, 2.9e1, 30], [np.nan] * 4])
COMMAS = "25.5,25,31,31\n-29,27,2.9e1,30\nnan,nan,NaN,nan\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ", ", " ", "\t", ";", "  "])
def test_encodings_and_separators(tmp_path, encoding, end, separator):
    text = COMMAS.replace("\n", end).replace(",", separator)
    mark = "\ufeff" if encoding[-3:] in ("-le", "-be") else ""
    (tmp_path / "b.txt").write_bytes((mark + text).encode(encoding))
    np.testing.assert_array_equal(read_rows(tmp_path / "b.txt", 4), ROWS)


def test_what_ends_a_file_or_a_line_changes_nothing(tmp_path):
    (tmp_path / "b.txt").write_text("1,2,3,4,\n5,6,7,8 \n\n  \n")
    assert read_rows(tmp_path / "b.txt", 4).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    (tmp_path / "b.txt").write_text("\n")
    assert read_rows(tmp_path / "b.txt", 4).shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3,4\n\n5,6,7,8\n", "line 2: blank"),
        ("1,2,3,4\n,,,\n5,6,7,8\n", "line 2: not a row of numbers"),
        ("1,2,3,4\n1,,3,4\n", r"line 2: not a row of numbers \('' is no number\)"),
        ("1,2,3,4\n5,6,7,inf\n", r"line 2: not a row of numbers \('inf' is no number\)"),
        ("1,2,3,4\n5,6,7,1e999\n", "line 2: a number is too large"),
        ("1,2,3,4\n5,6,7,1_0\n", "'1_0' is no number"),
        ("x,y,w,h\n1,2,3,4\n", "line 1: not a row of numbers"),
        ("1,2,3,4,0.9\n", "line 1: 5 numbers where 4 are needed"),
        ("1,2,3,4\n1,2,3\n", "line 2: 3 numbers where 4 are needed"),
        ("1,5;2,5;3,5;4,5\n", "both , and ; separate numbers"),
        ("25,5 25,5 31,5 31,5\n", "line 1: 8 numbers where 4 are needed"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, words):
    (tmp_path / "b.txt").write_text(text)
    with pytest.raises(InputError, match=f"b.txt, {words}" if words.startswith("line") else words):
        read_rows(tmp_path / "b.txt", 4)


def test_other_encodings_are_refused(tmp_path):
    (tmp_path / "b.txt").write_bytes("1,2,3,4 # größe".encode("latin-1"))
    with pytest.raises(InputError, match=r"b.txt: not a text file in UTF-8 \(byte 12\)"):
        read_text(tmp_path / "b.txt")
    with pytest.raises(InputError, match=r"gone.txt: no such annotation"):
        read_lines(tmp_path / "gone.txt")
