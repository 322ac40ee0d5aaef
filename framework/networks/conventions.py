"""What a network expects beside its weights: of the image, of given masks, of corrections and of the loop around it.

It travels with the model: one that differs from SAM 2 carries its own as the attribute `conventions`.
"""

from dataclasses import dataclass

from torch import nn

from framework.types import Normalisation


@dataclass(frozen=True, slots=True)
class Conventions:
    """By default those of SAM 2 and of what was built on it (sam2 1.1.0)."""

    normalisation: Normalisation = Normalisation()
    prompt_logit: float = 10.0
    """Logit that a given mask is remembered with inside, and minus that outside."""
    prompt_cells: int | None = None
    """Side of a given mask in cells per token as the decoder is shown it; None: the pixels of the network's input."""
    binarised_prompts: bool = True
    """A given mask is made of 0 and 1 again once it is resized for the decoder, and is remembered as that; otherwise
    the decoder sees what resizing made of it, and it is remembered as it was given."""
    corrections_read_memory: bool = True
    """A correction of a tracked frame sees image features after memory; otherwise those before any."""
    most_points: int | None = None
    """Of more points and corners than that, the decoder sees the first half and the last half; None: all."""
    max_anchors: int | None = None
    """Prompted frames that are read at most, unless the policy says how many; None: all."""
    fill_hole_area: int = 8
    """Cells of the holes that the network's own video predictor fills."""


def conventions(model: nn.Module) -> Conventions:
    """Those that the model carries, or else SAM 2's."""
    return getattr(model, "conventions", None) or Conventions()
