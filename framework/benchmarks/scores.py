"""The benchmarks' own scores of results on disk, by the name of the evaluator, which belongs beside every number.

Sequences are scored one after the other, so that masks of one video at a time are in memory (of all, for multistart).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

import numpy as np

from framework.benchmarks.predictions import Empty, box_rows, label_maps, object_masks, regions
from framework.data.readers.box_sequence import BoxSequence
from framework.data.readers.mask_sequence import LabelSequence, MaskSequence
from framework.data.readers.vos import LvosSequence
from framework.data.readers.vot import VotSequence
from framework.data.sequence import DataSet, VideoSequence
from framework.errors import InputError
from framework.evaluation.records import SequenceRecord
from framework.evaluation.results import RunFolder
from framework.metrics import got10k, mose, multistart, ope, trackingnet, vos, vots

BenchmarkScores = Mapping[str, float | None]
Predictions = Iterable[tuple[VideoSequence, SequenceRecord]]
"""Sequences with their results."""


def predictions(folder: RunFolder, data: DataSet) -> Iterator[tuple[VideoSequence, SequenceRecord]]:
    """Every sequence of a data set with its result. Raises InputError for one that is not finished."""
    for index in range(len(data)):
        video = data.sequence(index)
        if not folder.finished(video.name):
            raise InputError(f"{video.name}: {folder.failure(video.name) or 'not tracked'}: track it first")
        yield video, folder.load(video.name)


def boxed(video: VideoSequence) -> BoxSequence:
    """The video, if its truth is boxes of all frames; raises InputError else."""
    if not isinstance(video, BoxSequence):
        raise InputError(f"{video.name} is not annotated with boxes: choose another evaluator=")
    if np.isnan(video.annotation.rows).any() and video.annotation.visible is None:
        raise InputError(f"{video.name}: its boxes are secret: export the results and send them to the server")
    return video


def score_ope(predictions: Predictions, empty: Empty, evaluator: ope.OpeEvaluator) -> BenchmarkScores:
    """Success AUC, OP50, OP75, precision and normalised precision, 0..100."""
    sequences = []
    for video, record in predictions:
        truth, rows = boxed(video).annotation, box_rows(video, record, empty)
        sequences.append(ope.SequencePrediction(record.sequence, truth.rows, rows, truth.visible))
    return dict(zip(OPE, evaluator.evaluate(sequences).overall.points(), strict=True))


def score_got10k(predictions: Predictions, empty: Empty) -> BenchmarkScores:
    """Average overlap and success rates, 0..100."""
    sequences = []
    for video, record in predictions:
        truth, (height, width) = boxed(video).annotation, video.size
        cover = np.full(len(truth.rows), 8) if truth.cover is None else truth.cover
        rows = (box_rows(video, record, empty),)
        sequences.append(got10k.SequencePrediction(record.sequence, truth.rows, cover, (width, height), rows, None))
    overall = got10k.evaluate(sequences).overall
    return {"AO": 100 * overall.ao, "SR50": 100 * overall.sr50, "SR75": 100 * overall.sr75}


def score_trackingnet(predictions: Predictions, empty: Empty) -> BenchmarkScores:
    """Success, precision and normalised precision, 0..100."""
    truth, submission = {}, {}
    for video, record in predictions:
        truth[f"{record.sequence}.txt"] = boxed(video).annotation.rows
        submission[f"{record.sequence}.txt"] = box_rows(video, record, empty)
    overall = trackingnet.evaluate(truth, submission).overall
    return {"Success": overall.success, "P": overall.precision, "Pnorm": overall.normalised}


def vot_objects(
    video: VideoSequence, record: SequenceRecord, kind: Literal["mask", "rectangle"]
) -> tuple[VotSequence, dict[int, vots.ObjectPrediction]]:
    """The video, and its objects by their number. Raises InputError for other than VOT data."""
    if not isinstance(video, VotSequence):
        raise InputError(f"{video.name} is not a VOT sequence: choose another evaluator=")
    return video, {key: vots.ObjectPrediction(video.regions(key), regions(record, key, kind)) for key in record.objects}


def score_vots(predictions: Predictions, empty: Empty, kind: Literal["mask", "rectangle"]) -> BenchmarkScores:
    """Quality, accuracy, robustness and its auxiliaries, 0..1; means over objects, then over sequences."""
    scores = []
    for video, record in predictions:
        source, found = vot_objects(video, record, kind)
        height, width = source.size
        objects = {str(key): prediction for key, prediction in found.items()}
        scores.append(vots.evaluate([vots.SequencePrediction(record.sequence, (width, height), objects)]).overall)
    columns: dict[str, list[float | None]] = {
        "Q": [s.quality for s in scores],
        "Acc": [s.accuracy for s in scores],
        "Rob": [s.robustness for s in scores],
        "NRE": [s.not_reported_error for s in scores],
        "DRE": [s.drift_rate_error for s in scores],
        "ADQ": [s.absence_detection for s in scores],
    }
    return {name: vots.mean_or_none(values) for name, values in columns.items()}


def score_multistart(predictions: Predictions, empty: Empty, low: int = 115, high: int = 755) -> BenchmarkScores:
    """Expected average overlap over sub-sequences of low .. high - 1 frames, accuracy and robustness, 0..1."""
    by_video: dict[str, list[tuple[VotSequence, vots.ObjectPrediction]]] = {}
    for video, record in predictions:
        source, found = vot_objects(video, record, "mask")
        if source.anchor is None:
            raise InputError(f"{video.name} has no anchors: choose another evaluator=")
        by_video.setdefault(source.video, []).append((source, next(iter(found.values()))))
    sequences = []
    for name, started in by_video.items():
        first, _ = started[0]
        height, width = first.size
        frames = first.images.length
        sequences.append(multistart.MultistartSequence(name, (width, height), frames, tuple(p for _, p in started)))
    report = multistart.evaluate_multistart(sequences, high)
    return {"EAO": report.eao(low, high), "A": report.accuracy, "R": report.robustness}


def labelled(video: VideoSequence, record: SequenceRecord) -> tuple[LabelSequence, np.ndarray, np.ndarray]:
    """The video, and label maps of its annotated frames: true and predicted [T Hv Wv]."""
    if not isinstance(video, LabelSequence):
        raise InputError(f"{video.name} is not annotated with label images: choose another evaluator=")
    if video.hidden:
        raise InputError(f"{video.name}: its masks are secret: export the results and send them to the server")
    truth = np.stack([video.labels(index) for index in video.annotated])
    predicted = np.stack([labels for index, labels in enumerate(label_maps(record)) if index in video.annotated])
    return video, truth, predicted


def score_davis(predictions: Predictions, empty: Empty) -> BenchmarkScores:
    """J&F and its parts, 0..100; means over objects."""
    objects: list[vos.DavisScores] = []
    for video, record in predictions:
        _, truth, predicted = labelled(video, record)
        objects += vos.davis2017([vos.Labelled(record.sequence, truth, predicted)]).per_object
    columns = {
        "J&F": [o.mean for o in objects],
        "J": [o.jaccard for o in objects],
        "J recall": [o.jaccard_recall for o in objects],
        "J decay": [o.jaccard_decay for o in objects],
        "F": [o.boundary for o in objects],
        "F recall": [o.boundary_recall for o in objects],
        "F decay": [o.boundary_decay for o in objects],
    }
    return {name: 100 * float(np.mean(values)) for name, values in columns.items()}


def score_mose(predictions: Predictions, empty: Empty) -> BenchmarkScores:
    """MOSEv2's J&F with the fitted boundary tolerance, where objects disappear and reappear too; 0..100."""
    objects: list[mose.MoseObject] = []
    for video, record in predictions:
        _, truth, predicted = labelled(video, record)
        objects += [
            mose.mose_object(vos.Masked(record.sequence, str(key), truth == key, predicted == key))
            for key in record.objects
        ]
    report = mose.mose(objects)
    values = {
        "J&F-dot": (report.jaccard + report.fitted) / 2,
        "J&F-dot d": report.disappearance,
        "J&F-dot r": report.reappearance,
        "J": report.jaccard,
        "F-dot": report.fitted,
        "F": report.boundary,
        "J&F": (report.jaccard + report.boundary) / 2,
    }
    return {name: None if value is None else 100 * value for name, value in values.items()}


def score_lvos(predictions: Predictions, empty: Empty, contour: vos.Contour = vos.step_contour) -> BenchmarkScores:
    """J&F over seen and unseen categories, and J and F, 0..100."""
    seen: dict[bool, list[vos.LvosScores]] = {True: [], False: []}
    for video, record in predictions:
        source, truth, predicted = labelled(video, record)
        if not isinstance(source, LvosSequence):
            raise InputError(f"{video.name} is not an LVOS video: choose another evaluator=")
        frames = tuple(int(source.images.files[source.positions[index]].stem) for index in source.annotated)
        item = vos.LvosVideo(record.sequence, frames, truth, predicted, source.spans, source.seen)
        seen[source.seen] += vos.lvos([item], contour).per_object
    parts = [vos.mean_lvos(seen[known]) for known in (True, False)]
    # Without unseen videos (version 1, or no list of them) there is only one mean.
    overall = vos.mean_lvos([part for part, known in zip(parts, (True, False), strict=True) if seen[known]])
    values = {"J&F": overall.mean, "J": overall.jaccard, "F": overall.boundary}
    values |= {"J&F seen": parts[0].mean, "J&F unseen": parts[1].mean}
    return {name: 100 * value for name, value in values.items()}


def score_sav(predictions: Predictions, empty: Empty) -> BenchmarkScores:
    """J&F, J and F over objects on annotated frames, 0..100."""
    objects: list[tuple[float, float]] = []
    for video, record in predictions:
        if not isinstance(video, MaskSequence) or video.hidden:
            raise InputError(f"{video.name} has no public masks: choose another evaluator= or export the results")
        for key, columns in record.objects.items():
            pairs = [
                (true, predicted)
                for index, predicted in enumerate(object_masks(columns, record.size, record.length))
                if (true := video.mask(key, index)) is not None
            ]
            truth, predicted = (np.stack(masks) for masks in zip(*pairs, strict=True))
            if truth[1:-1].any():  # else the tool refuses the object
                objects += vos.sav([vos.Masked(record.sequence, str(key), truth, predicted)]).per_object.values()
    if not objects:
        raise InputError("no object is on an annotated frame that counts")
    jaccard, boundary = (float(np.mean(values)) for values in zip(*objects, strict=True))
    return {"J&F": (jaccard + boundary) / 2, "J": jaccard, "F": boundary}


@dataclass(frozen=True, slots=True)
class BenchmarkEvaluator:
    """Scores predictions as a benchmark's own tool does."""

    measures: tuple[str, ...]
    """Names of what it returns, in their order."""
    score: Callable[[Predictions, Empty], BenchmarkScores]

    def __call__(self, predictions: Predictions, empty: Empty) -> BenchmarkScores:
        return self.score(predictions, empty)


OPE = ("AUC", "OP50", "OP75", "P", "Pnorm")
VOTS = ("Q", "Acc", "Rob", "NRE", "DRE", "ADQ")
LVOS = ("J&F", "J", "F", "J&F seen", "J&F unseen")

EVALUATORS: Mapping[str, BenchmarkEvaluator] = MappingProxyType(
    {
        f"ope/{name}": BenchmarkEvaluator(OPE, partial(score_ope, evaluator=rules))
        for name, rules in ope.EVALUATORS.items()
    }
    | {
        "got10k": BenchmarkEvaluator(("AO", "SR50", "SR75"), score_got10k),
        "trackingnet": BenchmarkEvaluator(("Success", "P", "Pnorm"), score_trackingnet),
        "didi": BenchmarkEvaluator(VOTS, partial(score_vots, kind="rectangle")),
        "vots": BenchmarkEvaluator(VOTS, partial(score_vots, kind="mask")),
        "vot_multistart": BenchmarkEvaluator(("EAO", "A", "R"), score_multistart),
        "davis2017": BenchmarkEvaluator(("J&F", "J", "J recall", "J decay", "F", "F recall", "F decay"), score_davis),
        "mosev2": BenchmarkEvaluator(("J&F-dot", "J&F-dot d", "J&F-dot r", "J", "F-dot", "F", "J&F"), score_mose),
        "lvos/python": BenchmarkEvaluator(LVOS, score_lvos),
        "lvos/cython": BenchmarkEvaluator(LVOS, partial(score_lvos, contour=vos.outer_step_contour)),
        "sav": BenchmarkEvaluator(("J&F", "J", "F"), score_sav),
    }
)
"""By name; the pytracking family and its relatives are `ope/<tool>/<benchmark>`."""
