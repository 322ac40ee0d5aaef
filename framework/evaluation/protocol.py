"""How an evaluation starts its trackers and what it scores."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool

from framework.errors import InputError
from framework.interfaces import Network
from framework.metrics.tracking import mask_box
from framework.networks.sam2 import COMPUTE, Resize, Sam2Network
from framework.types import Box, Features, Prompt, upsample


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """How tracking is started and what is scored; part of every result's identity.

    Args:
        prompt: start from the mask the data gives, from the box (around it), or from the mask that the network makes of
            that box (estimated). Data that give boxes are started from boxes whenever masks are asked for.
        box_edges: exclusive, so that width = xmax - xmin; or inclusive, with xmax and ymax the last pixels.
        empty: how an empty prediction is written where a benchmark wants a box: 0,0,0,0, -1,-1,-1,-1 or the box before.
        scored: frames after an object's prompt, or the prompted one too. Frames without annotation are never scored.
        hindsight: a selector that revises earlier frames (a beam) is read back at the end, else at once.
        resize: how frames become network input (`framework.networks.sam2.Resize`).
        autocast: what the network computes in; None leaves it to the backbone.
    """

    prompt: Literal["mask", "box", "estimated"] = "mask"
    box_edges: Literal["exclusive", "inclusive"] = "exclusive"
    empty: Literal["zeros", "negative", "previous"] = "zeros"
    scored: Literal["tracked", "all"] = "tracked"
    hindsight: bool = True
    resize: Resize = "bicubic"
    autocast: Literal["float32", "bfloat16", "float16"] | None = None

    def __post_init__(self) -> None:
        for name, choices in (
            ("prompt", ("mask", "box", "estimated")),
            ("box_edges", ("exclusive", "inclusive")),
            ("empty", ("zeros", "negative", "previous")),
            ("scored", ("tracked", "all")),
            ("resize", get_args(Resize)),
            ("autocast", (*COMPUTE, None)),
        ):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"protocol.{name}={getattr(self, name)} is unknown: use {' or '.join(map(str, choices))}"
                )

    def network(self, network: Sam2Network) -> Sam2Network:
        """The network with this protocol's input and compute type."""
        autocast = network.autocast if self.autocast is None else COMPUTE[self.autocast]
        return replace(network, resize=self.resize, autocast=autocast)

    def start(self, prompt: Prompt, network: Network, features: Features) -> Prompt:
        """The prompt the tracker is given on a frame for one that the data gives."""
        if self.prompt != "mask" and prompt.mask is not None:
            box = mask_box(prompt.mask)
            if box is None:
                raise InputError("an empty mask has no box to start from")
            prompt = Prompt(box=box)
        if self.prompt != "estimated" or prompt.box is None:
            return prompt
        logits = network.prompt(features, [prompt]).logits[0, 0]
        mask = (upsample(logits, features.video_size) > 0).cpu().numpy()
        return Prompt(mask=mask) if mask.any() else prompt

    def box(self, mask: Bool[np.ndarray, "H W"]) -> Box | None:
        """Box around a result, as it is written."""
        box = mask_box(mask)
        if box is None or self.box_edges == "exclusive":
            return box
        return box[0], box[1], box[2] - 1, box[3] - 1
