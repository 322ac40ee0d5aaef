"""Every table of the documentation is data with the commands that made it."""

import re
from pathlib import Path

import pytest

from tests.documentation import RESULTS, render_results


@pytest.mark.parametrize("page", render_results.PAGES, ids=lambda page: page.name)
def test_pages_show_what_the_files_say(page: Path) -> None:
    assert render_results.render(page) == page.read_text(), "run python docs/render_results.py"


def test_every_file_is_shown() -> None:
    shown = {
        name for page in render_results.PAGES for name in re.findall(r"<!-- results/([\w-]+\.csv)", page.read_text())
    }
    assert shown == {path.name for path in RESULTS}


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_numbers_agree_with_one_another(path: Path) -> None:
    """Intervals hold their value; counts of videos add up; differences are those of the means, as rounded."""
    results = render_results.read(path)
    for name in results.shown():
        if f"{name} low" in results.header:
            parts = (results.column(name), results.column(f"{name} low"), results.column(f"{name} high"))
            bounded = [tuple(map(float, cell)) for cell in zip(*parts, strict=True) if all(cell)]
            assert bounded and all(low <= value <= high for value, low, high in bounded), name
    counts = [name for name in ("better", "equal", "worse", "win", "tie", "loss") if name in results.header]
    if counts:
        sums = {sum(map(int, row)) for row in zip(*map(results.column, counts), strict=True) if all(row)}
        assert len(sums) == 1
    for name, baseline in (("minus sam2", "sam2"), ("minus the rule", "the rule")):
        if name in results.header and "J" in results.header:
            means = dict(zip(results.column("variant"), results.column("J"), strict=True))
            base = next(mean for variant, mean in means.items() if variant.startswith(baseline))
            for variant, difference in zip(results.column("variant"), results.column(name), strict=True):
                if difference:
                    assert float(difference) == pytest.approx(float(means[variant]) - float(base), abs=0.00151), variant


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "# about: two videos\n# command: engram ablate \\\n#   data=hard\n"
        "variant,J,minus sam2,minus sam2 low,minus sam2 high\n"
        "sam2,0.700,,,\na,0.720,+0.020,+0.010,+0.030\nb,0.690,-0.010,-0.020,+0.000\nc,0.650,-0.050,-0.060,-0.040\n"
    )
    results = render_results.read(path)
    assert results.about == "two videos" and results.commands == ("engram ablate \\ data=hard",)
    assert results.shown() == ["variant", "J", "minus sam2"]
    assert render_results.markdown(results, ["variant", "minus sam2"]) == (
        "| variant | minus sam2 [95 %] |\n"
        "| :-- | --: |\n"
        "| sam2 |  |\n"
        "| a | **+0.020 [+0.010, +0.030]** |\n"
        "| b | -0.010 [-0.020, +0.000] |\n"
        "| c | **-0.050 [-0.060, -0.040]** |"
    )


@pytest.mark.parametrize(
    "text",
    [
        "# about: x\nvariant,J\nsam2,0.7\n",  # no command
        "# command: engram ablate\nvariant,J\nsam2,0.7\n",  # no description
        "# about: x\n# command: engram ablate\nvariant,J\nsam2\n",  # a short row
        "# about: x\n# comand: engram ablate\nvariant,J\nsam2,0.7\n",  # misspelt
    ],
)
def test_files_that_say_too_little(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.csv"):
        render_results.read(path)
