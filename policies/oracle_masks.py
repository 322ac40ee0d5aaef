"""The memory nobody has: every remembered frame shows the true mask. What the network can read of it is a bound."""

from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from framework.types import Entry, Outcome
from policies.components.bank import Bank
from policies.skip_absent import SkipAbsent


@dataclass(frozen=True)
class OracleMasks(SkipAbsent):
    """Remembers the last `slots` frames on which the object truly was, each encoded as if its true mask were a prompt.

    Sees the truth, so it is a bound and not a method. Frames without annotation are not kept; a prompt that comes
    before its frame is reached (offline) stays as it was given.
    """

    @property
    def privileged(self) -> bool:
        return True

    def write(self, state: Bank, entry: Entry, outcome: Outcome) -> Bank:
        truth = _seen(outcome)
        return super().write(state, entry if truth is None else entry.encode_mask(truth), outcome)

    def keeps(self, entry: Entry, outcome: Outcome) -> bool:
        return _seen(outcome) is not None


def _seen(outcome: Outcome) -> Bool[Tensor, "Hv Wv"] | None:
    """The true mask where there is one that is not empty."""
    truth = outcome.truth
    return truth if truth is not None and truth.cpu().numpy().any() else None  # torch's `any` visits all of it
