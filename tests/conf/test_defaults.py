"""What a configuration file says of an option is what its class says, unless it is listed here as meant otherwise."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from hydra import compose
from omegaconf import DictConfig, OmegaConf

from framework.config.checks import build

CONF = Path(__file__).parents[2] / "conf"
GROUPS = ("policy", "motion", "selector", "tracker")
FILES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
METHODS = [f"method={path.stem}" for path in sorted((CONF / "method").glob("*.yaml")) if "published" not in path.stem]
MEANT = {
    "policy=him2sam_overlap": {"distractor_test", "long"},  # DAM4SAM's test, and as many frames
    "policy=learned_read_gate_hard": {"budget"},
    "policy=samite": {"best_by", "candidates", "last"},  # members of a family
    "policy=samosa": {"best_by", "candidates"},
    "method=sam2": {"fill_hole_area"},
    "method=samurai": {"presence_threshold"},
    "method=dam4sam": {"anchor_corrections"},
    "method=him2sam": {"presence_threshold"},
    "method=sam3": {"anchor_corrections"},
    "method=samite": {"best_by", "candidates", "last", "presence_threshold"},
    "method=samosa": {"best_by", "candidates", "presence_threshold"},
}

pytestmark = pytest.mark.usefixtures("composition")


def others(node: DictConfig) -> Iterator[str]:
    """Options, also of parts without a default, whose value is not the constructor's default."""
    parameters = inspect.signature(hydra.utils.get_object(node._target_)).parameters
    for name in node:
        if name in ("_target_", "_partial_"):
            continue
        value, default = node[name], parameters[name].default
        part = isinstance(value, DictConfig) and "_target_" in value
        if default is not inspect.Parameter.empty:
            given = build(value) if part else OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            if given != default:
                yield name
        elif part:
            yield from others(value)


@pytest.mark.parametrize("choice", [*FILES, *METHODS])
def test_defaults_are_the_constructors(choice):
    config = compose("evaluate", overrides=[choice])
    groups = GROUPS if choice.startswith("method=") else (choice.partition("=")[0],)
    assert {name for group in groups for name in others(config[group])} == MEANT.get(choice, set())
