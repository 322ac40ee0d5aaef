"""What one tracker knows of one video, as a value."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

from torch import Tensor

from framework.types import FrameNumber, Outcome, Track

V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """One earlier frame of a branch."""

    frame: int
    track: Track


def remember(past: tuple[Past, ...], frame: int, track: Track, lag: int | None) -> tuple[Past, ...]:
    """The past with one more frame; frames more than `lag` before it are let go (None keeps all).

    A flat tuple, so that a state is saved and copied however long the video was; of the frame's batch it keeps the
    one mask alone.
    """
    kept = past if lag is None else past[max(len(past) - lag, 0) :]
    return (*kept, Past(frame, replace(track, logits=track.logits.clone(), candidates=None, cue=None)))


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

    def joined_by(self, other: "State", objects: Collection[int]) -> "State":
        """With these objects of another state, and what was absorbed for them."""
        joining = {key: branches for key, branches in other.objects.items() if key in objects}
        given = {at: given for at, given in other.given.items() if at[1] in objects}
        return State({**self.objects, **joining}, {**self.given, **given})


def rebased(value: V, by: int) -> V:
    """A nested value with all frames that it names (`FrameNumber`) numbered `by` higher; the rest is shared."""
    known: dict[int, tuple[Any, Any]] = {}  # with the value itself, so that its identity stays its own

    def moved(item: Any, hint: Any) -> Any:
        if type(item) is int:
            return item + by if hint is FrameNumber or FrameNumber in get_args(hint) else item
        if id(item) not in known:
            known[id(item)] = item, inside(item, get_args(hint))
        return known[id(item)][1]

    def inside(item: Any, hints: tuple[Any, ...]) -> Any:
        if isinstance(item, Mapping):
            key, part = hints if len(hints) == 2 else (None, None)
            return {moved(name, key): moved(each, part) for name, each in item.items()}
        if isinstance(item, tuple | list | set | frozenset):
            each = hints if len(hints) == len(item) and ... not in hints else (hints[:1] or (None,)) * len(item)
            return type(item)(moved(part, hint) for part, hint in zip(item, each, strict=True))
        if is_dataclass(item) and not isinstance(item, type):
            now = {name: moved(getattr(item, name), hint) for name, hint in _hints(type(item)).items()}
            changed = {name: new for name, new in now.items() if new is not getattr(item, name)}
            return replace(item, **changed) if changed else item
        return item

    return moved(value, None)


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    """Annotations of the fields of a dataclass."""
    found = get_type_hints(kind, include_extras=True)
    return {each.name: found[each.name] for each in fields(kind)}


def held_bytes(states: Collection[State]) -> int:
    """Bytes of all tensors that the states keep alive; what they share counts once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in held_tensors(list(states))}
    return sum(storage.nbytes() for storage in storages.values())


def held_tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in a nested value, as often as they are referred to."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from held_tensors(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from held_tensors(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from held_tensors(getattr(value, each.name))
