"""How an evaluation starts its trackers and what it scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool

from framework.data.sequence import BoxedSequence, VideoSequence
from framework.errors import InputError
from framework.evaluation.clicks import clicked
from framework.evaluation.passes import Direction
from framework.interfaces import Network
from framework.metrics.tracking import mask_box
from framework.networks.sam2 import COMPUTE, Resize, Sam2Network
from framework.storage.identity import WHEN_USED
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
        prompted: on which of the frames that show it an object is prompted: as the data say (first), or by its truth on
            the one in the middle or the last one.
        direction: the passes over a video (`framework.evaluation.passes.Direction`).
        clicks: start from so many simulated clicks in turn (`framework.evaluation.clicks`) in place of a mask, or after
            a box; 0 for none.
    """

    prompt: Literal["mask", "box", "estimated"] = "mask"
    box_edges: Literal["exclusive", "inclusive"] = "exclusive"
    empty: Literal["zeros", "negative", "previous"] = "zeros"
    scored: Literal["tracked", "all"] = "tracked"
    hindsight: bool = True
    resize: Resize = "bicubic"
    autocast: Literal["float32", "bfloat16", "float16"] | None = None
    prompted: Literal["first", "middle", "last"] = field(default="first", metadata=WHEN_USED)
    direction: Direction = field(default="forward", metadata=WHEN_USED)
    clicks: int = field(default=0, metadata=WHEN_USED)

    def __post_init__(self) -> None:
        for name, choices in (
            ("prompt", ("mask", "box", "estimated")),
            ("box_edges", ("exclusive", "inclusive")),
            ("empty", ("zeros", "negative", "previous")),
            ("scored", ("tracked", "all")),
            ("resize", get_args(Resize)),
            ("autocast", (*COMPUTE, None)),
            ("prompted", ("first", "middle", "last")),
            ("direction", get_args(Direction)),
        ):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"protocol.{name}={getattr(self, name)} is unknown: use {' or '.join(map(str, choices))}"
                )
        if self.clicks < 0 or (self.clicks and self.prompt == "estimated"):
            raise InputError(
                f"protocol.clicks={self.clicks} must be 0 or more, after protocol.prompt=mask or box: a mask that the "
                "network made of a box is not clicked at"
            )

    def network(self, network: Sam2Network) -> Sam2Network:
        """The network with this protocol's input and compute type."""
        autocast = network.autocast if self.autocast is None else COMPUTE[self.autocast]
        return replace(network, resize=self.resize, autocast=autocast)

    def prompts(self, video: VideoSequence) -> Mapping[int, Mapping[int, Prompt]]:
        """Frame -> object -> prompt, as `start` takes it. Raises InputError where a truth is needed and not known."""
        given = video.prompts()
        if self.prompted == "first":
            return given
        seen: dict[int, list[tuple[int, Prompt]]] = {key: [] for prompts in given.values() for key in prompts}
        for index in range(video.length):
            for key, prompt in _true_prompts(video, index).items():
                if key in seen:
                    seen[key].append((index, prompt))
        chosen: dict[int, dict[int, Prompt]] = {}
        for key, known in seen.items():
            if not known:
                raise InputError(
                    f"{video.name}: protocol.prompted={self.prompted} needs the truth of object {key}: give "
                    "protocol.prompted=first"
                )
            index, prompt = known[-1 if self.prompted == "last" else len(known) // 2]
            chosen.setdefault(index, {})[key] = prompt
        return chosen

    def start(self, prompt: Prompt, network: Network, features: Features) -> Prompt | tuple[Prompt, ...]:
        """What the tracker is told on a frame, for a prompt that the data give: one prompt, or several in turn."""
        if self.clicks:
            return clicked(self._boxed(prompt), prompt.mask, self.clicks, network, features)
        prompt = self._boxed(prompt)
        if self.prompt != "estimated" or prompt.box is None:
            return prompt
        logits = network.prompt(features, [prompt]).logits[0, 0]
        mask = (upsample(logits, features.video_size) > 0).cpu().numpy()
        return Prompt(mask=mask) if mask.any() else prompt

    def _boxed(self, prompt: Prompt) -> Prompt:
        """The box around a mask, where the protocol starts from boxes."""
        if self.prompt == "mask" or prompt.mask is None:
            return prompt
        box = mask_box(prompt.mask)
        if box is None:
            raise InputError("an empty mask has no box to start from")
        return Prompt(box=box)

    def box(self, mask: Bool[np.ndarray, "H W"]) -> Box | None:
        """Box around a result, as it is written."""
        box = mask_box(mask)
        if box is None or self.box_edges == "exclusive":
            return box
        return box[0], box[1], box[2] - 1, box[3] - 1


def _true_prompts(video: VideoSequence, index: int) -> dict[int, Prompt]:
    """Of every object that a frame shows."""
    boxes = video.truth_boxes(index) if isinstance(video, BoxedSequence) else {}
    shown = {key: Prompt(box=box) for key, box in boxes.items() if box is not None}
    return shown | {key: Prompt(mask=mask) for key, mask in video.truth(index).items() if mask.any()}
