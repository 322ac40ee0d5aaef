"""Waiting for a device, whose work is queued and done later."""

import torch


def wait_for(device: torch.device | None = None) -> None:
    """Lets the work queued on a device finish; without one, on every accelerator of this machine (CUDA, MPS, XPU ...).

    A clock that is read without it measures how quickly work is queued.
    """
    if device is not None and device.type != "cpu":
        torch.accelerator.synchronize(device)
    if device is None and torch.accelerator.is_available():
        for index in range(torch.accelerator.device_count()):
            torch.accelerator.synchronize(index)
