"""The embedded network for photographs: `framework.networks.micro` at 256 pixels, deeper, and with context.

It reads tokens at stride 16, as many as `micro` does at 128 pixels, so that memory costs the same. Started from the
weights of `micro` it answers as `micro` does on the halved image, and learns on from there (`grown_from`).
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from framework.errors import InputError
from framework.networks import checkpoints
from framework.networks.micro import WEIGHTS as MICRO_WEIGHTS
from framework.networks.micro import Context, MicroSize, Residual, micro
from framework.networks.micro import network as micro_network
from framework.networks.sam2 import Sam2Network

WEIGHTS = Path(__file__).parent / "weights" / "photo.pt"
IMAGE_SIZE = 256
SIZE = MicroSize(trunk_depths=(3, 6), stem=13, context=4)


def photo(image_size: int = IMAGE_SIZE, size: MicroSize = SIZE, initial: str | None = None) -> SAM2Base:
    """The network without its weights, or grown from those of a `micro` in the file `initial` ("micro": the embedded).

    Raises InputError for a file that does not hold such weights, and for sizes that the network cannot have.
    """
    built = micro(image_size, size)
    if initial is not None:
        path = MICRO_WEIGHTS if initial == "micro" else Path(initial)
        grown_from(built, checkpoints.read(path), str(path))
    return built


def grown_from(model: SAM2Base, state: Mapping[str, Tensor], origin: str) -> None:
    """Takes over a smaller network's weights such that the larger one answers the same, on the halved image.

    What is new adds nothing at first: inputs beyond the known ones weigh 0, new residual and transformer blocks are
    silent. Raises InputError for the weights of another family of networks.
    """
    own = model.state_dict()
    if unknown := sorted(set(state) - set(own)):
        raise InputError(f"{origin} is no smaller network of the same family: {unknown[0]} and others have no place")
    with torch.no_grad():
        for module in model.modules():
            lasts = [module.body[-1]] if isinstance(module, Residual) else []
            lasts += [module.gather, module.mix[-1]] if isinstance(module, Context) else []
            for parameter in (parameter for last in lasts for parameter in last.parameters()):
                parameter.zero_()
        for name, known in state.items():
            target = own[name]
            if target.shape == known.shape:
                target.copy_(known)
            elif target.ndim == 4 and target.shape[1] > known.shape[1] and target.shape[0] == known.shape[0]:
                target.zero_()[:, : known.shape[1]] = known
            else:
                raise InputError(f"{origin}: {name} has shape {tuple(known.shape)}, not {tuple(target.shape)}")


def network(
    checkpoint: str | None = None,
    dtype: str = "float32",
    device: str = "auto",
    compile: bool = False,
    seed: int = 0,
    image_size: int = IMAGE_SIZE,
    size: MicroSize = SIZE,
    rows_at_once: int | None = None,
) -> Sam2Network:
    """The network with its weights, frozen, behind the facade; arguments as for `framework.networks.micro.network`."""
    file = str(WEIGHTS) if checkpoint is None else checkpoint
    return micro_network(file, dtype, device, compile, seed, image_size, size, rows_at_once)
