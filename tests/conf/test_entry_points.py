"""Every command answers what a user gets wrong with one line and exit code 2, and leaves nothing behind."""

import importlib

import pytest
import torch

from experiments import train
from tests.conf.test_ablate import call

LITTLE = ("data.limit=1", "data.length=4", "backbone.checkpoint=random")
BAD = {
    "no threads to compare with": ("ablate", ["threads=0", *LITTLE], "threads=0 must be 1 or more"),
    "no threads to evaluate with": ("evaluate", ["threads=-1", *LITTLE], "threads=-1 must be 1 or more"),
    "no threads to train with": ("train", ["threads=0"], "threads=0 must be 1 or more"),
    "no threads to pretrain with": ("pretrain", ["threads=0"], "threads=0 must be 1 or more"),
    "no threads to measure with": ("bench", ["threads=0", *LITTLE], "threads=0 must be 1 or more"),
    "no threads to examine with": ("diagnose", ["threads=0", *LITTLE], "threads=0 must be 1 or more"),
    "no video": ("ablate", ["data.limit=0"], "a limit of 1 or more, or null for all videos"),
    "fewer videos than none": ("status", ["data.limit=-1"], "a limit of 1 or more, or null for all videos"),
    "no video of a mixture": ("evaluate", ["data=mixed", "data.limit=0"], "a limit of 1 or more"),
    "nothing to track": ("evaluate", ["data.targets=0"], "procedural data need 1 or more targets"),
    "data without its list": (
        "evaluate",
        ["data=lasot", "data.root=.", "backbone.checkpoint=random"],
        "LaSOT: no testing_set.txt: get the data from",
    ),
    "results in a file": ("evaluate", ["output=file", *LITTLE], "cannot write results to file/"),
    "results nowhere": ("status", ["output=null", *LITTLE], "output=None is of a wrong type: give text"),
    "progress of nothing": ("status", ["output=nowhere", "variants=[sma2]"], "unknown variant 'sma2'"),
    "examine nothing": ("diagnose", ["videos=0", *LITTLE], "videos=0 must be 1 or more"),
    "measure no frame": ("bench", ["frames=0", *LITTLE], "frames=0 must be 1 or more"),
    "measure never": ("bench", ["repeats=0", *LITTLE], "repeats=0 must be 1 or more"),
    "verify on too little": (
        "verify",
        ["frames=3", *LITTLE],
        "frames=3 must be 6 or more: corrections come on frame 4",
    ),
    "describe no video": ("describe", ["videos=0"], "videos=0 must be 1 or more"),
    "describe never": ("describe", ["every=0"], "every=0 must be 1 or more"),
    "draw no video": ("describe", ["rows=0"], "rows=0 must be 1 or more"),
    "draw a text": ("describe", ["output=sheet.txt"], "output=sheet.txt is no picture: give a name that ends in .png"),
    "train on what is held out": (
        "train",
        ["learner=write_gate", "learner.data.held_out=600", "backbone.checkpoint=random"],
        "learning needs 1 <= held_out < videos and workers >= 0, not 600, 600 and 2",
    ),
    "a policy that is not there": (
        "evaluate",
        ["policy._target_=policies.sam2.Sma2", *LITTLE],
        "_target_=policies.sam2.Sma2: Are you sure that 'Sma2' is importable from module 'policies.sam2'? (give",
    ),
    "train from a seed below 0": ("train", ["seed=-1"], "seed=-1 must be 0 or more"),
    "train at no rate": (
        "train",
        ["learner=judge", "learner.module.rate=nan", "backbone.checkpoint=random"],
        "learning needs a rate above 0 and a decay of 0 or more, not nan and 0.1",
    ),
    "an attribute that is not there": (
        "ablate",
        ["variants=[sam2,skip_absent]", "attributes=[nosuch]", *LITTLE],
        "attribute 'nosuch' is unknown: choose among absent, appearance_change",
    ),
    "a bias that is no number": (
        "evaluate",
        ["policy=prompt_bias", "policy.bias=nan", *LITTLE],
        "prompt_bias needs a number as bias",
    ),
    "a range of nothing": (
        "ablate",
        ['variants=[sam2,"random policy.seed=range(0)"]', *LITTLE],
        "variant 'random policy.seed=range(0)' stands for no variant",
    ),
    "a policy that is none": (
        "evaluate",
        ["policy=no_memory", "policy._target_=framework.defaults.NoMotion", *LITTLE],
        "policy is no MemoryPolicy: name one by policy._target_",
    ),
    "a policy that is not finished": (
        "evaluate",
        ["policy=no_memory", "policy._target_=framework.interfaces.MemoryPolicy", *LITTLE],
        "Can't instantiate abstract class MemoryPolicy",
    ),
    "train for no step": ("train", ["steps=0"], "steps=0 must be 1 or more"),
    "train for no round": (
        "train",
        ["trainer.max_epochs=0", "backbone.checkpoint=random"],
        "trainer.max_epochs=0 trains nothing: give 1 or more",
    ),
    "train on no batch": (
        "train",
        ["learner=judge", "trainer.limit_train_batches=0", "backbone.checkpoint=random"],
        "trainer.limit_train_batches=0 trains nothing: give 1 or more",
    ),
    "pretrain for no step": (
        "pretrain",
        ["+trainer.max_steps=0"],
        "trainer.max_steps=0 trains nothing: give 1 or more",
    ),
    "pretrain for no epoch": (
        "pretrain",
        ["trainer.max_epochs=0"],
        "trainer.max_epochs=0 trains nothing: give 1 or more",
    ),
    "an earlier policy": (
        "evaluate",
        ["policy=learned_gate", *LITTLE],
        "policy=learned_gate is called policy=learned_read_gate now",
    ),
    "an earlier motion model": ("evaluate", ["motion=learned"], "motion=learned is called motion=learned_judge now"),
    "an earlier learner": ("train", ["learner=keep"], "learner=keep is called learner=write_gate now"),
    "an earlier variant": (
        "ablate",
        ["variants=[sam2,learned]", *LITTLE],
        "variant 'learned': policy=learned is called policy=learned_write_gate now",
    ),
    "an earlier motion model of a variant": (
        "ablate",
        ['variants=["sam2 motion=learned"]', *LITTLE],
        "variant 'sam2 motion=learned': motion=learned is called motion=learned_judge now",
    ),
    "an earlier option": ("ablate", ["bests={one:[sam2]}"], "bests is called best_of now"),
    "an earlier group": ("train", ["curves=csv"], "curves is called train_logger now"),
    "an earlier target": (
        "evaluate",
        ["policy=no_memory", "policy._target_=policies.beam.Beam", *LITTLE],
        "_target_=policies.beam.Beam is called _target_=policies.sam2long_beam.Beam now",
    ),
    "a sweep told late": ("evaluate", [*LITTLE, "-m", "policy=sam2,no_memory"], "(-m stands before all options)"),
    "a seed below 0": ("evaluate", ["policy=random", "policy.seed=-1", *LITTLE], "random needs slots >= 0, pointers"),
    "train on nothing": ("train", ["backbone.checkpoint=nope.pt"], "checkpoint nope.pt does not exist: train it"),
    "train in a file": ("train", ["folder=file", "backbone.checkpoint=random"], "file: File exists; choose a folder"),
    "pretrain in no time": ("pretrain", ["minutes=0.0"], "minutes=0.0 must be more than 0"),
    "pretrain some time": ("pretrain", ["minutes=long"], "minutes=long is of a wrong type: give a number"),
    "pretrain from nothing": ("pretrain", ["initial=nope.pt"], "checkpoint nope.pt does not exist"),
    "pretrain from another network": ("pretrain", ["initial=other.pt"], "other.pt does not fit the embedded network:"),
    "pretrain in a file": ("pretrain", ["folder=file"], "file: File exists; choose a folder"),
    "pretrain in another's folder": ("pretrain", ["folder=used"], "used holds a training of another configuration"),
    "score another's folder": ("score", ["run=used", "evaluator=davis2017"], "used holds no results: give run="),
    "export another's folder": ("export", ["run=used", "format=davis"], "used holds no results: give run="),
}


def test_an_interruption_is_one_line_of_what_it_says(monkeypatch, capfd):
    def interrupted(config):
        raise KeyboardInterrupt(config.folder)

    monkeypatch.setattr(train, "train", interrupted)
    assert call(train.main, "folder=kept here") == 130
    assert capfd.readouterr().err == "kept here\n"


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, tmp_path, monkeypatch, capfd):
    name, options, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "used").mkdir()
    (tmp_path / "used/training.yaml").write_text("rate: 1")
    torch.save({"model": {"weight": torch.zeros(3)}}, tmp_path / "other.pt")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert call(importlib.import_module(f"experiments.{name}").main, *options) == 2
    line = capfd.readouterr().err
    assert line.count("\n") == 1 and message in line, line
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before
