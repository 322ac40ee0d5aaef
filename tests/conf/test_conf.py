"""Every configuration file composes, and what it describes can be made."""

import inspect
from pathlib import Path

import hydra
import pytest
import pytorch_lightning as pl
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from pytorch_lightning.loggers import Logger

from framework.config.checks import build
from framework.config.variants import expand_sweep, variants
from framework.data.sequence import DataSet, VideoSequence
from framework.evaluation.protocol import EvaluationProtocol
from framework.interfaces import MemoryPolicy, MotionModel, Selector
from framework.report.report import Reporter
from framework.report.wandb_log import NoLog
from framework.tracker import Tracker

CONF = Path(__file__).parents[2] / "conf"

pytestmark = pytest.mark.usefixtures("composition")


def choices(group):
    return sorted(
        path.stem if "." not in path.stem else path.name[: -len(".yaml")] for path in (CONF / group).glob("*.yaml")
    )


def composed(name, *overrides):
    """As an entry point sees it."""
    config = compose(name, overrides=list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return compose(name, overrides=list(overrides))


def made(config):
    """Trackers of a composed configuration on the embedded network with random weights."""
    network = build(config.backbone)
    return {variant.name: variant.tracker(network) for variant in variants(config)}


@pytest.mark.parametrize("name", choices("policy"))
def test_policies(name):
    assert isinstance(build(composed("evaluate", f"policy={name}").policy), MemoryPolicy)


@pytest.mark.parametrize("name", choices("motion"))
def test_motion_models(name):
    node = composed("evaluate", f"motion={name}").motion
    if needs_files(node):
        assert_options_exist(node)
    else:
        assert isinstance(build(node), MotionModel)


@pytest.mark.parametrize("name", choices("selector"))
def test_selectors(name):
    assert isinstance(build(composed("evaluate", f"selector={name}").selector), Selector)


@pytest.mark.parametrize("name", choices("method"))
def test_methods_make_a_tracker_and_cross_with_options(name):
    config = composed("evaluate", f"method={name}", "backbone=micro", "backbone.checkpoint=random")
    if not needs_files(config.motion):
        assert isinstance(next(iter(made(config).values())), Tracker)
    crossed = composed("evaluate", f"method={name}", "motion=none", "selector=greedy")
    assert crossed.motion._target_ == "framework.defaults.NoMotion"


@pytest.mark.parametrize("name", choices("data"))
def test_data_sets(name):
    node = composed("evaluate", f"data={name}").data
    if needs_files(node):
        assert_options_exist(node)
        return
    data = build(node)
    assert isinstance(data, DataSet) and len(data) > 0 and isinstance(data.sequence(0), VideoSequence)
    assert f"{data.sequence(0).length}" in data.name


@pytest.mark.parametrize("name", choices("backbone"))
def test_backbones_take_their_options(name):
    assert_options_exist(composed("evaluate", f"backbone={name}").backbone)


@pytest.mark.parametrize("name", choices("protocol"))
def test_protocols(name):
    assert isinstance(build(composed("evaluate", f"protocol={name}").protocol), EvaluationProtocol)


@pytest.mark.parametrize("name", choices("logger"))
def test_loggers(name):
    assert isinstance(build(composed("evaluate", f"logger={name}").logger), NoLog)


@pytest.mark.parametrize("name", choices("learner"))
def test_learners(name):
    learner = composed("train", f"learner={name}", "backbone.checkpoint=random").learner
    assert isinstance(build(learner.module), pl.LightningModule)
    assert isinstance(build(learner.data), pl.LightningDataModule)


@pytest.mark.parametrize("name", choices("learner"))
def test_a_smoke_training_of_every_learner_is_small(name):
    small, full = (composed("train", f"learner={name}", *more) for more in (["+experiment=smoke"], []))
    assert (small.steps * small.trainer.max_epochs, small.threads) == (4, 1) and full.steps >= 1000
    assert small.folder != full.folder and small.train_logger._target_ == "pytorch_lightning.loggers.CSVLogger"
    assert isinstance(build(small.learner.data), pl.LightningDataModule)


def test_what_learns_is_swept_from_the_top():
    """`-m policy.slots=2,4`: each has a folder of its own."""
    two, four = (
        composed("train", "learner=write_gate", f"policy.slots={slots}", "backbone.checkpoint=random")
        for slots in (2, 4)
    )
    assert two.folder != four.folder
    assert [build(config.learner.module.policy).slots for config in (two, four)] == [2, 4]
    assert build(composed("train", "learner=judge", "motion.weight=0.5").learner.module.motion).weight == 0.5


@pytest.mark.parametrize("name", choices("train_logger"))
def test_train_loggers(name):
    node = composed("train", f"train_logger={name}").train_logger
    assert issubclass(hydra.utils.get_object(node._target_), Logger)
    assert OmegaConf.to_container(node, resolve=True)


@pytest.mark.parametrize("name", [name for name in choices("experiment") if name != "smoke"])
def test_experiments_can_be_made(name):
    config = composed("ablate", f"+experiment={name}", "backbone=micro", "backbone.checkpoint=random")
    config.variants = [expand_sweep(text)[0] for text in config.variants]
    trackers = made(config)
    assert list(trackers) == list(config.variants)
    assert len({id(tracker.network) for tracker in trackers.values()}) == 1
    assert isinstance(build(config.report), Reporter)
    if not needs_files(config.data):
        assert len(build(config.data)) > 0


ASKED = {"score": {"run", "evaluator"}, "export": {"run", "format"}, "rank": {"results"}}
"""What a user has to give; every other option of every command has a default."""


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_entry_points_compose_and_ask_for_what_they_need(name):
    assert OmegaConf.missing_keys(composed(name)) == ASKED.get(name, set())


def test_variants_take_options_and_share_the_command_line():
    config = composed(
        "ablate",
        "variants=[sam2,'every_nth policy.interval=7 tracker.presence_threshold=-1.0']",
        "tracker.fill_hole_area=8",
        "backbone.checkpoint=random",
    )
    sam2, every_nth = made(config).values()
    assert every_nth.policy.interval == 7
    assert (sam2.presence_threshold, every_nth.presence_threshold) == (0.0, -1.0)
    assert sam2.fill_hole_area == every_nth.fill_hole_area == 8


def test_evaluate_is_one_variant_named_after_its_choice_and_options():
    config = composed("evaluate", "policy=random", "policy.seed=3", "backbone.checkpoint=random")
    ((name, tracker),) = made(config).items()
    assert name == "random policy.seed=3" and tracker.policy.seed == 3


def needs_files(node):
    """Whether making it reads weights or data that a test machine does not have."""
    return any(key in node for key in ("root", "sprites", "checkpoint", "weights"))


def assert_options_exist(node):
    target = hydra.utils.get_object(node._target_)
    given = {key: value for key, value in node.items() if key not in ("_target_", "_partial_", "_convert_")}
    inspect.signature(target).bind(**given)
