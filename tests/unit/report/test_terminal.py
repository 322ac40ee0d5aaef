"""Tables for a terminal: no number is ever broken, and names only where they have to be."""

import io
import re

import pytest
from rich.console import Console

from framework.report.terminal import tables

NAMES = ["sam2", "samurai motion=hierarchical", "every_nth policy.interval=10 tracker.presence_threshold=-1.0"]
TITLES = ["variant", "jaccard", "minus first [95 %]", "win/tie/loss", "gap closed [95 %]", "early", "late", "ms"]
NUMBERS = ["0.807", "-0.033 [-0.074, -0.007]", "10/10/10", "-312% [-4576%, -74%]", "0.914", "0.701", "64.8"]


def printed(names, width, together=3):
    made = tables(TITLES, [[name, *NUMBERS] for name in names], width, together)
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(*made)
    return len(made), console.export_text()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_number_is_broken_and_no_line_too_long(width):
    count, text = printed(NAMES, width)
    assert max(map(len, text.splitlines())) <= width
    assert all(text.count(number) == len(NAMES) for number in NUMBERS)
    assert text.count("variant") == text.count("sam2") == count


def test_names_are_broken_between_words_if_that_makes_one_table():
    count, text = printed(NAMES, 130)
    assert count == 1 and re.search(r"^ every_nth policy.interval=10 +0.807", text, re.MULTILINE)
    assert re.search(r"^ tracker.presence_threshold=-1.0 *$", text, re.MULTILINE)
    assert NAMES[-1] in printed(NAMES, 200)[1]


def test_long_words_are_broken_after_signs_and_else_anywhere():
    long = "random policy._target_=policies.oracle_masks.OracleMasks"
    _, text = printed([long, "learned " + "x" * 50], 80)
    names = [line[1:].partition("  ")[0].strip() for line in text.splitlines()]
    signs = names.index("random")
    assert names[signs + 1 : signs + 3] == ["policy._target_=policies.", "oracle_masks.OracleMasks"]
    none = names.index("learned")
    assert names[none + 1] + names[none + 2] == "x" * 50


def test_the_comparison_stays_in_the_first_table():
    _, text = printed(NAMES, 80)
    first = text.partition("variant")[2].partition("variant")[0]
    assert all(number in first for number in NUMBERS[:3]) and NUMBERS[3] not in first


def test_a_table_that_fits_is_left_alone():
    count, text = printed(NAMES[:1], 120)
    assert count == 1 and "minus first [95 %]" in text
