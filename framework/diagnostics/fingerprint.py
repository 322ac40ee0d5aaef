"""What identifies a backbone whose authors' predictor is not at hand: its file, its layout, and how near this
machine's arithmetic comes to numbers of its authors' own predictor."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from framework.diagnostics.deterministic_weights import fill, frames_tensor, prompt_mask
from framework.errors import InputError
from framework.interfaces import MemoryPolicy
from framework.networks.build import model
from framework.networks.checkpoints import cache_folder, find, sha256
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker, lockstep
from framework.types import Frame, Prompt

MASK_LOGITS = {
    "efficienttam": (
        "efficienttam_ti_512x512",
        (
            (-0.49174976348876953, 0.6701673269271851, -2.408994674682617, 1.5843228101730347),
            (-0.6057960391044617, 0.7838864326477051, -3.0704028606414795, 1.7704004049301147),
        ),
    ),
    "edgetam": ("edgetam", ((-0.9493923187255859, 1.6898269653320312, -10.219537734985352, 2.076733112335205),)),
}
"""By family, a member, and what its authors' predictor finds on the frames after a mask prompt, in float32 on a CPU,
with weights and frames of `deterministic_weights`: mean, standard deviation, least and largest mask logit."""
TOLERANCE = 1e-2
"""Of a logit: a last bit that differs becomes a step of 1 in 256 where memories are stored in bfloat16."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One backbone on this machine."""

    file: str | None
    """None for random weights."""
    sha256: str | None
    entries: int
    """Of its state; all of the names and shapes that the architecture has, or it would not have loaded."""
    parameters: int
    member: str
    """Of its family, whose numbers were compared."""
    difference: float
    """Largest, of mean, standard deviation, least and largest mask logit."""

    @property
    def agrees(self) -> bool:
        return self.difference <= TOLERANCE


def has_known_numbers(name: str) -> bool:
    """Whether numbers of the authors' predictor are known for the family of this backbone."""
    return _family(name) in MASK_LOGITS


def fingerprint(network: Sam2Network, name: str, checkpoint: str | None, policy: MemoryPolicy) -> Fingerprint:
    """Of a network that was loaded from this checkpoint; `policy` is that of its authors, SAM 2's.

    Raises:
        InputError: a family whose numbers are not known.
    """
    if not has_known_numbers(name):
        raise InputError(f"no numbers of {name}'s authors to compare with: {' and '.join(MASK_LOGITS)} have some")
    file: Path | None = None if checkpoint == "random" else find(name, checkpoint, cache_folder())
    state, (member, expected) = network.model.state_dict(), MASK_LOGITS[_family(name)]
    found = _mask_logits(member, 1 + len(expected), network.device, policy)
    return Fingerprint(
        None if file is None else str(file),
        None if file is None else sha256(file),
        len(state),
        sum(value.numel() for value in state.values()),
        member,
        float((found - torch.tensor(expected)).abs().max()),
    )


def _family(name: str) -> str:
    return name.partition("_")[0]


def _mask_logits(member: str, frames: int, device: torch.device, policy: MemoryPolicy) -> Tensor:
    """Statistics of the mask logits on the frames after the first: [frames - 1, 4]."""
    built = fill(model(member, dynamic_multimask=False)).requires_grad_(False).to(device)
    size = built.image_size
    prompts = {1: Prompt(mask=prompt_mask(size))}
    video = [Frame(image, {} if t else prompts) for t, image in enumerate(frames_tensor(frames, size))]
    tracker = Tracker(Sam2Network(built), policy, binarise_prompts=False)
    with torch.inference_mode():
        shown = [result[""].tracks[1].logits.float().cpu() for result in lockstep({"": tracker}, video, frames)][1:]
    return torch.stack([torch.stack([x.mean(), x.std(correction=0), x.min(), x.max()]) for x in shown])
