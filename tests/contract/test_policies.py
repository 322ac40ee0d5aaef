"""What every memory policy owes: the configuration folder is the list of those it is checked on."""

from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from framework.diagnostics.contract import POLICY, SLOTS, bounded_memory, check_read
from framework.diagnostics.synthetic import Video, live
from framework.interfaces import MemoryPolicy
from framework.types import ANCHOR

CONF = Path(__file__).parents[2] / "conf/policy"


@pytest.fixture(params=sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem, scope="module")
def policy(request) -> MemoryPolicy:
    made = instantiate(OmegaConf.load(request.param))
    assert isinstance(made, MemoryPolicy)
    return made


@pytest.mark.parametrize("clause", POLICY)
def test_contract(policy, clause):
    POLICY[clause](policy)


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted(CONF.glob("*.yaml")) if "\npointers:" in path.read_text()]
)
def test_without_pointers_no_tracked_frame_lends_its_pointer(name):
    policy = instantiate(OmegaConf.load(CONF / f"{name}.yaml"), pointers=0)
    most = max(3 * (SLOTS + 1), getattr(policy, "candidates", 0) + SLOTS)
    for step in live(policy, Video(1, 60, lost=20, found=30)):
        check_read(step.read, step.frame)
        anchors = {entry.frame for entry, slot in step.read.spatial if slot == ANCHOR}
        assert {entry.frame for entry, _ in step.read.pointers} <= anchors, f"frame {step.frame}"
        assert len(policy.entries(step.state)) <= most


@pytest.mark.slow
def test_bounded_over_10000_frames_without_the_target(policy):
    bounded_memory(policy, Video(2, 10_000, lost=1))
