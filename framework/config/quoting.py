"""Texts as values on Hydra's command line."""

import re

from hydra.core.override_parser.types import Quote, QuotedString


def quoted(text: str) -> str:
    """The text as a value in which nothing is taken for anything else."""
    return in_quotes(re.sub(r"(\\*)\$\{", lambda found: rf"{found[1] * 2}\${{", text))


def in_quotes(text: str) -> str:
    """The text as a value in which `${...}` alone is not taken as it is."""
    return QuotedString(text, Quote.double if "'" in text else Quote.single).with_quotes()
