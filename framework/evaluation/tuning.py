"""Finds settings of methods that are best on validation videos; nothing here sees any other.

All methods get the same number of settings. Settings are asked for in batches that run in one lockstep, so that they
share encodings and identical rows, over a few sequences at a time, after which those are given up that are worse than
the best one so far.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from optuna.distributions import distribution_to_json

from framework.data.sequence import DataSet
from framework.errors import InputError
from framework.evaluation.best_of import LOWER_IS_BETTER
from framework.evaluation.comparison import Comparison, Run
from framework.evaluation.evaluate import POLL, evaluate, run_identity
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.sequence import ProgressListener
from framework.evaluation.study import Asked, Space, Study, contains
from framework.evaluation.tuned import Effort, Setting, Tuned
from framework.interfaces import Network
from framework.storage.files import safe_name
from framework.storage.identity import run_hash
from framework.tracker import Tracker

STEP = 4
"""Sequences after which it is asked whether a setting is worse than the best one."""


@dataclass(frozen=True)
class Candidate:
    """A method with a setting."""

    name: str
    tracker: Tracker
    options: Mapping[str, Any] = field(default_factory=dict)
    """What it was made from; noted beside its results."""


class NamedVariant(Protocol):
    """A method with a setting, not yet on a network."""

    @property
    def name(self) -> str: ...

    @property
    def resolved(self) -> Mapping[str, Any]:
        """What it is made from."""

    def tracker(self, network: Network) -> Tracker:
        """Raises InputError for a setting that the method refuses."""


@dataclass(frozen=True)
class TuningTask:
    """A method and what is known of its settings."""

    untuned: Candidate
    """With its own setting."""
    own: Setting
    """Its own values of the options that are searched."""
    make: Callable[[Setting], Candidate]
    """Raises InputError for a setting that the method refuses."""
    study: Study

    def compared(self, tuned: Tuned) -> tuple[Candidate, ...]:
        """The method untuned and, where one was better, with its best setting."""
        return (self.untuned, self.make(tuned.best.setting)) if tuned.best else (self.untuned,)


@dataclass(frozen=True)
class Tuning:
    """How methods are tuned.

    Args:
        data: validation videos.
        output: folder of the results, as `evaluate` takes it.
        metric: a field of `TrackingScores`.
        trials: settings tried of each method; its own counts where it is one of those that are searched.
        batch: settings of each method that run in one lockstep.
        seed: of the proposals.
        prune: p-value below which a setting is given up (`framework.evaluation.study`); None: none is.
        listener: told how far it is.
    """

    data: DataSet
    output: Path
    protocol: EvaluationProtocol
    metric: str = "jaccard"
    trials: int = 40
    batch: int = 8
    seed: int = 0
    prune: float | None = 0.1
    listener: ProgressListener = field(default_factory=ProgressListener)

    def __post_init__(self) -> None:
        if min(self.trials, self.batch) < 1:
            raise InputError(f"trials={self.trials} and batch={self.batch} must be 1 or more")
        if self.prune is not None and not 0 < self.prune < 1:
            raise InputError(f"prune={self.prune} is no p-value: give one between 0 and 1, or null")

    @property
    def folder(self) -> Path:
        """Where studies are, beside the results."""
        return self.output / safe_name(self.data.name) / "tuning"

    def task(self, at: Callable[[Setting], NamedVariant], own: Setting, space: Space, network: Network) -> TuningTask:
        """A method by its variants: `at` a setting, by its `own` values of the options in `space`."""

        def make(setting: Setting) -> Candidate:
            variant = at(setting)
            return Candidate(variant.name, variant.tracker(network), variant.resolved)

        untuned = make({})
        return TuningTask(untuned, own, make, self.study(untuned.tracker, space))

    def study(self, untuned: Tracker, space: Space) -> Study:
        """The study of a method, beside the results; the same one whenever the same question is asked."""
        question = {
            "run": run_identity(untuned, self.data, self.protocol),
            "sequences": [self.data.sequence(index).name for index in range(len(self.data))],
            "space": {key: distribution_to_json(among) for key, among in space.items()},
            **{name: getattr(self, name) for name in ("metric", "seed", "prune")},
        }
        return Study(self.folder, run_hash(question), space, self.metric not in LOWER_IS_BETTER, self.seed, self.prune)

    def run(self, tasks: Sequence[TuningTask]) -> list[Tuned]:
        """Tries settings until there are enough of each method, and waits for those of other processes.

        Under `torch.inference_mode()`, as `evaluate`. Raises InputError where a method's own setting cannot be tracked
        or the metric is not defined.
        """
        try:
            self._begin(tasks)
            values = self._own_values(tasks)
            while True:
                asked = [(task, one) for task in tasks for one in task.study.ask(self.batch, self.trials)]
                if asked:
                    self._try(tasks[0].untuned, asked)
                elif others := sum(task.study.running() for task in tasks):
                    self.listener.waiting(others)
                    time.sleep(POLL)
                else:
                    return [self._tuned(task, value) for task, value in zip(tasks, values, strict=True)]
        finally:
            for task in tasks:
                task.study.close()

    def _begin(self, tasks: Sequence[TuningTask]) -> None:
        """Tells the listener how many sequences there are to come, if no setting is given up."""
        left = max(self.trials - len(task.study.tried()) for task in tasks)
        rounds = 1 + max(0, -(-left // self.batch))
        self.listener.begin(rounds * len(self.data), 0)

    def _own_values(self, tasks: Sequence[TuningTask]) -> list[float]:
        """What the methods are worth untuned, which their studies are told first."""
        found = self._evaluate([task.untuned for task in tasks], range(len(self.data)))
        values = []
        for task in tasks:
            run, failure = _run(found, task.untuned.name)
            if run is None:
                raise InputError(f"{task.untuned.name} cannot be tuned, since it fails untuned: {failure}")
            value = self._mean(run)
            if not math.isfinite(value):
                raise InputError(f"{self.metric} is defined on no sequence of {self.data.name}: give another metric")
            if all(contains(among, task.own[key]) for key, among in task.study.space.items()):
                task.study.add(task.own, value, self._by_position(run, range(len(self.data))), _effort(run, found))
            values.append(value)
        return values

    def _try(self, own: Candidate, asked: Sequence[tuple[TuningTask, Asked]]) -> None:
        """Finds out what settings are worth, all in one lockstep.

        A method's own setting is the first row of it: one that is tracked already, and that does not fail.
        """
        left: list[_Race] = []
        for task, one in asked:
            try:
                left.append(_Race(task.study, one, task.make(one.setting)))
            except InputError as error:
                task.study.fail(one, str(error))
        for start in range(0, len(self.data), STEP):
            part = range(start, min(start + STEP, len(self.data)))
            if not left:
                for _ in part:
                    self.listener.sequence("", None)
                continue
            found = self._evaluate([own, *(race.candidate for race in left)], part)
            left = [on for race in left if (on := self._go_on(race, found, part)) is not None]
        for race in left:
            assert race.run is not None
            if math.isfinite(value := self._mean(race.run)):
                race.study.tell(race.asked, value, race.effort)
            else:
                race.study.fail(race.asked, f"{self.metric} is defined on no sequence")

    def _go_on(self, race: "_Race", found: Comparison, part: range) -> "_Race | None":
        """With the sequences of a part; None for a setting that fails or is given up."""
        run, failure = _run(found, race.candidate.name)
        if run is None:
            race.study.fail(race.asked, failure)
            return None
        race = race.with_part(run, _effort(run, found))
        assert race.run is not None
        if race.study.report(race.asked, self._by_position(run, part)) and part.stop < len(self.data):
            race.study.tell(race.asked, self._mean(race.run), race.effort, pruned=True)
            return None
        return race

    def _evaluate(self, candidates: Sequence[Candidate], part: range) -> Comparison:
        return evaluate(
            {candidate.name: candidate.tracker for candidate in candidates},
            self.data,
            self.output,
            self.protocol,
            _Within(self.listener),
            keep_going=True,
            options={candidate.name: candidate.options for candidate in candidates},
            among=part,
        )

    def _mean(self, run: Run) -> float:
        return getattr(run.mean(run.videos), self.metric)

    def _by_position(self, run: Run, part: range) -> dict[int, float]:
        return dict(zip(part, run.values(self.metric, run.videos).tolist(), strict=True))

    def _tuned(self, task: TuningTask, own: float) -> Tuned:
        tried = tuple(task.study.tried())
        sign = 1 if task.study.maximise else -1
        whole = [one for one in tried if not one.pruned and one.failure is None]
        best = max(whole, key=lambda one: sign * one.value, default=None)
        better = best is not None and sign * (best.value - own) > 0
        return Tuned(
            task.untuned.name,
            task.study.name,
            task.study.ranges(),
            task.own,
            own,
            tried,
            best if better else None,
            task.make(best.setting).name if best and better else task.untuned.name,
            task.study.importances(),
        )


def check_apart(validation: DataSet, test: DataSet) -> None:
    """Raises InputError for data sets that share a sequence: a setting is not measured on what it was chosen by."""
    names = {validation.sequence(index).name for index in range(len(validation))}
    if shared := [name for index in range(len(test)) if (name := test.sequence(index).name) in names]:
        raise InputError(
            f"{shared[0]} is among the videos to tune on and among those to test on: choose others by data.split and "
            "test.split, or by data.only and test.only"
        )


@dataclass(frozen=True)
class _Race:
    """A setting on its way through the sequences."""

    study: Study
    asked: Asked
    candidate: Candidate
    run: Run | None = None
    """On the sequences so far."""
    effort: Effort = Effort()

    def with_part(self, run: Run, effort: Effort) -> "_Race":
        joined = run if self.run is None else replace(run, videos={**self.run.videos, **run.videos})
        return replace(self, run=joined, effort=self.effort + effort)


class _Within(ProgressListener):
    """Hears of the sequences of one part of a longer work, whose beginning has been told."""

    def __init__(self, whole: ProgressListener) -> None:
        self.frame, self.sequence, self.waiting = whole.frame, whole.sequence, whole.waiting  # type: ignore[method-assign]


def _run(found: Comparison, name: str) -> tuple[Run | None, str]:
    """The run of a candidate that has a result on every sequence, or else why there is none."""
    run = next((run for run in found.runs if run.name == name), None)
    if run is None:
        return None, found.lost[name]
    return (None, next(iter(run.failures.values()))) if run.failures else (run, "")


def _effort(run: Run, found: Comparison) -> Effort:
    frames = {name: found.locksteps[video.lockstep].frames for name, video in run.videos.items()}
    return Effort(
        videos=len(run.videos),
        frames=sum(frames.values()),
        seconds=sum(run.videos[name].milliseconds * count for name, count in frames.items()) / 1000,
        alone=sum(run.videos[name].alone * count for name, count in frames.items()) / 1000,
    )
