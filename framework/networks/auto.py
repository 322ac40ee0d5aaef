"""The best weights that can be had: a real checkpoint that is at hand or can be fetched, before an embedded network."""

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from framework.errors import InputError
from framework.networks import build, checkpoints, photo
from framework.networks.sam2 import Sam2Network

BEST = (
    *(f"{family}_hiera_{size}" for family in ("sam2.1", "sam2") for size in reversed(build.HIERA)),
    "efficienttam_s",
    "edgetam",
    "efficienttam_ti",
)
"""The most accurate ones first, as published on SA-V; of a family the largest ones."""
SMALLEST = "sam2.1_hiera_t"
"""What is fetched where none is at hand: 156 MB."""
PATIENCE = 4.0
"""Seconds in which the hub has to answer."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A backbone, and one line that says why it was taken and how a better one is had."""

    name: str
    line: str


def choose(fetch: bool = True, cache: Path | None = None) -> Choice:
    """The best network whose weights can be had; `fetch` asks the hub where none is at hand."""
    cache = cache or checkpoints.cache_folder()
    for name in BEST:
        if path := checkpoints.at_hand(name, cache):
            better = "" if name == BEST[0] else f"; backbone={BEST[0]} is more accurate and slower"
            return Choice(name, f"backbone={name}, the best checkpoint that is here: {path}{better}")
    source = checkpoints.SOURCES[SMALLEST]
    reason = _unreachable(source) if fetch else "fetching is off"
    if reason is None:
        try:
            path = checkpoints.fetch(SMALLEST, cache)
            better = f"backbone={BEST[0]} is more accurate and slower"
            return Choice(SMALLEST, f"backbone={SMALLEST}, fetched from {source.page} to {path}; {better}")
        except InputError as error:
            reason = f"the download failed: {error.__cause__}"
    return Choice(
        "photo",
        f"backbone=photo, embedded, as no checkpoint is here or can be fetched ({reason}): for better masks, put "
        f"{source.file} from {source.page} into {cache}",
    )


def network(
    checkpoint: str | None = None,
    dtype: str = "float32",
    device: str = "auto",
    compile: bool = False,
    seed: int = 0,
    rows_at_once: int | None = None,
    fetch: bool = True,
) -> Sam2Network:
    """The network that `choose` finds, which is said on stderr in one line.

    Args:
        checkpoint: weights of `photo`, a file or "random", instead.
        dtype: as in `framework.networks.build.network`, like `device`, `compile`, `seed` and `rows_at_once`.
        fetch: whether a checkpoint may be fetched.
    """
    if checkpoint is not None:
        return photo.network(checkpoint, dtype, device, compile, seed, rows_at_once=rows_at_once)
    choice = choose(fetch)
    print(choice.line, file=sys.stderr)
    if choice.name == "photo":
        return photo.network(None, dtype, device, compile, seed, rows_at_once=rows_at_once)
    return build.network(choice.name, None, None, dtype, device, compile, rows_at_once=rows_at_once)


def _unreachable(source: checkpoints.CheckpointSource) -> str | None:
    """Why the hub does not give a file; None where it does. It is not waited for longer than `PATIENCE`."""
    answers: list[str | None] = []

    def ask() -> None:
        try:
            import huggingface_hub as hub

            hub.get_hf_file_metadata(hub.hf_hub_url(source.repository or "", source.file), timeout=PATIENCE)
            answers.append(None)
        except ImportError:
            answers.append("pip install 'engram-tracking[hub]' would allow it")
        except Exception as error:  # whatever failed, there is no file
            answers.append((str(error).splitlines() or [""])[0] or type(error).__name__)

    asking = threading.Thread(target=ask, daemon=True)  # looking up a name has no time limit of its own
    asking.start()
    asking.join(PATIENCE)
    return answers[0] if answers else f"no answer in {PATIENCE:g} seconds"
