"""What a user is told of a backbone on this machine: what was compared, and whether it agrees."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from framework.diagnostics import columns
from framework.diagnostics.fingerprint import TOLERANCE as LOGITS
from framework.diagnostics.fingerprint import fingerprint
from framework.diagnostics.upstream import TOLERANCE, compare, costs, peak_mib
from framework.interfaces import MemoryPolicy
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker


@dataclass(frozen=True, slots=True)
class Verification:
    """A table, lines below it, and the verdict."""

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[Any]]
    lines: Sequence[str]
    agrees: bool
    other: str
    """What was compared with."""
    verdict: str
    record: Mapping[str, Any] = field(repr=False)
    """All of it, as plain data."""


def beside_predictor(
    tracker: Tracker, video: str, frames: Sequence[UInt8[np.ndarray, "H W 3"]], repeats: int
) -> Verification:
    """This engine and sam2's own predictor on a clip; `tracker` does as sam2."""
    network = tracker.network
    assert isinstance(network, Sam2Network)
    with torch.inference_mode():
        found, cost = compare(tracker, frames), costs({"sam2": tracker}, frames, repeats)[0]
    tolerance, peak = TOLERANCE[network.autocast], peak_mib(network.device)
    agrees, largest = all(each.within(tolerance) for each in found), max(each.logits for each in found)
    speed = f"{cost.ours:.1f} ms a frame, sam2's predictor {cost.theirs:.1f}: {cost.theirs / cost.ours:.2f}x"
    told = {"video": video, "agreement": list(map(asdict, found)), "cost": asdict(cost), "peak_mib": peak}
    return Verification(
        f"{video}, {len(frames)} frames",
        columns.AGREEMENT,
        [(each.prompts, f"{each.logits:.1e}", f"{each.iou:.4f}", each.decisions, each.compared) for each in found],
        [f"{speed}; at most {peak:.0f} MiB were in use"],
        agrees,
        "sam2's predictor",
        f"logits within {largest:.1e} standard deviations, {tolerance:g} allowed",
        told | {"tolerance": tolerance, "agrees": agrees},
    )


def beside_known_numbers(network: Sam2Network, name: str, checkpoint: str | None, policy: MemoryPolicy) -> Verification:
    """Without the authors' predictor: the file, its layout, and their numbers on a drawn clip."""
    found = fingerprint(network, name, checkpoint, policy)
    return Verification(
        name,
        columns.FINGERPRINT,
        [
            ("file", found.file or "none: random weights"),
            ("SHA-256", found.sha256 or "none"),
            ("layout", f"{found.entries} entries, {found.parameters:,} numbers, all as in {name}"),
            ("numbers", f"mask logits of {found.member} with weights from a hash"),
        ],
        [],
        found.agrees,
        "its authors' predictor",
        f"mask logits within {found.difference:.1e}, {LOGITS:g} allowed",
        asdict(found) | {"tolerance": LOGITS, "agrees": found.agrees},
    )
