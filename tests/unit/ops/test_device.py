"""A clock waits for the device, whichever it is."""

import pytest
import torch

from framework.diagnostics.components import milliseconds
from framework.ops.device import wait_for


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was waited for, on a machine with two accelerators of any kind."""
    seen: list[object] = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "synchronize", seen.append)
    return seen


@pytest.mark.parametrize("name", ["mps", "cuda:1", "xpu"])
def test_one_device_is_waited_for(waits: list[object], name: str) -> None:
    wait_for(torch.device(name))
    assert waits == [torch.device(name)]


def test_a_processor_has_nothing_queued(waits: list[object]) -> None:
    wait_for(torch.device("cpu"))
    assert waits == []


def test_a_measurement_waits_before_and_after(waits: list[object]) -> None:
    milliseconds(lambda: waits.append("work"))
    assert waits == [0, 1, "work", 0, 1]
