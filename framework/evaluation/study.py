"""A study in SQLite that any number of processes work on: settings are asked for, and told what they are worth.

What a process that was killed had asked for is asked for again by the next one; what was told is kept. A process shows
that it lives by a lock on a file of its own, which the operating system takes from the dead.

The tree-structured Parzen estimator (Bergstra et al. 2011) proposes settings. A setting is given up when a Wilcoxon
signed-rank test over the sequences so far says that it is worse than the best one.
"""

import math
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from framework.errors import InputError
from framework.evaluation.tuned import Effort, Setting, Tried, plain
from framework.storage.identity import run_hash

Space = Mapping[str, BaseDistribution]
BUSY = 60.0  # seconds to wait for another process that writes
DRAWS = 1000
"""At most, to find a setting that was not asked for before."""
OWNER, FAILURE, MEAN = "process", "failure", "mean"
"""What is noted of a trial: who asked for it, why it could not be tracked, its mean over the sequences so far."""
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


class SeededTpe(optuna.samplers.BaseSampler):
    """TPE whose draws for a trial depend on the seed, the trial's number and the trials so far: not on the process."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tpe = optuna.samplers.TPESampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        seed = _seed(self._seed, trial.number)
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            self._tpe = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


@dataclass(frozen=True)
class Asked:
    """A setting of which this process is to find out what it is worth."""

    trial: Trial
    setting: Setting


@dataclass(frozen=True)
class Study:
    """The settings of one method.

    Args:
        folder: where its files are.
        name: of them; the same for the same question.
        space: option -> values it may have.
        maximise: whether more of the metric is better.
        seed: of the proposals.
        prune: p-value below which a setting is taken to be worse than the best one; None: all go through all sequences.
    """

    folder: Path
    name: str
    space: Space
    maximise: bool = True
    seed: int = 0
    prune: float | None = 0.1
    _process: FileLock = field(init=False, repr=False, compare=False)
    _study: optuna.Study = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises InputError where the study cannot be opened."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            process = FileLock(self._alive(uuid.uuid4().hex))
            process.acquire()
            object.__setattr__(self, "_process", process)
            with self._alone():
                object.__setattr__(self, "_study", self._opened())
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InputError(f"cannot write a study to {self.folder} ({reason}): choose another output=") from error

    @property
    def path(self) -> Path:
        """The database, which optuna's own tools read too."""
        return self.folder / f"{self.name}.db"

    def add(self, setting: Setting, value: float, by_sequence: Mapping[int, float], effort: Effort) -> None:
        """Notes what the first setting is worth, unless there is one. By the positions of sequences, as `report`."""
        with self._alone():
            if not self._study.get_trials(deepcopy=False):
                made = optuna.trial.create_trial(
                    params=dict(setting),
                    distributions=dict(self.space),
                    value=value,
                    intermediate_values={at: score for at, score in by_sequence.items() if math.isfinite(score)},
                    user_attrs=vars(effort),
                )
                self._study.add_trial(made)

    def ask(self, count: int, trials: int) -> list[Asked]:
        """At most so many settings, as long as there are not `trials` of them in all.

        Those come first that a process had asked for which has ended since.
        """
        with self._alone():
            self._take_back()
            left = min(trials, size(self.space)) - len(self._trials())
            return [self._ask() for _ in range(int(min(count, left)))]

    def running(self) -> int:
        """Settings that other processes are at work on."""
        with self._alone():
            self._take_back()
            return len(self._trials(TrialState.RUNNING))

    def report(self, asked: Asked, by_sequence: Mapping[int, float]) -> bool:
        """Notes values by the positions of sequences; says whether the setting may be given up."""
        for position, value in by_sequence.items():
            if math.isfinite(value):
                asked.trial.report(value, position)
        if self.prune is None:
            return False
        with warnings.catch_warnings(action="ignore"):
            return asked.trial.should_prune()

    def tell(self, asked: Asked, value: float, effort: Effort, pruned: bool = False) -> None:
        """What a setting is worth; `pruned`: by the sequences until it was given up."""
        for name, amount in {**vars(effort), MEAN: value}.items():
            asked.trial.set_user_attr(name, amount)
        if pruned:
            self._study.tell(asked.trial, state=TrialState.PRUNED)
        else:
            self._study.tell(asked.trial, value)

    def fail(self, asked: Asked, reason: str) -> None:
        """A setting that could not be tracked. It counts, and is not asked for again."""
        asked.trial.set_user_attr(FAILURE, reason)
        self._study.tell(asked.trial, state=TrialState.FAIL)

    def tried(self) -> list[Tried]:
        """All settings of which it is known what they are worth, or that they fail, in the order of asking."""
        found = []
        for trial in self._study.get_trials(deepcopy=False):
            notes = trial.user_attrs
            failure = notes.get(FAILURE)
            if not trial.state.is_finished() or (trial.state is TrialState.FAIL and failure is None):
                continue
            complete = trial.state is TrialState.COMPLETE  # of another one, the value is that of its last sequence
            value = float(trial.values[0]) if complete else notes.get(MEAN, math.nan)
            effort = Effort(**{name: notes[name] for name in vars(Effort()) if name in notes})
            pruned = trial.state is TrialState.PRUNED
            found.append(Tried(trial.number, self._exact(trial.params), value, pruned, failure, effort))
        return found

    def importances(self) -> dict[str, float]:
        """Share of each option in what good settings have in common (PED-ANOVA, Watanabe et al. 2023).

        Empty where fewer than three settings went through all sequences, or all were worth the same.
        """
        whole = self._study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if len(whole) < 3 or len({trial.value for trial in whole}) == 1:
            return {}
        with warnings.catch_warnings(action="ignore"):
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            try:
                return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator))
            except (RuntimeError, ValueError):  # nothing to tell good settings by
                return {}

    def ranges(self) -> dict[str, str]:
        """Option -> its values, in words."""
        return {key: _described(among) for key, among in self.space.items()}

    def close(self) -> None:
        """Leaves to others what was asked for and not told."""
        self._process.release()
        Path(self._process.lock_file).unlink(missing_ok=True)

    def _ask(self) -> Asked:
        """The next setting: one that was put back, one that is proposed, or else one that was not asked for before."""
        before = [self._exact(trial.params) for trial in self._trials() if trial.params]
        trial = self._study.ask(dict(self.space))
        if self._exact(trial.params) in before:
            self._study.tell(trial, state=TrialState.FAIL)
            self._study.enqueue_trial(self._unseen(before, trial.number))
            trial = self._study.ask(dict(self.space))
        trial.set_user_attr(OWNER, Path(self._process.lock_file).name)
        return Asked(trial, self._exact(trial.params))

    def _unseen(self, before: Sequence[Setting], number: int) -> dict[str, Any]:
        """A random setting that is not among those before; the last one drawn, where all others seem to be."""
        draw = optuna.samplers.RandomSampler(seed=_seed(self.seed, number)).sample_independent
        last = self._study.get_trials(deepcopy=False)[-1]
        setting: dict[str, Any] = {}
        for _ in range(DRAWS):
            setting = {key: draw(self._study, last, key, among) for key, among in self.space.items()}
            if self._exact(setting) not in before:
                break
        return setting

    def _exact(self, params: Setting) -> dict[str, Any]:
        return {key: exact(params[key], among) for key, among in self.space.items()}

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those in one of these states; of all that count where none is given."""
        found = self._study.get_trials(deepcopy=False)
        if states:
            return [trial for trial in found if trial.state in states]
        return [trial for trial in found if trial.state in COUNTED or FAILURE in trial.user_attrs]

    def _take_back(self) -> None:
        """Puts what was asked for by processes that have ended where it is asked for next."""
        for trial in self._trials(TrialState.RUNNING):
            if not self._lives(trial.user_attrs.get(OWNER)):
                self._study.tell(trial.number, state=TrialState.FAIL)
                if trial.params.keys() == self.space.keys():
                    self._study.enqueue_trial(trial.params)

    def _lives(self, owner: str | None) -> bool:
        if owner is None:
            return False
        if owner == Path(self._process.lock_file).name:
            return True
        other = FileLock(self.folder / owner)
        try:
            other.acquire(timeout=0)
        except Timeout:
            return True
        other.release()
        (self.folder / owner).unlink(missing_ok=True)
        return False

    def _alive(self, process: str) -> Path:
        return self.folder / f"{self.name}.{process}.alive"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with FileLock(self.folder / f"{self.name}.lock"):
            yield

    def _opened(self) -> optuna.Study:
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            pruner = None if self.prune is None else optuna.pruners.WilcoxonPruner(p_threshold=self.prune)
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{self.path}", engine_kwargs={"connect_args": {"timeout": BUSY}}
        )
        direction = optuna.study.StudyDirection.MAXIMIZE if self.maximise else optuna.study.StudyDirection.MINIMIZE
        return optuna.create_study(
            storage=storage,
            sampler=SeededTpe(self.seed),
            pruner=pruner,
            study_name=self.name,
            direction=direction,
            load_if_exists=True,
        )


def _seed(seed: int, number: int) -> int:
    """Of what is drawn for one trial."""
    return int(run_hash({"seed": seed, "trial": number})[:7], 16)


def exact(value: Any, among: BaseDistribution) -> Any:
    """A value as it is meant: 0.83 in place of 0.8300000000000001 where steps are counted."""
    if isinstance(among, FloatDistribution) and among.step is not None:
        return round(value, max(0, round(-math.log10(among.step)))) + 0.0
    return value


def contains(among: BaseDistribution, value: Any) -> bool:
    """Whether a value is one of those that are searched."""
    if isinstance(among, CategoricalDistribution):
        return any(type(value) is type(choice) and value == choice for choice in among.choices)
    assert isinstance(among, FloatDistribution | IntDistribution)
    if isinstance(value, bool) or not isinstance(value, int | float) or not among.low <= value <= among.high:
        return False
    steps = 0.0 if among.step is None else (value - among.low) / among.step
    return abs(steps - round(steps)) < 1e-6


def _described(among: BaseDistribution) -> str:
    if isinstance(among, CategoricalDistribution):
        return ", ".join(map(plain, among.choices))
    assert isinstance(among, FloatDistribution | IntDistribution)
    return f"{plain(among.low)} to {plain(among.high)}{' (log)' if among.log else ''}"


def size(space: Space) -> int | float:
    """Settings there are; inf where a range has no steps."""

    def count(among: BaseDistribution) -> int | float:
        match among:
            case CategoricalDistribution():
                return len(among.choices)
            case IntDistribution():
                return among.high - among.low + 1
            case FloatDistribution(step=float(step)):
                return round((among.high - among.low) / step) + 1
        return math.inf

    return math.prod(map(count, space.values()))
