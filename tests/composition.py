"""Configurations as the command line would give them, without running a command."""

from collections.abc import Sequence

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


def as_from_the_command_line(entry: str, overrides: Sequence[str]) -> DictConfig:
    """Hydra's own values, such as the choices made, stay resolvable until `GlobalHydra` is cleared."""
    GlobalHydra.instance().clear()
    with initialize_config_module(config_module="conf", version_base="1.3"):
        HydraConfig.instance().set_config(compose(entry, overrides=list(overrides), return_hydra_config=True))
        return compose(entry, overrides=list(overrides))
