"""Options that are text arrive on every command as they were written, and the record of a run says the same text."""

import importlib
import json
import logging
import shlex
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from PIL import Image

from experiments import evaluate, track
from framework.config.texts import as_written, expand_home
from tests.conf.test_ablate import call
from tests.fakes.colour import square_mask, write_folder, write_video

HEX = "12e45"
DATE = "2024_01_15"
MICRO = "backbone.checkpoint=random"
OPTIONS = {
    "track": ["source", "output", "prompts", "prompt.mask", "backbone.checkpoint"],
    "evaluate": ["output", "data.version", "data.root", "logger.folder", "logger.group", "backbone.checkpoint"],
    "ablate": ["output", "data.root", "logger.project"],
    "status": ["output", "data.root"],
    "score": ["run", "evaluator", "data.root"],
    "export": ["run", "format", "name", "output", "data.root"],
    "describe": ["output", "data.root"],
    "diagnose": ["data.root", "backbone.checkpoint"],
    "verify": ["source", "data.root", "backbone.checkpoint"],
    "bench": ["data.root", "backbone.checkpoint"],
    "train": ["folder", "title", "weights", "policy.gate.checkpoint", "backbone.checkpoint"],
    "pretrain": ["folder", "title", "weights", "initial", "trainer.default_root_dir", "module.network.initial"],
}
CHOICES = {
    "pretrain": ["+pretraining=photo"],
    "train": ["policy.gate._target_=policies.components.read_gate.load", "+policy.gate.checkpoint=null"],
}


def shown(capfd, name, *options):
    """The configuration of a command with these options."""
    capfd.readouterr()
    assert call(importlib.import_module(f"experiments.{name}").main, *options, "--cfg", "job") == 0
    return OmegaConf.create(yaml.safe_load(capfd.readouterr().out))


@pytest.mark.parametrize("name", OPTIONS)
def test_numbers_of_other_systems_and_dates_are_text(name, capfd):
    for text in (DATE, HEX, "#1 [a], b=c & d (é).x"):
        given = [f"{option}={text}" for option in OPTIONS[name]]
        data = ["data=folder"] if "data.root" in OPTIONS[name] else []
        config = shown(capfd, name, *data, *CHOICES.get(name, ()), *given)
        arrived = [OmegaConf.select(config, option) for option in OPTIONS[name]]
        assert arrived == [text] * len(OPTIONS[name])


def test_lists_and_parts_of_other_files(tmp_path, capfd):
    config = shown(capfd, "evaluate", "data=folder", f"data.only=[0001,{DATE},{HEX}]", "hydra.run.dir=1_2")
    assert config.data.only == ["0001", DATE, HEX]
    davis = ["+data@learner.data.train.davis=davis", f"learner.data.train.davis.root={DATE}"]
    assert shown(capfd, "train", *davis).learner.data.train.davis.root == DATE
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("_target_: framework.data.readers.folder.AnyFolder\nroot: null\n")
    config = shown(capfd, "describe", "data=mine", f"data.root={DATE}", "--config-dir", str(tmp_path))
    assert config.data.root == DATE


NAMES = [
    DATE,
    "1e3",
    "true",
    "clip (1)",
    "видео",
    "视频",
    "é à",
    "a # b & c",
    "[a]",
    "it's",
    '"q"',
    "a=b, c:d",
    "$x {y}",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name_is_tracked_from_and_into(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(Path(name) / "in", 2)
    Image.fromarray(square_mask(0)).save(Path(name) / "m.png")
    options = [f"source={name}/in", f"prompt.mask={name}/m.png", f"output={name}/out", "outputs=[boxes.csv]", MICRO]
    assert call(track.main, *options) == 0
    assert sorted(path.name for path in (Path(name) / "out").iterdir()) == ["boxes.csv", "run.json"]
    record = json.loads((Path(name) / "out" / "run.json").read_text())
    assert record["configuration"]["source"] == str((tmp_path / name / "in").resolve())


def test_a_sweep_over_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("1_2", "12", "a (1)"):
        write_video(Path(f"{name}.mp4"), 2)
        Path(f"{name}.mp4").rename(name)
    options = ["prompt.box=[0,16,16,32]", "outputs=[boxes.csv]", "output=null", MICRO]
    assert call(track.main, "-m", "source=1_2,a (1)", *options) == 0
    assert sorted(path.name for path in Path("outputs/track").iterdir() if path.is_dir()) == ["1_2-sam2", "a (1)-sam2"]


def test_a_variant_names_a_file(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for text, said in ((DATE, DATE), ("'a (1).pt'", "a (1).pt")):
        variants = f'variants=["learned_write_gate policy.checkpoint={text}"]'
        assert call(evaluate.main, variants.replace("variants", "+variants"), "data.limit=1", MICRO) == 2
        assert f"{said} does not exist" in capfd.readouterr().err


def test_every_bad_job_of_a_sweep_is_named(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write_video(Path("clip.mp4"), 2)
    monkeypatch.setattr(logging.root, "handlers", [])  # those of other tests write to what is closed
    options = ["prompt.box=[0,16,16,32]", "outputs=[boxes.csv]", MICRO]
    assert call(track.main, "-m", f"source={DATE},clip.mp4,b (1).mp4", *options) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("job ")]
    assert [(line[:5], line.partition("): ")[2].partition(":")[0]) for line in lines] == [
        ("job 0", DATE),
        ("job 2", "b (1).mp4"),
    ]
    assert Path("outputs/track/clip-sam2/boxes.csv").exists()
    assert call(track.main, "-m", "source=clip.mp4", "policy=sma2,sam2,radnom", *options) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2 and "'sma2'" in lines[0] and "'radnom'" in lines[1]


def test_an_option_that_cannot_be_read_is_shown_as_it_is_typed(capfd):
    assert call(track.main, "sorce=clip (1).mp4") == 2
    line = capfd.readouterr().err
    assert line.startswith("cannot read the option 'sorce=clip (1).mp4': write key=value, and as text ")
    (typed,) = shlex.split(line.partition(" as text ")[2])
    assert call(track.main, typed) == 2
    assert capfd.readouterr().err.startswith("unknown option 'sorce': did you mean source")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "home/clip", 2)
    options = ["source=~/clip", "prompt.box=[0,16,16,32]", "outputs=[boxes.csv]", MICRO]
    assert call(track.main, *options, "output=~/out") == 0
    assert (tmp_path / "home/out/boxes.csv").exists()
    (tmp_path / "home/conf/policy").mkdir(parents=True)
    (tmp_path / "home/conf/policy/mine.yaml").write_text("_target_: policies.sam2.Sam2\n")
    assert call(track.main, "--config-dir=~/conf", *options, "policy=mine", "output=~/mine") == 0
    assert (tmp_path / "home/mine/boxes.csv").exists() and not Path("~").exists()


def test_a_tilde_in_sweeps_lists_and_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    annotations = {"output": str | None, "roots": list[str], "steps": int}
    given = ["output=~/x", "output=~", "roots=[~/a,b]"]
    home = [f"output={tmp_path}/x", f"output={tmp_path}", f"roots=[{tmp_path}/a,b]"]
    others, kept = ["output=~x", "output=a~/b"], ["output='~/x'", "steps=~/3", "~output"]
    written = [*home, "output='~x'", "output='a~/b'", *kept]
    assert as_written([*given, *others, *kept], annotations.get, False) == written
    assert as_written(["output=~/x,~/y"], annotations.get, True) == [f"output={tmp_path}/x,{tmp_path}/y"]
    config = OmegaConf.create({"a": {"b": "~/x", "c": ["~", "d~"], "e": "${a.b}", "f": "???", "g": None}})
    expand_home(config)
    plain = {"b": f"{tmp_path}/x", "c": [str(tmp_path), "d~"], "e": f"{tmp_path}/x", "f": "???", "g": None}
    assert OmegaConf.to_container(config, resolve=True) == {"a": plain}
