"""What --help prints: every option in a line, from the comments of conf/."""

from pathlib import Path

import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path

from framework.config.help import _comments, help_text, options_of
from tests.unit.test_engram import run

CONF = Path(__file__).parents[3] / "conf"
FILES = [
    *sorted(path for path in CONF.glob("*.yaml")),
    *(
        path
        for group in ("backbone", "data", "learner", "logger", "motion", "policy", "protocol", "selector", "tracker")
        for path in sorted(CONF.glob(f"{group}/*.yaml"))
    ),
    *sorted(CONF.glob("train_logger/*.yaml")),
]


def described(path):
    """Options of a file and of those that it extends, with what is said of each; inherited descriptions count."""
    text = path.read_text()
    said = dict(_comments(yaml.compose(text), text.splitlines()))
    for base in yaml.safe_load(text).get("defaults", ()):
        if isinstance(base, str) and base != "_self_" and (path.parent / f"{base}.yaml").exists():
            said = described(path.parent / f"{base}.yaml") | {name: found for name, found in said.items() if found}
    if path.parent.name == "learner":  # options of the training that it changes
        said = described(CONF / "train.yaml") | {name: found for name, found in said.items() if found}
    return said


def leaves(node, above=""):
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{above}{key}.")
        elif not key.startswith("_") and not (isinstance(value, str) and value.startswith("${")):
            yield f"{above}{key}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_every_option_is_described(path):
    said = described(path)
    content = {
        key: value for key, value in yaml.safe_load(path.read_text()).items() if key not in ("defaults", "hydra")
    }
    for name in leaves(content):
        parts = name.split(".")
        assert any(said.get(".".join(parts[:count])) for count in range(1, len(parts) + 1)), f"{path.name}: {name}"


def test_options_are_read_with_what_stands_beside_them():
    loader = ConfigLoaderImpl(create_config_search_path("pkg://conf"))
    found = options_of(loader, "track", ["policy=skip_absent"])
    options = {option.name: option for option in found.options}
    assert options["source"].value == "null" and options["source"].description.startswith("video file, folder of PNG")
    assert options["policy.presence"].value == "0.0"
    assert options["policy.presence"].description == "object score (a logit) above which a frame is remembered"
    assert options["prompt"].value is None and options["prompt"].description.startswith("one of mask, or box and/or")
    assert options["outputs"].value == "[masks.json,masks,boxes.csv,memory.json,overlay.mp4,viewer]"
    assert "policy._target_" not in options and "prompt.file" not in options and "hydra" not in options
    assert found.chosen["policy"] == "skip_absent" and found.chosen["method"] == "null"
    assert "learner" not in found.choices and not found.added
    text = help_text("track", found, width=100)
    assert text.startswith(
        "usage: engram track [option=value ...]\n\nTracks one video, image folder, camera or stream:\n"
    )
    assert max(map(len, text.partition("  source=")[2].splitlines()[:-1])) <= 100
    assert "\n  policy.presence=0.0               object score (a logit) above which a frame is remembered\n" in text


def test_settings_of_several_options_are_those_that_fit():
    loader = ConfigLoaderImpl(create_config_search_path("pkg://conf"))
    added = options_of(loader, "ablate", []).added
    assert set(added) == {"debug", "experiment", "paper"} and "dam4sam_didi" in added["paper"]


@pytest.mark.parametrize("arguments", [("describe", "--help"), ("describe", "videos=3", "--help")])
def test_help_ends_the_command(arguments, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert (code, err) == (0, "")
    assert out.startswith("usage: engram describe [option=value ...]\n\nCounts a data set's attributes")
    videos = next(line for line in out.splitlines() if line.startswith("  videos="))
    assert videos.split() == [f"videos={3 if 'videos=3' in arguments else 50}", "videos", "to", "look", "at"]


def test_help_of_an_unknown_choice_is_one_line(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "describe", "data=nothing", "--help")
    assert (code, out) == (2, "") and err.startswith("unknown data 'nothing': choose one of ")
