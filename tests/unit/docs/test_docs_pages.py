"""What the pages owe a reader: short cells, links that lead somewhere, one site that has them all."""

import re
from pathlib import Path

import pytest

import engram
from framework.config.renamed import CHOICES, COMMANDS, OPTIONS
from policies.components.read_features import FEATURES
from tests.documentation import FRONT, PAGES, PROJECT


@pytest.mark.parametrize("page", [*FRONT, *PAGES], ids=lambda page: page.name)
def test_no_cell_is_longer_than_twenty_words(page: Path) -> None:
    for line in page.read_text().splitlines():
        for cell in line.strip("| ").split(" | ") if line.startswith("|") else ():
            assert len(cell.split()) <= 20, cell


@pytest.mark.parametrize(("name", "lines"), [("README.md", 110), ("docs/learning.md", 100)])
def test_short_pages(name: str, lines: int) -> None:
    assert len((PROJECT / name).read_text().splitlines()) <= lines


def test_the_site_has_every_page() -> None:
    listed = re.findall(r"^ +- [^:\n]+: (\S+\.md)$", (PROJECT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == [page.name for page in PAGES]


@pytest.mark.parametrize("page", [*FRONT, *PAGES], ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_names_of_files_in_the_pages_exist() -> None:
    """Paths in code quotes, such as `policies/samurai.py`; those that a reader is to write are written on the page."""
    for page in [*FRONT, *PAGES]:
        text = page.read_text()
        written = {*re.findall(r'title="(\S+)"', text), "policies/sure.py", "conf/policy/sure.yaml"}
        for path in re.findall(r"`((?:framework|policies|motion|conf|docs|experiments|tests)/[\w/.+-]+)`", text):
            known = (PROJECT / path).exists() or path in written or re.search(r"/x\.(py|yaml)$", path)
            assert known, f"{page.name}: {path}"


def test_versions_and_public_names() -> None:
    assert f"\nversion: {engram.__version__}\n" in (PROJECT / "CITATION.cff").read_text()
    assert f"\n## {engram.__version__}\n" in (PROJECT / "CHANGELOG.md").read_text()
    (names,) = re.findall(r"`from engram import ([^`]*)`", (PROJECT / "docs/api.md").read_text())
    assert sorted(re.findall(r"\w+", names)) == sorted(engram.PUBLIC)


def test_every_name_that_changed_is_in_the_changelog() -> None:
    text = (PROJECT / "CHANGELOG.md").read_text()
    for old, new in (*CHOICES.items(), *OPTIONS.items(), *COMMANDS.items()):
        row = next(line for line in text.splitlines() if re.search(rf"^\| `{re.escape(old)}=?`", line))
        assert f"`{new}" in row


def test_every_feature_of_learned_parts_is_explained_and_no_other() -> None:
    text = (PROJECT / "docs/features.md").read_text()
    told = re.findall(r"`([a-z_]+)`", text[text.index("## Of each hypothesis") :])
    assert sorted(told) == sorted(FEATURES)
