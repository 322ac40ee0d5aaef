"""The page for notebooks runs as printed, cell by cell, and is the notebook beside it."""

import ast
import sys
from types import ModuleType

import pandas
import pytest
import torch
from PIL import Image

from framework.evaluation.comparison import Comparison
from framework.types import Scores
from tests.documentation import PROJECT, render_notebook

PAGE = PROJECT / "docs/notebook.md"


def shown(source: str, scope: dict[str, object]) -> object:
    """Runs a cell; what it shows is the value of the expression in its last line."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), scope)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), scope)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path) -> ModuleType:
    """Where the cells run: a module without a file, like a notebook's."""
    module = ModuleType("notebook_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    return module


def test_every_cell_runs_and_shows_something(page: ModuleType, capsys) -> None:
    code = [source for kind, source in render_notebook.cells(PAGE.read_text()) if kind == "code"]
    values = [shown(source, vars(page)) for source in code]
    assert all(value is not None for value in values)
    scores, picture, memory, table, grid, videos, frames, clauses, again = values
    assert isinstance(scores, Scores) and scores.presence > 0
    assert isinstance(picture, Image.Image) and picture.size == (384, 384)
    assert memory.spatial[0] == (0, -1) and memory.spatial[-1][1] == 0
    assert isinstance(grid, Image.Image) and grid.width > grid.height / 2
    assert len(clauses) == 5

    comparison = page.comparison
    assert isinstance(comparison, Comparison) and len(comparison.sequences) == 4
    assert list(table["variant"]) == ["sam2", "skip_absent", "keep_first"]
    assert list(again["variant"]) == [*table["variant"], "large"]
    pandas.testing.assert_frame_equal(table[again.columns], again[:3])  # read from disk
    assert {run.name: video.sharing for run in comparison.runs for video in run.videos.values()} == {
        **dict.fromkeys(table["variant"], 3),
        "large": 1,
    }
    assert videos["sam2"].mean() == pytest.approx(table["jaccard"][0], abs=1e-9)
    assert list(frames.columns) == sorted(table["variant"]) and list(frames.index) == [0, 5, 10, 15]
    assert frames.loc[0].isna().all() and frames.loc[5:].notna().all().all()
    assert capsys.readouterr().out.count("\n") <= 20, "lines of progress"


def test_the_notebook_is_the_page() -> None:
    made = render_notebook.notebook(PAGE.read_text())
    assert (PROJECT / "docs/notebook.ipynb").read_text() == made, "run python docs/render_notebook.py"


def test_a_notebook_has_the_cells_of_its_page() -> None:
    text = "# Title\n\n```python\na = 1\na\n```\n\nMore.\n\n```console\nengram track\n```\n"
    assert list(render_notebook.cells(text)) == [
        ("markdown", "# Title"),
        ("code", "a = 1\na"),
        ("markdown", "More.\n\n```console\nengram track\n```"),
    ]
