"""The network of a learned read gate, and the file that it comes from."""

import os
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.errors import InputError
from policies.features.read import FEATURES, VERSION

WEIGHTS = Path(__file__).parents[1] / "weights" / "learned_read_gate.pt"
PROMPTED = FEATURES.index("prompt")


class ReadGate(nn.Module):
    """Bias of each memory against the others, 0 on average; before training, that of the prompts alone.

    Attention knows differences only, and a bias on average would move weight to pointers that have none. A learner asks
    for gradients, tracking does without.

    Args:
        width: of the two hidden layers.
        prompt: what learning starts from: bias on prompted memories, added to what the layers say.
    """

    def __init__(self, width: int = 32, prompt: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.prompt = nn.Parameter(torch.tensor(float(prompt)))
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(
            nn.Linear(len(FEATURES), width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last
        )
        self.requires_grad_(False)

    def forward(self, features: Float[Tensor, "items features"]) -> Float[Tensor, " items"]:
        known = features.to(self.prompt.device)
        bias = self.layers(known)[:, 0] + self.prompt * known[:, PROMPTED]
        return bias - bias.mean()

    def checkpoint(self) -> dict[str, Any]:
        """What `load` reads, as plain values and tensors."""
        weights = {name: value.detach().cpu().clone() for name, value in self.state_dict().items()}
        return {"features": list(FEATURES), "version": VERSION, "width": self.width, "weights": weights}


def load(checkpoint: str | None = None) -> ReadGate:
    """The gate in a file that holds `ReadGate.checkpoint`; None for the shipped one.

    Raises:
        InputError: missing, no gate, or a gate of other features.
    """
    path = WEIGHTS if checkpoint is None else Path(os.path.expanduser(checkpoint))
    fix = "train one with `python -m experiments.train learner=read_gate`"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        features, version = content["features"], content["version"]
        if not "".join(features).isprintable() or not isinstance(version, int):
            raise ValueError("no names and no version")
        if (features, version) != (list(FEATURES), VERSION):
            others = sorted({*features} ^ {*FEATURES}) or [f"version {version}, not {VERSION}"]
            raise InputError(f"{path} is a gate of other features ({', '.join(others[:3])}): {fix}")
        gate = ReadGate(content["width"])
        gate.load_state_dict(content["weights"])
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: {fix}") from error
    except InputError:
        raise
    except Exception as error:  # a damaged file fails in any way
        raise InputError(f"{path} is not a checkpoint of the read gate: {fix}") from error
    return gate
