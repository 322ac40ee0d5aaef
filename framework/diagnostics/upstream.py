"""sam2's own video predictor beside this engine, over the same weights, frames and prompts."""

import io
import resource
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from framework.diagnostics.components import milliseconds
from framework.networks.predictor import SAM2VideoPredictor, predictor
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker, lockstep
from framework.types import Frame, Prompt, Size, in_turn, upsample

Prompts = Mapping[int, Mapping[int, Prompt | Sequence[Prompt]]]
"""Frame -> object -> its prompts. Those of one frame are all corrections, or none is."""
LEAST_FRAMES = 6
"""Of a clip that is compared on."""
TOLERANCE = {None: 1e-2, torch.bfloat16: 1e-1, torch.float16: 1e-1}
"""What may differ of logits over their standard deviation, by what the network computes in: memories are stored in
bfloat16, in which a last bit that differs becomes a step of 1 in 256."""
Logits = dict[tuple[int, int], Float[Tensor, "H W"]]
"""(frame, object) -> logits at the size of the video."""


@contextmanager
def clip(frames: Iterable[UInt8[np.ndarray, "H W 3"]]) -> Iterator[Path]:
    """A folder of JPEG files, as sam2's predictor reads them, for as long as it is looked at."""
    with TemporaryDirectory() as folder:
        for index, frame in enumerate(frames):
            Image.fromarray(frame).save(Path(folder) / f"{index:05d}.jpg", quality=95)
        yield Path(folder)


def images(folder: Path) -> list[UInt8[np.ndarray, "H W 3"]]:
    """What a clip shows."""
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.jpg"))]


def tell(predictor: SAM2VideoPredictor, state: Any, index: int, key: int, prompt: Prompt) -> None:
    """Gives a state of the predictor one prompt."""
    if prompt.mask is not None:
        predictor.add_new_mask(state, index, key, prompt.mask)
        return
    predictor.add_new_points_or_box(
        state,
        index,
        key,
        points=np.array(prompt.points, dtype=np.float32) if prompt.points else None,
        labels=np.array(prompt.labels, dtype=np.int32) if prompt.points else None,
        box=None if prompt.box is None else np.array(prompt.box, dtype=np.float32),
    )


def opened(predictor: SAM2VideoPredictor, folder: Path) -> Any:
    """A state of the predictor, with all frames of the clip."""
    with redirect_stderr(io.StringIO()):  # its progress bar
        return predictor.init_state(str(folder))


def upstream_logits(predictor: SAM2VideoPredictor, state: Any, prompts: Prompts) -> Logits:
    """What the predictor shows. Prompts join when their frame is reached, corrections after it."""
    size = state["video_height"], state["video_width"]
    corrects = {index: any(in_turn(each)[0].refine for each in given.values()) for index, given in prompts.items()}
    found: Logits = {}
    starts = sorted(prompts)
    for start, stop in zip(starts, [*starts[1:], state["num_frames"]], strict=True):
        for key, prompt in prompts[start].items():
            for each in in_turn(prompt):
                tell(predictor, state, start, key, each)
        if corrects[start]:
            # Starting on the corrected frame would track it again; its logits are in the predictor's own record.
            predictor.propagate_in_video_preflight(state)
            for key in prompts[start]:
                record = state["output_dict_per_obj"][state["obj_id_to_idx"][key]]["non_cond_frame_outputs"][start]
                found[start, key] = upsample(record["pred_masks"][0, 0], size)
        first = start + corrects[start]
        last = stop if corrects.get(stop, False) else stop - 1
        with redirect_stderr(io.StringIO()):  # its progress bar
            for index, keys, logits in predictor.propagate_in_video(state, first, last - first):
                found.update({(index, key): logits[row, 0] for row, key in enumerate(keys)})
    return found


def engine_logits(tracker: Tracker, frames: Sequence[UInt8[np.ndarray, "H W 3"]], prompts: Prompts) -> Logits:
    """What the engine shows of the same."""
    given = [Frame(image, prompts.get(index, {})) for index, image in enumerate(frames)]
    size: Size = frames[0].shape[0], frames[0].shape[1]
    return {
        (result[""].frame, key): upsample(track.logits, size)
        for result in lockstep({"": tracker}, given, len(given))
        for key, track in result[""].tracks.items()
    }


def computing(network: Sam2Network) -> AbstractContextManager:
    """What the network computes in, for the predictor too."""
    return torch.autocast(network.device.type, network.autocast) if network.autocast else nullcontext()


@dataclass(frozen=True, slots=True)
class Agreement:
    """One set of prompts on both sides."""

    prompts: str
    logits: float
    """Largest difference, over the standard deviation of the predictor's logits where that is above 1."""
    iou: float
    """Lowest IoU of two masks, 1 where both are empty."""
    decisions: int
    """Frames and objects that one side shows and the other does not."""
    compared: int
    """Frames and objects."""

    def within(self, tolerance: float) -> bool:
        """Whether both sides agree."""
        return self.logits <= tolerance and not self.decisions


def _iou(one: Bool[Tensor, "H W"], other: Bool[Tensor, "H W"]) -> float:
    either = (one | other).sum()
    return float((one & other).sum() / either) if either else 1.0


def agreement(prompts: str, theirs: Logits, ours: Logits) -> Agreement:
    """Raises ValueError where the two do not show the same objects on the same frames."""
    if theirs.keys() != ours.keys():
        raise ValueError(f"{prompts}: other frames and objects are shown: {sorted(theirs.keys() ^ ours.keys())[:5]}")
    spread = max(1.0, *(float(logits.std()) for logits in theirs.values()))
    masks = {at: (theirs[at] > 0, ours[at] > 0) for at in theirs}
    return Agreement(
        prompts,
        max(float((theirs[at] - ours[at]).abs().max()) for at in theirs) / spread,
        min(_iou(*pair) for pair in masks.values()),
        sum(bool(one.any()) != bool(other.any()) for one, other in masks.values()),
        len(theirs),
    )


@dataclass(frozen=True, slots=True)
class UpstreamCost:
    """So many trackers together beside as many runs of sam2's predictor, one after the other."""

    trackers: int
    ours: float
    """Milliseconds per frame for all of them."""
    theirs: float
    """The same: that of one run, so many times."""


def trial_prompts(size: Size) -> dict[str, Prompts]:
    """Prompts of every kind in a picture of any size, by name, in a clip of `LEAST_FRAMES` or more."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    mask = Prompt(mask=((x / width - 0.4) / 0.17) ** 2 + ((y / height - 0.5) / 0.2) ** 2 <= 1)
    box = Prompt(box=(0.5 * width, 0.3 * height, 0.85 * width, 0.7 * height))
    inside, outside = (0.4 * width, 0.5 * height), (0.9 * width, 0.9 * height)
    points = Prompt(points=(inside, outside), labels=(1, 0))
    correction = Prompt(points=((0.45 * width, 0.45 * height), outside), labels=(1, 0), refine=True)
    return {
        "mask": {0: {1: mask}},
        "box": {0: {1: box}},
        "points": {0: {1: points}},
        "three objects, one corrected": {0: {1: mask, 2: box}, 2: {3: points}, 4: {1: correction}},
    }


def compare(tracker: Tracker, frames: Sequence[UInt8[np.ndarray, "H W 3"]]) -> list[Agreement]:
    """All kinds of prompts on both sides. `tracker` does as sam2: its policy, no holes filled."""
    network = tracker.network
    assert isinstance(network, Sam2Network)
    theirs, found = predictor(network.model), []
    with clip(frames) as folder:
        for name, prompts in trial_prompts(frames[0].shape[:2]).items():
            with computing(network):
                expected = upstream_logits(theirs, opened(theirs, folder), prompts)
            found.append(agreement(name, expected, engine_logits(tracker, images(folder), prompts)))
    return found


def costs(
    trackers: Mapping[str, Tracker], frames: Sequence[UInt8[np.ndarray, "H W 3"]], repeats: int
) -> list[UpstreamCost]:
    """One line for the first tracker, and one for all, from a mask on the first frame.

    Both sides alternate, on frames that are read and resized already; the least counts.
    """
    network = next(iter(trackers.values())).network
    assert isinstance(network, Sam2Network)
    theirs = predictor(network.model)
    ((_, prompts),) = trial_prompts(network.input_size)["mask"].items()
    with clip([cv2.resize(frame, network.input_size[::-1]) for frame in frames]) as folder:
        state = opened(theirs, folder)
    prepared = [Frame(image, prompts if index == 0 else {}) for index, image in enumerate(state["images"])]
    some = {1: dict(list(trackers.items())[:1]), len(trackers): trackers}

    def run_theirs() -> None:
        theirs.reset_state(state)
        with computing(network):
            upstream_logits(theirs, state, {0: prompts})

    def run_ours(count: int) -> None:
        deque(lockstep(some[count], prepared, len(prepared)), maxlen=0)

    spent: dict[int, list[float]] = {count: [] for count in (0, *some)}
    for _ in range(repeats):
        spent[0].append(milliseconds(run_theirs))
        for count in some:
            spent[count].append(milliseconds(partial(run_ours, count)))
    alone = min(spent[0]) / len(prepared)
    return [UpstreamCost(count, min(spent[count]) / len(prepared), count * alone) for count in some]


def peak_mib(device: torch.device) -> float:
    """Most memory that this process had in use: of the GPU, or else of the machine."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)
