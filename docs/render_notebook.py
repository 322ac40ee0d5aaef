"""Writes docs/notebook.ipynb from docs/notebook.md: `python docs/render_notebook.py`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).with_name("notebook.md")
NOTEBOOK = PAGE.with_suffix(".ipynb")
FORMAT = {"nbformat": 4, "nbformat_minor": 4}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def cells(text: str) -> Iterator[tuple[str, str]]:
    """(code or markdown, source) of a page: its Python blocks, and what stands between them."""
    for index, part in enumerate(re.split(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)):
        if part.strip():
            yield "code" if index % 2 else "markdown", part.strip()


def notebook(text: str) -> str:
    """The page as a Jupyter notebook without outputs."""
    made = []
    for kind, source in cells(text):
        own = {"execution_count": None, "outputs": []} if kind == "code" else {}
        made.append({"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True), **own})
    whole = {"cells": made, "metadata": {"kernelspec": KERNEL}, **FORMAT}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(PAGE.read_text()))
