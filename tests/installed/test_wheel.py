"""The wheel, installed into an environment of its own and used from folders of other people."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import venv
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SHIPPED = ("conf", "experiments", "framework", "motion", "policies")
LITTLE = ("data=calm", "data.limit=1", "data.length=4", "backbone.checkpoint=random", "threads=1")


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `python` and `engram` are; libraries are those of the environment that runs the tests."""
    root = tmp_path_factory.mktemp("installed")
    source, home = root / "source", root / "environment"
    for folder in SHIPPED:
        shutil.copytree(PROJECT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("engram.py", "pyproject.toml", "README.md"):
        shutil.copy(PROJECT / file, source / file)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    offline = ["--no-index", "--no-deps"]
    wheel = [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(root), str(source)]
    subprocess.run(wheel, check=True, capture_output=True)
    venv.EnvBuilder(with_pip=False, symlinks=True).create(home)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (packages / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    (file,) = root.glob("engram_tracking-*.whl")
    into = ["--python", str(home / "bin/python"), "install", *offline, str(file)]
    subprocess.run([*pip, *into], check=True, capture_output=True)
    return home / "bin"


def run(program: Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(program), *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, env={**kept, **environment}
    )


def crowd(folder: Path, *names: str) -> None:
    """Packages and modules of the user's own that must not be imported."""
    for name in names:
        path = folder / (name if name.endswith(".py") else f"{name}/__init__.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"raise RuntimeError('this is {name} of the working folder')\n")


def test_the_command_works_where_everything_has_our_names(binaries: Path, tmp_path: Path) -> None:
    crowd(tmp_path, *SHIPPED, "conf.py", "engram.py")
    done = run(binaries / "engram", "describe", "data=calm", "videos=1", "data.length=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "procedural-v1-calm" in done.stdout


def test_the_command_works_where_the_path_has_our_names(binaries: Path, tmp_path: Path) -> None:
    crowd(tmp_path, *SHIPPED)
    done = run(binaries / "engram", "describe", "videos=0", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (2, "videos=0 must be 1 or more\n")


def test_modules_work_where_the_working_folder_has_our_names(binaries: Path, tmp_path: Path) -> None:
    crowd(tmp_path, "conf", "conf.py", "framework", "policies", "motion", "engram.py")
    done = run(binaries / "python", "-m", "experiments.describe", "videos=0", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "videos=0 must be 1 or more\n")


def test_a_name_that_is_taken_is_one_line(binaries: Path, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/mine.py").write_text("class Mine: ...\n")
    options = ("policy=sam2", "policy._target_=policies.mine.Mine", *LITTLE)
    done = run(binaries / "engram", "evaluate", *options, "logger=none", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"{tmp_path / 'policies'} is hidden by the package " in done.stderr


ALONE = """
import sys

EXTRAS = "av huggingface_hub hydra_plugins matplotlib optuna pycocotools pytorch_lightning rich scipy wandb".split()
for name in EXTRAS:
    sys.modules[name] = None

import numpy as np
import torch
from engram import Prompt, Tracker, network
from policies.sam2 import Sam2

with torch.inference_mode():
    tracker = Tracker(network("micro"), Sam2())
    state, shapes = tracker.init(), []
    for index in range(2):
        features = tracker.network.encode(np.full((48, 64, 3), 99, np.uint8), index, length=2)
        prompts = {1: Prompt(box=(8.0, 8.0, 24.0, 24.0))} if index == 0 else {}
        state, result = tracker.step(state, features, prompts)
        shapes.append(tuple(result.masks()[1].shape))
print(shapes, [name for name in EXTRAS if sys.modules[name]])
"""


def test_the_tracker_needs_no_extra(binaries: Path, tmp_path: Path) -> None:
    crowd(tmp_path, "conf", "framework", "motion")
    (tmp_path / "alone.py").write_text(ALONE)
    done = run(binaries / "python", "alone.py", cwd=tmp_path)
    assert done.stdout == "[(48, 64), (48, 64)] []\n", done.stderr


PLUG_IN = """
from dataclasses import dataclass

from engram import Entry, Outcome
from policies.skip_absent import SkipAbsent


@dataclass(frozen=True)
class Sure(SkipAbsent):
    iou: float = 0.7

    def keeps(self, entry: Entry, outcome: Outcome) -> bool:
        return super().keeps(entry, outcome) and entry.scores.iou > self.iou
"""


def test_a_plug_in_of_the_users_own(binaries: Path, tmp_path: Path) -> None:
    """It is a choice like any other, and results of its earlier code are not taken for those of its present one."""
    for name, text in {
        "mypackage/__init__.py": "",
        "mypackage/sure.py": PLUG_IN,
        "myconf/policy/sure.yaml": "_target_: mypackage.sure.Sure\niou: 0.5\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    given = ("--config-dir=myconf", "variants=[sam2,sure]", "output=out", "logger=none", *LITTLE)
    done = run(binaries / "engram", "ablate", *given, "pictures=0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sure" in done.stdout
    notes = {about["name"]: about for about in (json.loads(p.read_text())["notes"] for p in tmp_path.rglob("run.json"))}
    assert set(notes) == {"sam2", "sure"} and {"torch", "sam2", "numpy"} <= set(notes["sure"])
    counts = [counted(run(binaries / "engram", "status", *given, cwd=tmp_path).stdout)]
    (tmp_path / "mypackage/sure.py").write_text(PLUG_IN.replace("> self.iou", ">= self.iou"))
    counts.append(counted(run(binaries / "engram", "status", *given, cwd=tmp_path).stdout))
    assert counts == [{"sam2": 1, "sure": 1}, {"sam2": 1, "sure": 0}]


def counted(table: str) -> dict[str, int]:
    """Finished sequences by variant."""
    rows = [line.split("│")[1:3] for line in table.splitlines() if line.count("│") > 2]
    return {name.strip(): int(done) for name, done in rows}
