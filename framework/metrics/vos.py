"""Video object segmentation: region similarity J, contour accuracy F, and the official protocols around them.

J and F follow Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"
(CVPR 2016), section 4. What differs between the official evaluators is which frames and objects they score.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from framework.errors import InputError

Contour = Callable[[np.ndarray], np.ndarray]  # mask [H W] -> its boundary pixels [H W]

BOUNDARY_TOLERANCE = 0.008  # matching radius of F, in image diagonals


def jaccard(prediction: Bool[np.ndarray, "*T H W"], truth: Bool[np.ndarray, "*T H W"]) -> Float[np.ndarray, "*T"]:
    """Region similarity J, intersection over union per mask, 0..1; 1 where both masks are empty."""
    intersection = np.asarray(np.logical_and(prediction, truth).sum(axis=(-2, -1)), dtype=np.float64)
    union = np.asarray(np.logical_or(prediction, truth).sum(axis=(-2, -1)), dtype=np.float64)
    return np.asarray(np.divide(intersection, union, out=np.ones_like(union), where=union > 0))


def step_contour(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Pixels that differ from their right, lower or lower-right neighbour (DAVIS, SA-V, LVOS in Python)."""
    contour = np.zeros_like(mask)
    contour[:-1, :-1] = (
        (mask[:-1, :-1] ^ mask[:-1, 1:]) | (mask[:-1, :-1] ^ mask[1:, :-1]) | (mask[:-1, :-1] ^ mask[1:, 1:])
    )
    contour[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    contour[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return contour


def outer_step_contour(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Pixels that differ from the union of those three neighbours: LVOS's compiled build. Its F is lower."""
    contour = np.zeros_like(mask)
    contour[:-1, :-1] = mask[:-1, :-1] ^ (mask[:-1, 1:] | mask[1:, :-1] | mask[1:, 1:])
    contour[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    contour[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return contour


def boundary_f(
    prediction: Bool[np.ndarray, "H W"], truth: Bool[np.ndarray, "H W"], contour: Contour = step_contour
) -> float:
    """Contour accuracy F of one mask, 0..1: harmonic mean of boundary precision and recall.

    A boundary pixel is matched by any boundary pixel of the other mask within ceil(0.008 image diagonals).
    1 where neither mask has a boundary, 0 where only one has.
    """
    radius = math.ceil(BOUNDARY_TOLERANCE * math.hypot(*truth.shape))
    return matched_f(contour(prediction), contour(truth), float(radius))


def matched_f(predicted: Bool[np.ndarray, "H W"], true: Bool[np.ndarray, "H W"], radius: float) -> float:
    """F of boundary pixels, each matched by any one of the other boundary inside a disk of `radius` pixels."""
    offsets = np.arange(-radius, radius + 1)
    disk = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2).astype(np.uint8)
    n_predicted, n_true = int(predicted.sum()), int(true.sum())
    if n_predicted == 0 or n_true == 0:
        return 1.0 if n_predicted == n_true else 0.0
    x, y, width, height = cv2.boundingRect((predicted | true).astype(np.uint8))
    predicted, true = (edges[y : y + height, x : x + width] for edges in (predicted, true))
    near_true = cv2.dilate(true.astype(np.uint8), disk) > 0
    near_predicted = cv2.dilate(predicted.astype(np.uint8), disk) > 0
    precision = int((predicted & near_true).sum()) / n_predicted
    recall = int((true & near_predicted).sum()) / n_true
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def boundary_fs(
    prediction: Bool[np.ndarray, "T H W"], truth: Bool[np.ndarray, "T H W"], contour: Contour = step_contour
) -> Float[np.ndarray, " T"]:
    """Contour accuracy F of every frame."""
    return np.array([boundary_f(p, t, contour) for p, t in zip(prediction, truth, strict=True)], dtype=np.float64)


# ---- statistics over the frames of one object


def recall(values: Float[np.ndarray, " T"]) -> float:
    """Share of frames strictly above 0.5."""
    return float((values > 0.5).mean())


def decay(values: Float[np.ndarray, " T"]) -> float:
    """How much is lost over time: mean of the first quarter of the frames minus mean of the last."""
    ends = quarters(len(values))
    return mean_between(values, ends[0], ends[1] + 1) - mean_between(values, ends[3], ends[4] + 1)


def decay_uint8(values: Float[np.ndarray, " T"]) -> float:
    """The decay that davis2017 prints: frame numbers wrap at 256, so it is NaN or wrong from 256 frames on."""
    ends = [end % 256 for end in quarters(len(values))]
    return mean_between(values, ends[0], (ends[1] + 1) % 256) - mean_between(values, ends[3], (ends[4] + 1) % 256)


def quarters(frames: int) -> list[int]:
    """First frames of the four quarters, and the last frame: each quarter shares its border with the next."""
    return (np.round(np.linspace(1, frames, 5) + 1e-10) - 1).astype(np.int64).tolist()


def mean_between(values: Float[np.ndarray, " T"], start: int, stop: int) -> float:
    chosen = values[start:stop]
    return float(chosen.mean()) if len(chosen) > 0 else math.nan


@dataclass(frozen=True, slots=True)
class Similarity:
    """J and F of one object, per scored frame."""

    sequence: str
    object: str
    jaccard: Float[np.ndarray, " T"]
    boundary: Float[np.ndarray, " T"]


# ---- DAVIS 2017, semi-supervised


@dataclass(frozen=True, slots=True)
class Labelled:
    """One sequence with label maps: 0 background, 255 void, otherwise an object."""

    name: str
    truth: UInt8[np.ndarray, "T H W"]
    prediction: UInt8[np.ndarray, "T H W"]


@dataclass(frozen=True, slots=True)
class DavisScores:
    """0..1."""

    jaccard: float
    jaccard_recall: float
    jaccard_decay: float
    boundary: float
    boundary_recall: float
    boundary_decay: float

    @property
    def mean(self) -> float:
        """J&F."""
        return (self.jaccard + self.boundary) / 2


@dataclass(frozen=True, slots=True)
class DavisReport:
    objects: tuple[Similarity, ...]
    per_object: tuple[DavisScores, ...]
    overall: DavisScores  # unweighted mean over objects


def davis_objects(video: Labelled) -> Iterator[Similarity]:
    """The objects of the first true frame, scored on all frames but the first and the last. Void is background.

    Raises InputError when a scored frame of the prediction holds a label that the first true frame does not reach.
    """
    if len(video.truth) < 3:
        raise InputError(
            f"{video.name}: {len(video.truth)} frames; the first and the last are given, so three is least"
        )
    truth = np.where(video.truth == 255, 0, video.truth)
    objects, predicted = int(truth[0].max()), int(video.prediction[1:-1].max())
    if predicted > objects:
        raise InputError(
            f"{video.name}: the prediction has label {predicted}, but only {objects} objects are annotated"
        )
    for label in range(1, objects + 1):
        masks = video.prediction[1:-1] == label, truth[1:-1] == label
        yield Similarity(video.name, str(label), jaccard(*masks), boundary_fs(*masks))


def davis2017(videos: Sequence[Labelled], decay: Callable[[np.ndarray], float] = decay) -> DavisReport:
    """The official semi-supervised protocol; `decay=decay_uint8` reproduces its decay on long sequences as well."""
    objects = tuple(similarity for video in videos for similarity in davis_objects(video))
    if not objects:
        raise InputError("no annotated object to evaluate")
    per_object = tuple(
        DavisScores(
            jaccard=float(o.jaccard.mean()),
            jaccard_recall=recall(o.jaccard),
            jaccard_decay=decay(o.jaccard),
            boundary=float(o.boundary.mean()),
            boundary_recall=recall(o.boundary),
            boundary_decay=decay(o.boundary),
        )
        for o in objects
    )
    columns = ("jaccard", "jaccard_recall", "jaccard_decay", "boundary", "boundary_recall", "boundary_decay")
    overall = DavisScores(*(float(np.mean([getattr(scores, column) for scores in per_object])) for column in columns))
    return DavisReport(objects, per_object, overall)


# ---- SA-V and vos-benchmark


@dataclass(frozen=True, slots=True)
class Masked:
    """One object of one video, with a mask of its own at every annotated frame."""

    sequence: str
    object: str
    truth: Bool[np.ndarray, "T H W"]
    prediction: Bool[np.ndarray, "T H W"]


@dataclass(frozen=True, slots=True)
class SavReport:
    """All 0..100."""

    jaccard: float  # mean over objects
    boundary: float
    per_object: Mapping[tuple[str, str], tuple[float, float]]  # (sequence, object) -> J, F

    @property
    def mean(self) -> float:
        """J&F."""
        return (self.jaccard + self.boundary) / 2


def sav_object(masks: Masked, skip_ends: bool = True) -> Similarity:
    """J and F of one object from the first frame on which it is seen, in the truth or in the prediction.

    Raises InputError for an object that is in no true scored frame.
    """
    truth, prediction = (masks.truth[1:-1], masks.prediction[1:-1]) if skip_ends else (masks.truth, masks.prediction)
    if not truth.any():
        raise InputError(f"{masks.sequence}: object {masks.object} is in no annotated frame that counts; leave it out")
    first = int(np.argmax((truth | prediction).any(axis=(1, 2))))
    scored = prediction[first:], truth[first:]
    return Similarity(masks.sequence, masks.object, jaccard(*scored), boundary_fs(*scored))


def sav(objects: Sequence[Masked], skip_ends: bool = True) -> SavReport:
    """The SA-V protocol (and vos-benchmark's). `skip_ends`: whether the first and last annotated frame are left out."""
    if not objects:
        raise InputError("no annotated object to evaluate")
    scored = [sav_object(masks, skip_ends) for masks in objects]
    per_object = {
        (o.sequence, o.object): (100 * float(o.jaccard.mean()), 100 * float(o.boundary.mean())) for o in scored
    }
    jaccards, boundaries = zip(*per_object.values(), strict=True)
    return SavReport(float(np.mean(jaccards)), float(np.mean(boundaries)), per_object)


# ---- LVOS

LVOS_STRIDE = 5  # frames between two annotations


@dataclass(frozen=True, slots=True)
class Span:
    """Where an object is annotated: frames start, start + 5 .. below end; `frames` of them, as the meta file says."""

    start: int
    end: int
    frames: int


@dataclass(frozen=True, slots=True)
class LvosVideo:
    name: str
    frames: tuple[int, ...]  # frame number of every label map
    truth: UInt8[np.ndarray, "T H W"]
    prediction: UInt8[np.ndarray, "T H W"]
    objects: Mapping[int, Span]
    seen: bool  # whether its category is in the training set


@dataclass(frozen=True, slots=True)
class LvosScores:
    """0..1."""

    jaccard: float
    boundary: float
    variation: float  # standard deviation of the frames' J&F

    @property
    def mean(self) -> float:
        """J&F."""
        return (self.jaccard + self.boundary) / 2


@dataclass(frozen=True, slots=True)
class LvosReport:
    objects: tuple[Similarity, ...]
    per_object: tuple[LvosScores, ...]
    seen: LvosScores  # means over objects
    unseen: LvosScores
    overall: LvosScores  # mean of the two


def lvos_objects(video: LvosVideo, contour: Contour) -> Iterator[Similarity]:
    """Every object on its own annotated frames, without the first and the last."""
    position = {frame: index for index, frame in enumerate(video.frames)}
    for label, span in video.objects.items():
        numbers = range(span.start, span.end, LVOS_STRIDE)
        scored = [n for i, n in enumerate(numbers) if i not in (0, span.frames - 1)]
        missing = [n for n in scored if n not in position]
        if missing:
            raise InputError(
                f"{video.name}: frame {missing[0]} is annotated for object {label} but not in the prediction"
            )
        rows = [position[n] for n in scored]
        masks = video.prediction[rows] == label, video.truth[rows] == label
        yield Similarity(video.name, str(label), jaccard(*masks), boundary_fs(*masks, contour))


def lvos(videos: Sequence[LvosVideo], contour: Contour = step_contour) -> LvosReport:
    """The official protocol. Its compiled build (`contour=outer_step_contour`) gives F about 5 points lower than its
    Python one (the default), so the choice belongs beside the score."""
    scored = [(video.seen, similarity) for video in videos for similarity in lvos_objects(video, contour)]
    per_object = [
        (
            seen,
            LvosScores(
                jaccard=float(o.jaccard.mean()),
                boundary=float(o.boundary.mean()),
                variation=math.sqrt(round(float(((o.jaccard + o.boundary) / 2).var()), 4)),
            ),
        )
        for seen, o in scored
    ]
    seen = mean_lvos([scores for known, scores in per_object if known])
    unseen = mean_lvos([scores for known, scores in per_object if not known])
    return LvosReport(
        objects=tuple(similarity for _, similarity in scored),
        per_object=tuple(scores for _, scores in per_object),
        seen=seen,
        unseen=unseen,
        overall=mean_lvos([seen, unseen]),
    )


def mean_lvos(scores: Sequence[LvosScores]) -> LvosScores:
    """Unweighted mean; NaN of none."""
    if not scores:
        return LvosScores(math.nan, math.nan, math.nan)
    table = np.array([(s.jaccard, s.boundary, s.variation) for s in scores])
    return LvosScores(*table.mean(axis=0).tolist())
