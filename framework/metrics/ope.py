"""One-pass evaluation of boxes: success, precision and normalised precision as the known tools compute them.

"LaSOT AUC" is not one number. Every tool repairs predictions, treats absent frames and rounds in its own way, so
each is a value of `OpeEvaluator`, named in `EVALUATORS`, and its name belongs beside every score.
Boxes are rows x, y, w, h in pixels. Sources: Wu et al. (CVPR 2013) for the curves, Muller et al. (TrackingNet,
ECCV 2018) for the normalised error, the behaviour of each tool for its conventions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from framework.errors import InputError
from framework.metrics import torch_float32_sum as single
from framework.metrics.box_errors import (
    INF,
    Boxes,
    centre_error,
    continuous_iou,
    error_of_scaled_centres,
    infinite_where_empty,
    pixel_iou,
    scaled_error_of_centres,
)

Rows = Bool[np.ndarray, " T"]


@dataclass(frozen=True, slots=True)
class SequencePrediction:
    """One tracker on one sequence."""

    name: str
    truth: Float[np.ndarray, "T 4"]
    prediction: Float[np.ndarray, "N 4"]
    visible: Bool[np.ndarray, " T"] | None = None  # None: the benchmark has no absence labels


@dataclass(frozen=True, slots=True)
class Curves:
    """Frames of one sequence that pass each threshold."""

    name: str
    frames: int  # the denominator
    success: Int[np.ndarray, " K"]
    precision: Int[np.ndarray, " P"]
    normalised: Int[np.ndarray, " Q"]
    overlap: float  # mean IoU over the frames with a valid box


@dataclass(frozen=True, slots=True)
class OpeScores:
    """Shares of frames, 0..1."""

    auc: float  # mean of the success curve
    op50: float  # success at IoU 0.5
    op75: float
    precision: float  # at 20 px
    normalised: float  # at 0.20
    normalised_auc: float  # mean over 0..0.5

    def points(self) -> tuple[float, float, float, float, float]:
        """AUC, OP50, OP75, Precision, Norm Precision in 0..100, the columns of the pytracking family."""
        return (
            100 * self.auc,
            100 * self.op50,
            100 * self.op75,
            100 * self.precision,
            100 * self.normalised,
        )


@dataclass(frozen=True, slots=True)
class OpeReport:
    sequences: tuple[Curves, ...]
    per_sequence: Mapping[str, OpeScores]
    overall: OpeScores  # unweighted mean of the curves over sequences


# ---- what the tools do to predictions


def as_given(boxes: Boxes) -> Boxes:
    return boxes


def refuse_invalid(boxes: Boxes) -> Boxes:
    if np.isnan(boxes).any():
        raise InputError("the prediction has NaN boxes; write 0,0,0,0 for an empty one")
    if (boxes[:, 2:] < 0).any():
        raise InputError("the prediction has boxes of negative width or height; write 0,0,0,0 for an empty one")
    return boxes


def zero_negatives(boxes: Boxes) -> Boxes:
    """Every negative entry becomes 0: a box that leaves the image moves into it, its size unchanged."""
    return refuse_invalid(np.where(boxes < 0, 0.0, boxes))


def enlarge_then_zero_negatives(boxes: Boxes) -> Boxes:
    size = boxes[:, 2:] * 1.025
    return zero_negatives(np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2 - size / 2, size], axis=1))


def never(prediction: Boxes, truth: Boxes) -> Rows:
    return np.zeros(len(prediction), dtype=bool)


def where_flat(prediction: Boxes, truth: Boxes) -> Rows:
    return (prediction[:, 2:] == 0).any(axis=1) & ~np.isnan(truth).any(axis=1)


def where_not_positive(prediction: Boxes, truth: Boxes) -> Rows:
    return ~(prediction[:, 2:] > 0).all(axis=1) | np.isnan(prediction).any(axis=1)


def drop_tail(boxes: Boxes, frames: int) -> Float[np.ndarray, "N 4"]:
    return boxes[:frames]


def drop_filled_tail(boxes: Boxes, frames: int) -> Float[np.ndarray, "N 4"]:
    if (boxes[frames:, 2:] == 0).any():
        raise InputError(f"the prediction has an empty box after the last frame; cut it to {frames} rows")
    return boxes[:frames]


def pad_with_zeros(boxes: Boxes, frames: int) -> Float[np.ndarray, "N 4"]:
    return np.concatenate([boxes, np.zeros((frames - len(boxes), 4), dtype=boxes.dtype)])


def refuse_short(boxes: Boxes, frames: int) -> Float[np.ndarray, "N 4"]:
    if len(boxes) < frames:
        raise InputError(f"the prediction has {len(boxes)} rows for {frames} frames; write one row per frame")
    return boxes


def leave_short(boxes: Boxes, frames: int) -> Float[np.ndarray, "N 4"]:
    return boxes


# ---- which frames of the truth count


def every_frame(truth: Boxes, visible: Rows) -> Rows:
    return np.ones(len(truth), dtype=bool)


def annotated_frames(truth: Boxes, visible: Rows) -> Rows:
    return ~np.isnan(truth).any(axis=1)


def visible_frames(truth: Boxes, visible: Rows) -> Rows:
    return visible & all_sizes_positive(truth)


def all_positive(truth: Boxes) -> Rows:
    return np.asarray((truth > 0).all(axis=1))


def all_sizes_positive(truth: Boxes) -> Rows:
    return np.asarray((truth[:, 2:] > 0).all(axis=1))


def all_valid(truth: Boxes) -> Rows:
    return np.ones(len(truth), dtype=bool)


# ---- from the curves of sequences to one score


Rates = tuple[Float[np.ndarray, " K"], Float[np.ndarray, " P"], Float[np.ndarray, " Q"]]


def in_double(rates: Sequence[Rates]) -> OpeScores:
    """Means over sequences, then over thresholds."""
    success, precision, normalised = (np.mean(np.stack(curve), axis=0) for curve in zip(*rates, strict=True))
    return summarise(success, precision, normalised)


def in_single(rates: Sequence[Rates]) -> OpeScores:
    """The same in percent and float32, so that a printed digit that hangs on rounding comes out the same."""
    tables = (np.stack(curve).astype(np.float32) for curve in zip(*rates, strict=True))
    success, precision, normalised = (np.float32(100) * single.column_means(table) for table in tables)
    percent = summarise(*(curve.astype(np.float64) for curve in (success, precision, normalised)))
    shares = {name: value / 100 for name, value in asdict(percent).items()}
    return OpeScores(**shares | {"auc": float(single.mean(success)) / 100})


# ---- the evaluators


def vectorised_twentieths() -> Float[np.ndarray, " 21"]:
    """0, 0.05 .. 1 as torch rounds them, four at a time: 0.6500000000000001 where 13 * 0.05 is 0.65."""
    steps = np.arange(21)
    return (steps - steps % 4) * 0.05 + steps % 4 * 0.05


@dataclass(frozen=True, slots=True)
class FrameErrors:
    """What a frame without a usable true box gets. An error below 0 passes every threshold."""

    centre: float
    normalised: float


@dataclass(frozen=True, slots=True)
class OpeEvaluator:
    """The conventions of one tool on one benchmark; the defaults are those of the pytracking family on LaSOT.

    Steps, in order: prepare, cut, carry forward, fill up, frame 0 := truth, frame errors, thresholds.
    """

    prepare: Callable[[Boxes], Boxes] = refuse_invalid
    cut: Callable[[Boxes, int], Boxes] = drop_tail  # of a prediction longer than the truth
    carried: Callable[[Boxes, Boxes], Rows] = where_flat  # rows that take the box of the row before
    fill: Callable[[Boxes, int], Boxes] = refuse_short  # of a prediction shorter than the truth
    allows_unknown_truth: bool = False  # NaN rows in the truth
    counted: Callable[[Boxes, Rows], Rows] = every_frame  # frames in the denominator
    valid: Callable[[Boxes], Rows] = all_sizes_positive  # frames whose true box can be compared with
    overlap: Callable[[Boxes, Boxes], np.ndarray] = pixel_iou
    error: Callable[[Boxes, Boxes], np.ndarray] = centre_error
    normalised_error: Callable[[Boxes, Boxes], np.ndarray] = error_of_scaled_centres
    invalid: FrameErrors = FrameErrors(centre=INF, normalised=-1.0)  # true box not valid
    absent: FrameErrors = FrameErrors(centre=INF, normalised=INF)  # target not visible
    success_thresholds: Float[np.ndarray, " K"] = field(default_factory=vectorised_twentieths)
    precision_thresholds: Float[np.ndarray, " P"] = field(default_factory=lambda: np.arange(51.0))
    normalised_thresholds: Float[np.ndarray, " Q"] = field(default_factory=lambda: np.arange(51) / 100)
    rate_type: type[np.floating] = np.float64  # of counts / frames
    average: Callable[[Sequence[Rates]], OpeScores] = in_double

    def curves(self, sequence: SequencePrediction) -> Curves:
        """Raises InputError for what the tool refuses."""
        if len(sequence.prediction) == 0:
            raise InputError(f"{sequence.name}: the prediction is empty; write one row per frame")
        if not self.allows_unknown_truth and np.isnan(sequence.truth).any():
            raise InputError(f"{sequence.name}: the ground truth has NaN boxes, which this evaluator refuses")
        try:
            prediction = self.repair(sequence.prediction, sequence.truth)
        except InputError as error:
            raise InputError(f"{sequence.name}: {error}") from None
        truth = sequence.truth[: len(prediction)]
        visible = np.ones(len(truth), dtype=bool) if sequence.visible is None else sequence.visible[: len(truth)]

        valid = self.valid(truth)
        comparable = valid & visible
        iou = np.where(comparable, self.overlap(prediction, truth), -1.0)
        centre = np.where(valid, self.error(prediction, truth), self.invalid.centre)
        centre = np.where(visible, centre, self.absent.centre)
        normalised = np.where(valid, self.normalised_error(prediction, truth), self.invalid.normalised)
        normalised = np.where(visible, normalised, self.absent.normalised)

        counted = self.counted(truth, visible)
        return Curves(
            name=sequence.name,
            frames=int(counted.sum()),
            success=(iou[counted, None] > self.success_thresholds).sum(axis=0),
            precision=(centre[counted, None] <= self.precision_thresholds).sum(axis=0),
            normalised=(normalised[counted, None] <= self.normalised_thresholds).sum(axis=0),
            overlap=float(iou[comparable].mean()) if comparable.any() else float("nan"),
        )

    def repair(self, prediction: Float[np.ndarray, "N 4"], truth: Float[np.ndarray, "T 4"]) -> np.ndarray:
        """The boxes that are scored: at most T rows."""
        boxes = self.cut(self.prepare(prediction), len(truth))
        carried = self.carried(boxes, truth[: len(boxes)])
        rows = np.where(carried, 0, np.arange(len(boxes)))
        boxes = self.fill(boxes[np.maximum.accumulate(rows)], len(truth))
        return np.concatenate([truth[:1], boxes[1:]])

    def evaluate(self, sequences: Sequence[SequencePrediction]) -> OpeReport:
        if not sequences:
            raise InputError("no sequence to evaluate")
        curves = tuple(self.curves(sequence) for sequence in sequences)
        rates = [self.rates(one) for one in curves]
        return OpeReport(
            sequences=curves,
            per_sequence={c.name: summarise(*rate) for c, rate in zip(curves, rates, strict=True)},
            overall=self.average(rates),
        )

    def rates(self, curves: Curves) -> Rates:
        """Success, precision and normalised precision of one sequence, 0..1."""
        frames = self.rate_type(max(curves.frames, 1))
        success, precision, normalised = (
            (counts.astype(self.rate_type) / frames).astype(np.float64)
            for counts in (curves.success, curves.precision, curves.normalised)
        )
        return success, precision, normalised


def summarise(success: np.ndarray, precision: np.ndarray, normalised: np.ndarray) -> OpeScores:
    return OpeScores(
        auc=float(success.mean()),
        op50=float(success[10]),
        op75=float(success[15]),
        precision=float(precision[20]),
        normalised=float(normalised[20]),
        normalised_auc=float(normalised.mean()),
    )


PYTRACKING = OpeEvaluator(cut=drop_filled_tail, valid=all_positive, rate_type=np.float32, average=in_single)
SAMURAI = OpeEvaluator(rate_type=np.float32, average=in_single)
HIM2SAM = replace(SAMURAI, prepare=zero_negatives)
HIM2SAM_ENLARGED = replace(SAMURAI, prepare=enlarge_then_zero_negatives)  # result paths with "rvcot_nfs"

# The Matlab toolkit of LaSOT: any unusable box is carried over, and an unusable true box is a hit for precision.
LASOT_OFFICIAL = OpeEvaluator(
    prepare=as_given, carried=where_not_positive, valid=all_positive, invalid=FrameErrors(-1.0, -1.0)
)

# The got-10k toolkit on other benchmarks: no repair, no notion of absence.
GOT10K_GIT = OpeEvaluator(
    prepare=as_given,
    carried=never,
    fill=leave_short,
    allows_unknown_truth=True,
    counted=annotated_frames,
    valid=all_valid,
    overlap=continuous_iou,
    normalised_error=scaled_error_of_centres,
    success_thresholds=np.linspace(0, 1, 21),
    normalised_thresholds=np.linspace(0, 0.5, 51),
)

# What the scores should mean: visible frames only, and an empty prediction is a miss.
STRICT = OpeEvaluator(
    prepare=partial(np.nan_to_num, nan=0.0),
    carried=never,
    fill=pad_with_zeros,
    allows_unknown_truth=True,
    counted=visible_frames,
    overlap=continuous_iou,
    error=partial(infinite_where_empty, centre_error),
    normalised_error=partial(infinite_where_empty, scaled_error_of_centres),
)


def under_lasot(evaluator: OpeEvaluator) -> OpeEvaluator:
    return evaluator


def under_lasot_extension(evaluator: OpeEvaluator) -> OpeEvaluator:
    """The pytracking family knows absence only by the data set name "lasot": elsewhere it is a normalised hit."""
    return replace(evaluator, fill=pad_with_zeros, absent=evaluator.invalid)


def under_otb(evaluator: OpeEvaluator) -> OpeEvaluator:
    """OTB, NfS, TNL2K and every other benchmark without a rule of its own."""
    return under_lasot_extension(evaluator)


def under_uav(evaluator: OpeEvaluator) -> OpeEvaluator:
    """UAV123 has NaN truth; such a frame is a hit for both precisions."""
    hit = FrameErrors(centre=-1.0, normalised=-1.0)
    return replace(evaluator, fill=pad_with_zeros, allows_unknown_truth=True, invalid=hit, absent=hit)


EVALUATORS: Mapping[str, OpeEvaluator] = {
    f"{tool}/{benchmark}": rule(evaluator)
    for tool, evaluator in {
        "pytracking": PYTRACKING,
        "samurai": SAMURAI,
        "him2sam": HIM2SAM,
        "him2sam_enlarged": HIM2SAM_ENLARGED,
    }.items()
    for benchmark, rule in {
        "lasot": under_lasot,
        "lasot_extension_subset": under_lasot_extension,
        "otb": under_otb,
        "nfs": under_otb,
        "tnl2k": under_otb,
        "uav": under_uav,
    }.items()
} | {
    "official/lasot": LASOT_OFFICIAL,
    "got10k_git/lasot": GOT10K_GIT,
    "got10k_git/otb": replace(GOT10K_GIT, counted=every_frame),
    "strict": STRICT,
}
