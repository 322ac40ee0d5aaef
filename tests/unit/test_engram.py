"""The public names and the command, in this process; tests/installed runs the command from other folders."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import engram

PROJECT = Path(__file__).parents[2]


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["engram", *arguments])
    monkeypatch.setattr(sys, "path", [*sys.path])
    code = 0
    try:
        engram.main()
    except SystemExit as end:
        code = end.code
    return code, *capsys.readouterr()


@pytest.mark.parametrize("name", engram.PUBLIC)
def test_public_names_are_those_of_their_modules(name):
    value = getattr(engram, name)
    assert value.__module__ == engram.PUBLIC[name] and value.__name__ == name


def test_type_checkers_see_the_same_names():
    tree = ast.parse((PROJECT / "engram.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert seen == engram.PUBLIC


def test_no_other_name_is_public():
    with pytest.raises(AttributeError, match="module 'engram' has no attribute 'Trakcer'"):
        engram.Trakcer  # noqa: B018


def test_importing_it_imports_no_library():
    code = "import sys, engram; print(sorted({'torch', 'numpy', 'hydra', 'framework'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_lists_every_command(arguments, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, *arguments)
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    earlier = {"__init__", "__main__", "examine"}
    modules = {path.stem for path in (PROJECT / "experiments").glob("*.py")} - earlier
    assert sorted(engram.MODULES.get(name, name) for name in listed) == sorted(modules)
    assert (code, err) == (0, "")


def test_version(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "--version") == (0, f"{engram.__version__}\n", "")


def test_an_unknown_command_is_one_line(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "trak")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith("unknown command 'trak': did you mean track or rank? (valid: ablate, bench, ")
    code, out, err = run(monkeypatch, capsys, "examine")
    assert (code, out, err) == (2, "", "engram examine is called engram diagnose now\n")


def test_a_command_is_given_its_options(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "describe", "videos=0")
    assert (code, out, err) == (2, "", "videos=0 must be 1 or more\n")


def test_a_package_of_the_same_name_is_refused(monkeypatch, capsys, tmp_path):
    other = ModuleType("motion")
    other.__file__ = str(tmp_path / "motion/__init__.py")
    monkeypatch.setitem(sys.modules, "motion", other)
    code, out, err = run(monkeypatch, capsys, "describe", "videos=0")
    line = f"{other.__file__} is imported as motion, which is a package of Engram: rename it\n"
    assert (code, out, err) == (2, "", line)


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        ("track", "av", "video"),
        ("track", "rich", "video"),
        ("score", "pycocotools", "report"),
        ("diagnose", "scipy", "report"),
        ("tune", "optuna", "tune"),
    ],
)
def test_what_is_not_installed_names_its_extra(command, module, extra):
    code = f"import sys; sys.modules[{module!r}] = None; sys.argv[1:] = [{command!r}]; import engram; engram.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    line = f"{module} is not installed: pip install 'engram-tracking[{extra}]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_a_public_name_that_needs_what_is_not_installed_names_the_extra():
    code = "import sys; sys.modules['matplotlib'] = None; from engram import overlay"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    line = "ImportError: matplotlib is not installed: pip install 'engram-tracking[report]'"
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == line
