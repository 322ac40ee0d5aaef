"""The decisions nobody could take in time: every one is tried, and judged by what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from framework.counterfactuals import DISCOUNT, branched, counterfactuals
from framework.errors import InputError
from framework.state import State
from framework.tracker import Tracker
from framework.types import Features


@dataclass(frozen=True)
class LookAhead(Tracker):
    """A tracker that sees the truth of the next `horizon` frames: greedy look-ahead, a bound and not a method.

    Its policy offers `alternatives(state)`: the memories that the last decision could have led to, the one it did lead
    to among them, or none without a decision. Each is followed to the horizon by the policy itself, and the one with
    the best discounted mean IoU is taken (the policy's own on ties). Objects are decided one after the other.

    Raises InputError for a policy without alternatives.
    """

    horizon: int = 32
    discount: float = DISCOUNT

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon < 1 or not 0 < self.discount <= 1:
            raise InputError(
                f"look-ahead needs horizon >= 1 and 0 < discount <= 1, not {self.horizon}, {self.discount}"
            )
        if not hasattr(self.policy, "alternatives"):
            raise InputError(f"{type(self.policy).__name__} offers no alternatives to look ahead for: use evict_oldest")

    def look_ahead(self, state: State, features: Sequence[Features], truths: Sequence[Mapping[int, Tensor]]) -> State:
        """`state` after a frame, with the best of the decisions that could have been taken on it.

        `features` and `truths` (bool masks [Hv Wv] by object) are those of the frames that follow, soonest first.
        """
        for key, (branch, *_) in state.objects.items():
            others = self.policy.alternatives(branch.memory)  # type: ignore[attr-defined]
            judged = [{key: truth[key]} if key in truth else {} for truth in truths]
            if not others or not any(judged):
                continue
            arms = [state, *(branched(state, key, other) for other in others)]
            worth = counterfactuals(self, arms, features, judged, self.discount)
            state = arms[max(range(len(arms)), key=worth.__getitem__)]
        return state
