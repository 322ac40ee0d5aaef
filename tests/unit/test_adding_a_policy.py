"""Follows docs/adding-a-policy.md to the letter in a copy of the project."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SMALL = ["backbone.checkpoint=random", "data.limit=1", "data.length=8", "logger=none"]


def blocks(text: str) -> list[tuple[str, str, str]]:
    """(language, file name or "", content) of every fenced block."""
    return re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_page(tmp_path: Path) -> None:
    for folder in ("framework", "policies", "motion", "conf", "experiments", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "assets")
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    page = blocks((PROJECT / "docs/adding-a-policy.md").read_text())
    written = [name for language, name, _ in page if language != "console"]
    assert written == ["policies/sure.py", "conf/policy/sure.yaml"]
    for language, name, content in page:
        if language != "console":
            assert not (tmp_path / name).exists()
            (tmp_path / name).write_text(content)
            continue
        for line in content.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "python"
            extra = SMALL if "experiments.ablate" in arguments else ["-p", "no:cacheprovider"]
            done = subprocess.run(
                [sys.executable, *arguments, *extra], cwd=tmp_path, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert "sure" in done.stdout or "passed" in done.stdout, done.stdout
