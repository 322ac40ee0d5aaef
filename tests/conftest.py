"""Options of the test run."""

import pytest
from hypothesis import settings

# A run of the tests draws the same examples each time; `--hypothesis-profile=long` draws others, and a hundred times as
# many where a test says so.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("long", max_examples=100 * settings().max_examples, deadline=None, print_blob=True)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scenarios", type=int, default=100, help="random scenarios of each comparison (slow tests)")
