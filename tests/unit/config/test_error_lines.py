"""What a user can fix, as one line."""

import sys

import pytest
import yaml
from hydra.errors import MissingConfigException

from framework.config.error_lines import explain, located
from framework.config.extras import how_to_install
from framework.errors import InputError

LINES = {
    MissingConfigException("", "policy/sma2", ["sam2", "rmem"]): "unknown policy 'sma2': choose one of sam2, rmem",
    MissingConfigException("", "motion/learned", ["none"]): "motion=learned is called motion=learned_judge now",
    MissingConfigException("", "hydra/launcher/slrum", ["basic"]): (
        "unknown hydra/launcher 'slrum': choose one of basic"
    ),
    **{
        MissingConfigException("", f"hydra/launcher/{name}", ["basic"]): (
            f"{name} is not installed: pip install 'engram-tracking[launchers]'"
        )
        for name in ("joblib", "submitit_local", "submitit_slurm")
    },
    ModuleNotFoundError("no", name="wandb.sdk"): "wandb is not installed: pip install 'engram-tracking[wandb]'",
    ModuleNotFoundError("no", name="rich.nowhere"): None,
    ModuleNotFoundError("no", name="mine"): None,
    yaml.YAMLError("found\n  a tab"): "a configuration file is not valid YAML: found a tab",
    RuntimeError("a bug"): None,
}


@pytest.mark.parametrize("error", LINES)
def test_one_line(error, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert explain(error) == LINES[error]


def test_a_command_names_the_extra_that_brings_all_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    assert how_to_install("rich", "track") == "rich is not installed: pip install 'engram-tracking[video]'"
    assert how_to_install("rich", "ablate") == "rich is not installed: pip install 'engram-tracking[report]'"


def test_a_target_of_what_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"^wandb is not installed: pip install 'engram-tracking\[wandb\]'$"):
        located("wandb.Settings")
