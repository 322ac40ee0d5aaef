"""A learned gate on what memory attention reads: a bias for every memory, from what is known about it.

The bias goes into the network's own softmax: 0 leaves a memory as it is, minus infinity is as good as forgetting it.
The gate is trained through memory attention, by `experiments.train learner=read_gate`.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from framework.errors import InputError
from framework.interfaces import MemoryPolicy
from framework.types import ANCHOR, Entry, Outcome, Query, Read
from policies.features.read import FEATURES, VERSION, ReadHistory
from policies.spread import Spread

WEIGHTS = Path(__file__).parent / "weights" / "learned_read_gate.pt"
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
    """The gate in a file that holds `Gate.checkpoint`; None for the shipped one.

    Raises:
        InputError: missing, no gate, or a gate of other features.
    """
    path = WEIGHTS if checkpoint is None else Path(checkpoint).expanduser()
    fix = "train one with `python -m experiments.train learner=read_gate`"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        features, version = content["features"], content["version"]
        if (features, version) != (list(FEATURES), VERSION):
            others = sorted({*features} ^ {*FEATURES}) or [f"version {version}, not {VERSION}"]
            raise InputError(f"{path} is a gate of other features ({', '.join(others[:3])}): {fix}")
        gate = ReadGate(content["width"])
        gate.load_state_dict(content["weights"])
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: {fix}") from error
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a checkpoint of the read gate: {fix}") from error
    return gate


@dataclass(frozen=True, slots=True)
class ReadGateState:
    """`kept` is the state of the policy that is read; `notes` are about the entries it holds whole."""

    kept: Any
    notes: ReadHistory = field(default_factory=lambda: ReadHistory({}))


@dataclass(frozen=True)
class LearnedReadGate(MemoryPolicy[ReadGateState]):
    """Reads the memories of `policy`, and the pointers of their frames, with the bias that `gate` gives them.

    It comes on top of the policy's own. With a `budget` only so many memories are read, without it: the prompts, then
    those that the gate puts first (the newer one of equals, so that over `Spread` an untrained gate reads what
    `SkipAbsent` does).
    """

    gate: ReadGate
    policy: MemoryPolicy = Spread()
    budget: int | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget < 1:
            raise ValueError("learned_gate needs budget >= 1, or null")

    @property
    def privileged(self) -> bool:
        return self.policy.privileged

    @property
    def measures(self) -> bool:
        return self.policy.measures

    def init(self) -> ReadGateState:
        return ReadGateState(self.policy.init())

    def read(self, state: ReadGateState, query: Query) -> Read:
        read = self.policy.read(state.kept, query)
        older = [entry for entry, slot in read.spatial if slot == ANCHOR and not entry.scores.prompted]
        bias = self.gate(state.notes.features([entry for entry, _ in read.spatial], older, query))
        if self.budget is not None:
            return self._best(read, bias.tolist(), self.budget)
        if not bias.requires_grad and not bias.any():
            return read  # what zeros would do, by the network's own attention
        at = {entry.frame: index for index, (entry, _) in enumerate(read.spatial)}
        pointed = [at.get(entry.frame, len(at)) for entry, _ in read.pointers]
        return read.biased(torch.cat([bias, F.pad(bias, (0, 1))[pointed]]))

    def write(self, state: ReadGateState, entry: Entry, outcome: Outcome) -> ReadGateState:
        kept = self.policy.write(state.kept, entry, outcome)
        held = [other for other in self.policy.entries(kept) if other.features is not None]
        if all(other.frame != entry.frame for other in held):
            return replace(state, kept=kept)
        prompt = next((other for other in held if other.scores.prompted), entry)
        return ReadGateState(kept, state.notes.add(entry, outcome, prompt, held))

    def entries(self, state: ReadGateState) -> Sequence[Entry]:
        return self.policy.entries(state.kept)

    @staticmethod
    def _best(read: Read, order: Sequence[float], budget: int) -> Read:
        """The read cut down to its first memories, which keep their order, slots and the policy's own weights."""
        worth = [(e.scores.prompted, value, e.frame) for (e, _), value in zip(read.spatial, order, strict=True)]
        chosen = sorted(sorted(range(len(worth)), key=worth.__getitem__, reverse=True)[:budget])
        items = [*chosen, *range(len(worth), len(worth) + len(read.pointers))]
        gain, bias = (None if weights is None else weights[items] for weights in (read.gain, read.bias))
        return replace(read, spatial=tuple(read.spatial[index] for index in chosen), gain=gain, bias=bias)
