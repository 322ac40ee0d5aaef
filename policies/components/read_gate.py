"""The network of a learned read gate, and the file that it comes from."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.ops import plugin_weights
from policies.components.read_features import FEATURES, VERSION

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
        """What `load` reads."""
        return plugin_weights.checkpoint(self, FEATURES, VERSION)


def load(checkpoint: str | None = None) -> ReadGate:
    """The gate in a file that holds `ReadGate.checkpoint`; None for the shipped one.

    Raises:
        ValueError: missing, no gate, or a gate of other features.
    """
    path = WEIGHTS if checkpoint is None else Path(checkpoint)
    return plugin_weights.load(
        lambda weights: ReadGate(width=len(weights["layers.0.bias"])), path, FEATURES, VERSION, "read_gate"
    )
