"""What every motion model owes: the configuration folder is the list of those it is checked on."""

from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from framework.diagnostics.contract import MOTION, bounded_motion
from framework.diagnostics.synthetic import Video
from framework.interfaces import MotionModel

CONF = Path(__file__).parents[2] / "conf/motion"


@pytest.fixture(params=sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem, scope="module")
def model(request) -> MotionModel:
    made = instantiate(OmegaConf.load(request.param))
    assert isinstance(made, MotionModel)
    return made


@pytest.mark.parametrize("clause", MOTION)
def test_contract(model, clause):
    MOTION[clause](model)


@pytest.mark.slow
def test_bounded_over_10000_frames_without_the_target(model):
    bounded_motion(model, Video(8, 10_000, lost=1))
