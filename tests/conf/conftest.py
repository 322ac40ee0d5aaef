"""What every test of a command and of its configuration needs."""

import sys
from collections.abc import Iterator

import pytest
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra


@pytest.fixture(autouse=True)
def arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that was called leaves the arguments of the tests as they were."""
    monkeypatch.setattr(sys, "argv", sys.argv)


@pytest.fixture
def composition() -> Iterator[None]:
    """Configurations can be composed."""
    GlobalHydra.instance().clear()  # importing sam2 leaves it initialised
    with initialize_config_module(config_module="conf", version_base="1.3"):
        yield
    GlobalHydra.instance().clear()
