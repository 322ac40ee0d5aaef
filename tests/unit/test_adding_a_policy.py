"""Follows the pages that have a reader write code to the letter, in a copy of the project."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
import yaml

from framework.data.procedural.dataset import Procedural

PROJECT = Path(__file__).parents[2]
SMALL = ["backbone.checkpoint=random", "data.limit=1", "data.length=8", "logger=none"]
PAGES = {
    "adding-a-policy": ["policies/sure.py", "conf/policy/sure.yaml"],
    "adding-a-motion-model": ["motion/stay.py", "conf/motion/stay.yaml"],
    "tutorial": ["objects.json", "policies/inside.py", "conf/policy/inside.yaml"],
}
"""Every page, and the files it has a reader write."""


def blocks(text: str) -> list[tuple[str, str, str]]:
    """(language, file name or "", content) of every fenced block."""
    return re.findall(r'^```(\w+)(?: title="(\S+)")?\n(.*?)^```', text, flags=re.MULTILINE | re.DOTALL)


def arguments_of(line: str) -> list[str]:
    """A command as this copy of the project runs it, on little data."""
    program, *arguments = shlex.split(line)
    if program == "python":
        return [*arguments, "-p", "no:cacheprovider"]
    assert program == "engram"
    name, *options = arguments
    small = ["backbone.checkpoint=random"] if name == "track" else SMALL
    return ["-m", "engram", name, *options, *small]


def draw_clip(path: Path, frames: int = 6) -> None:
    video = Procedural(split="val", level="calm", length=frames).sequence(0)
    with av.open(path, "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.height, stream.width = video.size
        for index in range(frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(video.frame(index), format="rgb24")))
        file.mux(stream.encode())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name != "adding-a-policy" else []) for name in PAGES]
)
def test_the_page(name: str, tmp_path: Path) -> None:
    for folder in ("framework", "policies", "motion", "conf", "experiments", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "assets")
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=ignored)
    for file in ("engram.py", "pyproject.toml"):
        shutil.copy(PROJECT / file, tmp_path)
    draw_clip(tmp_path / "clip.mp4")
    page = blocks((PROJECT / f"docs/{name}.md").read_text())
    assert [file for _, file, _ in page if file] == PAGES[name]
    added = Path(PAGES[name][-1]).stem
    for language, file, content in page:
        if file:
            assert not (tmp_path / file).exists()
            (tmp_path / file).write_text(content)
        for line in content.splitlines() if language == "console" else ():
            if line.startswith(("make ", "source ")):
                continue
            done = subprocess.run(
                [sys.executable, *arguments_of(line)], cwd=tmp_path, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stdout + done.stderr
            told = "outputs/" if line.startswith("engram track") else added
            assert told in done.stdout or "passed" in done.stdout, done.stdout


@pytest.mark.parametrize("name", PAGES)
def test_the_code_of_the_page(name: str) -> None:
    """Its classes take the options of its configuration, and those are their defaults."""
    texts = {file: content for _, file, content in blocks((PROJECT / f"docs/{name}.md").read_text()) if file}
    *_, code, options = (texts[file] for file in PAGES[name])
    scope: dict[str, object] = {"__name__": f"{name}_page"}
    exec(code, scope)
    given = yaml.safe_load(options)
    made = scope[given.pop("_target_").rpartition(".")[2]]
    assert isinstance(made, type) and given and made(**given) == made()
