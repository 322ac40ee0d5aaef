"""What a backbone brings to a memory policy: prompts it answers, confidence it can trust, alternatives it offers.

Scores of whole trackers are the evaluation's business; this looks at what the network says along the way.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from jaxtyping import Bool
from scipy.stats import spearmanr

from framework.data.sequence import DataSet, VideoSequence
from framework.errors import InputError
from framework.metrics.tracking import box_iou, mask_box, mask_iou
from framework.tracker import Tracker, lockstep
from framework.types import Frame, Prompt, Track, upsample

DIFFERENT = 0.7  # box IoU up to which an alternative counts as another answer
SLIVER = 0.25  # share of the first mask's area up to which only a sliver of the object shows


@dataclass(frozen=True, slots=True)
class Findings:
    """Per frame, over all videos looked at."""

    box_prompt: list[float] = field(default_factory=list)
    """IoU of what a box prompt on the first frame gives, one per video."""
    overlap: list[float] = field(default_factory=list)
    """True IoU on frames that show the object."""
    predicted: list[float] = field(default_factory=list)
    """Predicted IoU on the same frames."""
    frozen: list[float] = field(default_factory=list)
    """True IoU of the first mask left where it was, on the same frames."""
    coloured: list[float] = field(default_factory=list)
    """True IoU of the first mask moved along by its colours, on the same frames."""
    found: list[bool] = field(default_factory=list)
    """On frames that show the object: the network says so."""
    found_well: list[bool] = field(default_factory=list)
    """The same, where more than a sliver of it shows."""
    missed: list[bool] = field(default_factory=list)
    """On frames without it: the network says so."""
    alternative_near: list[bool] = field(default_factory=list)
    """With a look-alike near: another hypothesis differs."""
    alternative_far: list[bool] = field(default_factory=list)
    """The same without one."""

    def summary(self) -> dict[str, float]:
        """Means, and Spearman's rank correlation of predicted and true IoU; NaN where nothing was seen."""
        means: dict[str, list[float] | list[bool]] = {
            "box prompt J": self.box_prompt,
            "J, object visible": self.overlap,
            "J, frozen first mask": self.frozen,
            "J, colour histogram": self.coloured,
            "visible frames right": self.found,
            "visible frames right, more than a quarter shown": self.found_well,
            "absent frames right": self.missed,
            "alternative, look-alike near": self.alternative_near,
            "alternative, none near": self.alternative_far,
        }
        summary = {
            name: float(np.mean(np.asarray(values))) if values else float("nan") for name, values in means.items()
        }
        return summary | {"IoU calibration (Spearman)": float(spearmanr(self.predicted, self.overlap).statistic)}


class ColourHistogram:
    """Mean shift of the first mask over the likelihood of its hues and saturations (Comaniciu et al. 2000).

    The least a tracker has to beat: colour and position, no memory and no shape.
    """

    CHANNELS, BINS, RANGES = [0, 1], [24, 8], [0, 180, 0, 256]

    def __init__(self, image: np.ndarray, mask: Bool[np.ndarray, "Hv Wv"]) -> None:
        self.mask = mask.astype(np.uint8)
        hues = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        inside, outside = (
            cv2.calcHist([hues], self.CHANNELS, part, self.BINS, self.RANGES) for part in (self.mask, 1 - self.mask)
        )
        self.likelihood = (255 * inside / (inside + outside + 1e-6)).astype(np.float32)
        self.start = self.window = cv2.boundingRect(self.mask)

    def follow(self, image: np.ndarray) -> Bool[np.ndarray, "Hv Wv"]:
        """The mask on the next frame."""
        hues = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        likely = cv2.calcBackProject([hues], self.CHANNELS, self.likelihood, self.RANGES, 1)
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 1)
        _, self.window = cv2.meanShift(likely, self.window, stop)
        shift = np.array([[1, 0, self.window[0] - self.start[0]], [0, 1, self.window[1] - self.start[1]]], np.float32)
        return cv2.warpAffine(self.mask, shift, self.mask.shape[::-1]) > 0


def diagnose(tracker: Tracker, data: DataSet, videos: int) -> Findings:
    """Tracks the first object of the first `videos` videos from its mask, with the truth in view of a bound.

    Raises InputError for data without true masks.
    """
    findings = Findings()
    for index in range(min(videos, len(data))):
        _video(tracker, data.sequence(index), findings)
    return findings


def _video(tracker: Tracker, video: VideoSequence, findings: Findings) -> None:
    prompts = video.prompts()
    first = min(prompts)
    key, prompt = next(iter(prompts[first].items()))
    truth = video.truth(first).get(key)
    box = None if truth is None else mask_box(truth)
    if truth is None or box is None:
        raise InputError(f"{video.name} comes without true masks: give data that have them")
    features = tracker.network.encode(video.frame(first), first, video.length)
    answer = tracker.network.prompt(features, [Prompt(box=box)])
    findings.box_prompt.append(mask_iou((upsample(answer.logits[0, 0], video.size) > 0).cpu().numpy(), truth))
    colours = ColourHistogram(video.frame(first), truth)
    stream = (
        Frame(
            video.frame(t),
            {key: prompt} if t == first else {},
            truth={key: torch.from_numpy(mask) for key, mask in video.truth(t).items()},
        )
        for t in range(first, video.length)
    )
    for t, results in enumerate(lockstep({"": tracker}, stream, video.length), start=first):
        if t > first:
            now, moved = video.truth(t).get(key), colours.follow(video.frame(t))
            if now is None:
                continue  # not annotated
            _frame(video, t, results[""].tracks[key], now, findings)
            if now.sum() > SLIVER * truth.sum():
                findings.found_well.append(findings.found[-1])
            if now.any():
                findings.frozen.append(mask_iou(truth, now))
                findings.coloured.append(mask_iou(moved, now))


def _frame(video: VideoSequence, t: int, track: Track, truth: np.ndarray, findings: Findings) -> None:
    present = track.scores.presence > 0
    if truth.any():
        findings.overlap.append(mask_iou(track.mask(video.size).cpu().numpy(), truth))
        findings.predicted.append(track.scores.iou)
        findings.found.append(present)
    else:
        findings.missed.append(not present)
    if present and track.box is not None and track.candidates is not None:
        masks = (upsample(track.candidates.logits[0], video.size) > 0).cpu().numpy()
        boxes = [mask_box(mask) for mask in masks]
        others = [box for choice, box in enumerate(boxes) if choice != track.choice and box is not None]
        differs = any(box_iou(boxes[track.choice], other) <= DIFFERENT for other in others)
        near = "distractor_near" in video.attributes(t)
        (findings.alternative_near if near else findings.alternative_far).append(differs)
