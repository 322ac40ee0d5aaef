"""What `engram doctor` says of a machine."""

import json
import re
import sys
import tempfile
import tomllib
from pathlib import Path

import numpy
import pytest
import torch

from experiments.doctor import main
from framework.diagnostics.machine import DISTRIBUTIONS, folder, machine

PROJECT = Path(__file__).parents[3]


def said(monkeypatch, capsys, *options):
    monkeypatch.setattr(sys, "argv", ["engram doctor", *options])
    main()
    return capsys.readouterr().out


def test_every_requirement_is_among_the_versions():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = ("report", "video", "notebook", "train", "wandb", "hub", "launchers", "tune")
    wanted = [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    assert {re.match(r"[\w-]+", line)[0] for line in wanted} <= set(DISTRIBUTIONS)


def test_text_and_json_say_the_same(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("ENGRAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = json.loads(said(monkeypatch, capsys, "--json"))
    assert found["versions"]["numpy"] == numpy.__version__ and found["versions"]["torch"] == torch.__version__
    assert found["threads"] == {"torch": str(torch.get_num_threads()), "OMP_NUM_THREADS": "3"}
    assert found["folders"]["checkpoints"].startswith(f"{tmp_path / 'cache'}: writable, will be made, ")
    assert not (tmp_path / "cache").exists() and found.pop("executable") == sys.executable
    text = said(monkeypatch, capsys)
    for section, facts in found.items():
        lines = text.split(f"{section}\n")[1].splitlines()[: len(facts)]
        names = [line.split()[0] for line in lines]
        assert names == list(facts)


def test_a_folder_that_takes_no_files_is_named(monkeypatch, tmp_path):
    def refused(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    assert folder(tmp_path).startswith(f"{tmp_path}: not writable (Read-only file system), ")


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("framework.diagnostics.machine.find_spec", lambda name: None)
    found = machine(tmp_path)
    assert found["decoders"] == {"video": "none: av is not installed"}
    assert found["wandb"] == {"state": "not installed"}


@pytest.mark.parametrize("key", ["environment", "netrc"])
def test_a_key_is_known_and_never_shown(key, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert machine(tmp_path)["wandb"]["key"].startswith("none")
    if key == "environment":
        monkeypatch.setenv("WANDB_API_KEY", "secret")
    else:
        (tmp_path / ".netrc").write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    found = machine(tmp_path)
    assert found["wandb"]["key"] == "known" and "secret" not in json.dumps(found)


def test_other_options_are_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        said(monkeypatch, capsys, "--xml")
    assert end.value.code == 2 and capsys.readouterr().err.startswith("usage: engram doctor [--json]")
