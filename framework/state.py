"""What one tracker knows of one video, as a value."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from framework.types import Outcome, Track


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """One earlier frame of a branch."""

    frame: int
    track: Track


def remember(past: tuple[Past, ...], frame: int, track: Track, lag: int | None) -> tuple[Past, ...]:
    """The past with one more frame; frames more than `lag` before it are let go (None keeps all).

    A flat tuple, so that a state is saved and copied however long the video was.
    """
    kept = past if lag is None else past[max(len(past) - lag, 0) :]
    return (*kept, Past(frame, replace(track, candidates=None)))


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One way the video may have gone for one object."""

    memory: Any
    """State of the memory policy."""
    motion: Any
    """State of the motion model."""
    total: float = 0.0
    """Running total of the selector."""
    past: tuple[Past, ...] = ()
    """Earlier frames, oldest first; kept for selectors with hindsight only."""


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """An object on a prompted frame that the video has not reached yet."""

    track: Track
    outcome: Outcome


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """All that one tracker knows of one video."""

    objects: Mapping[int, tuple[Branch, ...]] = field(default_factory=dict)
    """Branches of each object, best first."""
    given: Mapping[tuple[int, int], Given] = field(default_factory=dict)
    """(frame, object) -> prompts absorbed in advance."""

    def without(self, objects: Collection[int]) -> "State":
        """Nothing is left of these objects, nor of prompts absorbed for them."""
        if not objects:
            return self
        return State(
            {key: branches for key, branches in self.objects.items() if key not in objects},
            {at: given for at, given in self.given.items() if at[1] not in objects},
        )
