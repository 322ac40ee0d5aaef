"""The weights of a trained network as the package ships them."""

import io
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from framework.storage.files import write_atomic


def shipped(network: nn.Module) -> dict[str, Tensor]:
    """The state with parameters in float16; buffers (positional codes) stay as they are."""
    parameters = {name for name, _ in network.named_parameters()}
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    return {name: value.half() if name in parameters else value for name, value in state.items()}


def save_weights(network: nn.Module, path: Path) -> None:
    """Write {"model": shipped state} so that a reader sees the old file or the new one, never half of one."""
    content = io.BytesIO()
    torch.save({"model": shipped(network)}, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())


class WeightsExport(pl.Callback):
    """Writes the module's `network` after every validation and at the end.

    Listed before `EMAWeightAveraging`, which takes its averaged weights back at the end of a validation.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, pl_module)  # by now the averaged weights are the module's own

    def _write(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        network = module.network
        if trainer.is_global_zero and not trainer.sanity_checking and isinstance(network, nn.Module):
            save_weights(network, self.path)
