"""A user's own configuration files, given by --config-dir: what is wrong in one of them is one line that names it."""

import sys

import pytest

from experiments import describe
from tests.conf.test_ablate import call

DATA = b"_target_: framework.data.procedural.dataset.Procedural\nlevel: calm\nsplit: val\nlength: 3\n"
BAD = {
    "a tab": (b"\t_target_: x\n", "is not valid YAML: while scanning for the next token found character '\\t'"),
    "a list": (b"- a\n", "['a'] stands where a group of options should: write group.option=value"),
    "a key twice": (b"a: 1\na: 2\n", "found duplicate key a in"),
    "two documents": (b"a: 1\n---\nb: 2\n", "expected a single document in the stream in"),
    "a tag of Python": (b"a: !!python/name:os.system\n", "is not valid YAML: could not determine a constructor"),
    "another encoding": (b"a: \xff\n", "mine.yaml is not text in UTF-8: 'utf-8' codec can't decode byte 0xff"),
    "defaults that are none": (b"defaults: 3\n", "Invalid defaults list in 'data/mine', defaults must be a list"),
    "a default that is none": (b"defaults: [3]\n", "the configuration is refused: Unsupported type in defaults : int"),
    "a default that is missing": (b"defaults: [nowhere]\n", "In 'data/mine': Could not load 'data/nowhere'."),
    "nothing to interpolate": (
        DATA + b"seed: ${nowhere}\n",
        "data.seed: Interpolation key 'nowhere' not found; if ${ is to be text, write \\${",
    ),
    "a target that is a list": (b"_target_: [a]\n", "_target_=['a'] is no name: give module.Name"),
    "a target that is nowhere": (b"_target_: nope.mine.Mine\n", "_target_=nope.mine.Mine: Are you sure that module"),
    "a target that is a module": (b"_target_: policies.sam2\n", "_target_=policies.sam2 is no class or function: give"),
    "a target with an error in it": (
        b"_target_: broken.mine.Mine\n",
        "_target_=broken.mine.Mine: SyntaxError('",
    ),
    "a target behind ours": (
        b"_target_: policies.mine.Mine\n",
        "is hidden by the package",
    ),
    "an argument twice": (
        DATA + b"_args_: [1,2,3,4,5,6,7,8,9]\n",
        "data._args_=[1, 2, 3, 4, 5, 6, 7, 8, 9]: multiple values for argument 'split'",
    ),
    "an option of no constructor": (DATA + b"levle: calm\n", "unknown option 'data.levle': did you mean level"),
    "a wrong setting": (DATA + b"_partial_: 3\n", "Instantiation: _partial_ flag must be a bool"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    (tmp_path / "mine/data").mkdir(parents=True)
    for file, text in {"plugins/broken/mine.py": "class Mine(:\n", "policies/mine.py": "class Mine: ...\n"}.items():
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    return tmp_path


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_line(case, folder, capfd):
    content, message = BAD[case]
    (folder / "mine/data/mine.yaml").write_bytes(content)
    assert call(describe.main, "--config-dir=mine", "data=mine", "videos=1", "output=sheet.png") == 2
    line = capfd.readouterr().err
    assert line.count("\n") == 1 and message in line, line
    assert not (folder / "sheet.png").exists()


def test_a_good_file_is_a_choice_like_any_other(folder, capfd):
    (folder / "mine/data/mine.yaml").write_bytes(DATA)
    assert call(describe.main, "--config-dir=mine", "data=mine", "videos=1", "output=sheet.png") == 0
    assert "procedural" in capfd.readouterr().out and (folder / "sheet.png").exists()


def test_a_folder_that_is_not_there(folder, capfd):
    assert call(describe.main, "--config-dir=nowhere") == 2
    line = capfd.readouterr().err
    assert line.count("\n") == 1 and "nowhere' not found" in line
