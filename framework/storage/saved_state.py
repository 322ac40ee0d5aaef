"""The state of a tracker in a file: a stream goes on tomorrow, or another video with what this one taught.

What continues need not be the same video. Frames count on from `SavedState.frame`, so that every distance to a memory
is to a past that lies as far back as it was when the state was saved.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from framework.errors import InputError
from framework.state import State
from framework.storage.files import write_atomic
from framework.storage.identity import describe
from framework.storage.plain import from_plain, to_plain
from framework.tracker import Tracker

VERSION = 1
"""Of the file's layout."""


@dataclass(frozen=True, slots=True)
class SavedState:
    """What one tracker knew of one video."""

    state: State
    frame: int
    """Number of the next frame, for `encode` and `lockstep`."""


def save_state(path: Path | str, tracker: Tracker, state: State, frame: int) -> None:
    """Writes the state of `tracker` before frame number `frame`, whole or not at all, as plain data.

    Raises InputError for a policy, motion model or selector whose state is no plain value (code, a file, a handle).
    """
    try:
        kept = to_plain(state)
    except TypeError as error:
        raise InputError(f"{path} cannot be written: {error}; keep numbers, tensors and dataclasses") from error
    content = io.BytesIO()
    torch.save({"version": VERSION, "tracker": _about(tracker), "frame": frame, "state": kept}, content)
    write_atomic(Path(path), content.getvalue())


def load_state(path: Path | str, tracker: Tracker) -> SavedState:
    """The state in a file that `save_state` wrote for such a tracker, on the device of its network.

    Raises InputError for a file that is missing, damaged or of another version, and for the state of another tracker:
    it names the first thing that differs.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file} does not exist: save_state writes it")
    try:
        content = torch.load(file, weights_only=True, map_location=getattr(tracker.network, "device", None))
        version, about, frame, kept = (content[name] for name in ("version", "tracker", "frame", "state"))
    except Exception as error:  # a damaged file fails in any way
        raise InputError(f"{file} is no saved state: {type(error).__name__}") from error
    if version != VERSION:
        raise InputError(f"{file} was saved in layout {version}, this version reads {VERSION}: save it again")
    known, ours = dict(_leaves(about)), dict(_leaves(_about(tracker)))
    for name in (*ours, *known):
        if (there := known.get(name, "nothing")) != (here := ours.get(name, "nothing")):
            raise InputError(f"{file} is the state of another tracker: its {name} is {there}, here it is {here}")
    try:
        return SavedState(from_plain(kept), frame)
    except ValueError as error:
        raise InputError(f"{file} was saved by other code: {error}") from error


def _about(tracker: Tracker) -> dict[str, Any]:
    """What a state depends on: whose memories it holds, and who decides what they mean."""
    parts = {"network": tracker.network, "policy": tracker.policy, "motion": tracker.motion}
    return {name: describe(part) for name, part in parts.items()} | {"selector": describe(tracker.selector)}


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of everything in nested mappings and lists."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield name, value
        return
    for key, item in items:
        yield from _leaves(item, f"{name}.{key}" if name else str(key))
