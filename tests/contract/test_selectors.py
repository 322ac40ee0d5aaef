"""What every selector owes: the configuration folder is the list of those it is checked on."""

from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from framework.diagnostics.contract import SELECTOR

CONF = Path(__file__).parents[2] / "conf/selector"


@pytest.mark.parametrize("clause", SELECTOR)
@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_contract(path, clause):
    SELECTOR[clause](instantiate(OmegaConf.load(path)))
