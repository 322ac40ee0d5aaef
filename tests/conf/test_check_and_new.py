"""`engram new` writes plug-ins that `engram check` finds nothing wrong with, also outside this project."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments import check, new
from tests.conf.test_ablate import call

PROJECT = Path(__file__).parents[2]
BROKEN = """
from policies.skip_absent import SkipAbsent
from dataclasses import dataclass

@dataclass(frozen=True)
class Broken(SkipAbsent):
    slots: int = 9

@dataclass(frozen=True)
class Failing(SkipAbsent):
    def keeps(self, entry, outcome):
        return {}["x"]
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("mine", "broken", "empty"):
            del sys.modules[name]


def test_a_new_plug_in_keeps_the_contract(tmp_path, capsys):
    for kind, name, title in (("policy", "diversity", "Diversity"), ("motion", "straight_on", "StraightOn")):
        assert call(new.main, kind, name) == 0
        files = [f"mine/{name}.py", f"conf/{kind}/{name}.yaml", f"tests/test_{name}.py"]
        assert capsys.readouterr().out.splitlines()[:3] == files
        assert call(check.main, f"mine/{name}.py") == 0
        first, *clauses = capsys.readouterr().out.splitlines()
        assert first == f"mine.{name}.{title}" and clauses and all(line.startswith("  holds   ") for line in clauses)
        options = yaml.safe_load(Path(f"conf/{kind}/{name}.yaml").read_text())
        assert options.pop("_target_") == first
        made = getattr(importlib.import_module(f"mine.{name}"), title)
        assert made(**options) == made()
        lines = Path(f"mine/{name}.py").read_text().splitlines()
        assert len(lines) < 60 and max(map(len, lines)) <= 120
        assert call(new.main, kind, name) == 2 and "is there already" in capsys.readouterr().err


def test_its_test_passes(tmp_path):
    assert call(new.main, "policy", "diversity") == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout + done.stderr


def test_in_the_project_it_goes_to_the_methods(tmp_path, monkeypatch):
    import policies

    (tmp_path / "policies").mkdir()
    monkeypatch.setattr(policies, "__file__", str(tmp_path / "policies/__init__.py"))
    assert list(map(str, new.write("policy", "mine"))) == [
        "policies/mine.py",
        "conf/policy/mine.yaml",
        "tests/unit/policies/test_mine.py",
    ]
    assert "_target_: policies.mine.Mine\n" in Path("conf/policy/mine.yaml").read_text()


def test_what_is_broken_is_told(tmp_path, capsys):
    Path("broken.py").write_text(BROKEN)
    assert call(check.main, "broken.py") == 1
    out = capsys.readouterr().out
    assert "broken.Broken\n  broken  memory is bounded" in out and "0..5 or ANCHOR\n" in out
    line = 1 + BROKEN.splitlines().index('        return {}["x"]')
    told = f"KeyError: 'x' (Failing.write, broken.py:{line}, frame 1, "
    assert "broken.Failing\n  failed  memory is bounded" in out and told in out


def test_options_are_those_of_the_constructor(capsys):
    assert call(check.main, "policies.every_nth.EveryNth", "interval=2") == 0
    assert call(check.main, "policies.every_nth.EveryNth", "interval=0") == 2
    assert call(check.main, "policies.every_nth.EveryNth", "intervall=2") == 2
    refused = capsys.readouterr().err.splitlines()
    assert len(refused) == 2 and "unknown option 'intervall': did you mean interval?" in refused[1]


HALF = """from framework.interfaces import MemoryPolicy
class Half(MemoryPolicy[int]):
    slots = 6
"""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nope.py"], "nope.py does not exist: give the file of a plug-in"),
        (["empty.py"], "empty.py has no memory policy, motion model or selector: write a class that extends one"),
        (["half.py"], "half.py has no whole plug-in: Half lacks entries, init, read, write"),
        (["policies.sam2.Sma2"], "_target_=policies.sam2.Sma2: "),
        (["policies.sam2.Sam2", "slots"], "slots is no option: write name=value after the file"),
    ],
)
def test_a_mistake_is_one_line(arguments, line, capsys):
    Path("empty.py").write_text("")
    Path("half.py").write_text(HALF)
    assert call(check.main, *arguments) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith(line)


@pytest.mark.parametrize(
    ("arguments", "line"), [(["policy", "Big"], "Big is no name"), (["x", "y"], "unknown kind 'x'")]
)
def test_a_wrong_name_is_one_line(arguments, line, capsys):
    assert call(new.main, *arguments) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith(line)
