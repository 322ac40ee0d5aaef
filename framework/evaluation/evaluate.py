"""Sequences x trackers -> results on disk -> scores. All trackers run in one lockstep per sequence."""

import itertools
import sys
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from framework.data.sequence import DataSet, VideoSequence
from framework.errors import InputError, PlugInFault, reason
from framework.evaluation.comparison import Comparison, Lockstep, Run, TrackedRun, VideoScores
from framework.evaluation.protocol import EvaluationProtocol
from framework.evaluation.results import RunFolder, RunProgress, claims
from framework.evaluation.sequence import LookAheadTracker, ProgressListener, track
from framework.evaluation.workers import Workers, number_of, working
from framework.storage import identity
from framework.tracker import Tracker

POLL = 0.2  # seconds between looks at what other processes are doing


def run_identity(tracker: Tracker, data: DataSet, protocol: EvaluationProtocol) -> dict[str, Any]:
    """All that decides the results of one tracker on one data set."""
    return {
        "tracker": identity.describe(tracker),
        "data": data.name,
        "protocol": identity.describe(protocol),
        "code": identity.code_digest(__name__, tracker, data),
    }


def status(
    trackers: Mapping[str, Tracker], data: DataSet, output: Path | str, protocol: EvaluationProtocol
) -> dict[str, RunProgress]:
    """How far an evaluation is, by variant; reads the disk only."""
    names = [data.sequence(index).name for index in range(len(data))]
    runs = {name: identity.run_hash(run_identity(tracker, data, protocol)) for name, tracker in trackers.items()}
    return {name: RunFolder.at(Path(output), data.name, run).progress(names) for name, run in runs.items()}


def evaluate(
    trackers: Mapping[str, Tracker],
    data: DataSet,
    output: Path | str,
    protocol: EvaluationProtocol = EvaluationProtocol(),
    listener: ProgressListener | None = None,
    keep_going: bool = False,
    options: Mapping[str, Mapping[str, Any]] = {},
    keep_hypotheses: bool = False,
    workers: Workers = 1,
    among: range | None = None,
) -> Comparison:
    """Tracks whatever is not on disk yet, waits for what other processes are tracking, and reads the scores.

    All trackers run in one lockstep per sequence. Results are kept under `output` by what decides them
    (`framework.evaluation.results`), so a call that was interrupted goes on where it was. Call it under
    `torch.inference_mode()`, which the library leaves to its caller.

    Args:
        trackers: name -> tracker, the baseline first; all share one network.
        data: sequences with their prompts and truth.
        output: folder of the results; it is made.
        protocol: how tracking is started and what is scored.
        listener: told how far it is (`framework.report.sequence_progress.SequenceProgress` prints it); None: nobody.
        keep_going: go on after a plug-in failed on the first sequence that was tracked with it.
        options: what trackers were made from, by their names; noted beside the results.
        keep_hypotheses: keep all masks that the network proposes; sequences that lack them are tracked again.
        workers: processes that track side by side (`framework.evaluation.workers`); last bits may depend on the
            threads that each has.
        among: positions of the sequences that count; None: all.

    Returns:
        The scores by variant and sequence, and where the rest of the results is.

    A sequence that fails is recorded with its reason and the others go on; it is tried again in the next run.
    Raises InputError when the output cannot be written, holds something else, or when no sequence could be tracked, by
    all or by the first tracker, which is the baseline; also, unless told to `keep_going`, when a plug-in fails on the
    first sequence that is tracked with it.
    """
    listener = listener or ProgressListener()
    positions = range(len(data)) if among is None else among
    names = [data.sequence(index).name for index in positions]  # before anything is written
    notes = {"commit": identity.commit(), **identity.versions()}
    folders: dict[str, RunFolder] = {}
    distinct: dict[str, Tracker] = {}
    identities: dict[str, dict[str, Any]] = {}
    for name, tracker in trackers.items():
        identities[name] = run_identity(tracker, data, protocol)
        run = identity.run_hash(identities[name])
        distinct.setdefault(run, tracker)
        about = {**notes, "name": name, "options": options.get(name, {})}
        folders[name] = replace(
            RunFolder.open(Path(output), data.name, run, identities[name], about), keep_hypotheses=keep_hypotheses
        )
    by_run = {folder.hash: folder for folder in folders.values()}

    todo = [
        i
        for i, name in zip(positions, names, strict=True)
        if not all(folder.finished(name) for folder in by_run.values())
    ]
    variant = {folder.hash: name for name, folder in reversed(folders.items())}
    failures = _Failures(variant, by_run, names, keep_going)
    work = _Tracking(distinct, by_run, data, protocol, failures, tuple(todo))
    listener.begin(len(names), len(names) - len(todo))
    with working(work, number_of(workers, len(todo))) as check:
        work(check, listener)
    bounds = {name for name, t in trackers.items() if t.policy.privileged or isinstance(t, LookAheadTracker)}
    comparison = _read(folders, identities, bounds, data.name, names)
    if not comparison.runs or not comparison.sequences:
        if names and all(folder.finished(name) for folder in by_run.values() for name in names):
            paths = ", ".join(str(folder.path) for folder in by_run.values())
            raise InputError(
                f"{data.name} is tracked and kept in {paths}, but there is no truth beyond its prompts to "
                "score it by; where a server has it, python -m experiments.export writes what that takes"
            )
        reasons = {**comparison.lost, **comparison.failures}
        reason = next(iter(reasons.values()), "the data set has no sequence")
        raise InputError(f"no sequence of {data.name} could be tracked by every variant: {reason}")
    baseline = next(iter(trackers))
    if baseline in comparison.lost:
        reason = comparison.lost[baseline]
        raise InputError(f"{baseline}, with which the others are compared, failed on every sequence: {reason}")
    return comparison


@dataclass(frozen=True)
class _Failures:
    """What could not be tracked since this evaluation began."""

    variants: Mapping[str, str]
    """Run hash -> name."""
    folders: Mapping[str, RunFolder]
    sequences: Sequence[str]
    keep_going: bool
    before: Mapping[tuple[str, str], int] = field(init=False)
    """(run hash, sequence) -> when it had failed at the beginning; a clock that is set back tells no order."""

    def __post_init__(self) -> None:
        places = itertools.product(self.folders, self.sequences)
        found = {(run, name): self.folders[run].failed_at(name) for run, name in places}
        object.__setattr__(self, "before", {place: when for place, when in found.items() if when is not None})

    def reason(self, run: str, sequence: str) -> str | None:
        folder = self.folders[run]
        same = folder.failed_at(sequence) == self.before.get((run, sequence))
        return None if same else folder.failure(sequence)

    def record(self, run: str, sequence: str, error: Exception) -> str:
        """Writes it down; returns one line. Raises InputError for a plug-in that has not tracked a sequence yet."""
        folder, why = self.folders[run], reason(error)
        folder.fail(sequence, why, "".join(traceback.format_exception(error)))
        told = f"{why}; the trace is in {folder.trace(sequence)}"
        first = PlugInFault.of(error) and not any(folder.finished(name) for name in self.sequences)
        if first and not self.keep_going:
            raise InputError(f"{self.variants[run]} fails on {sequence}: {told}; keep_going=true goes on") from error
        return f"{self.variants[run]}: {told}" if len(self.variants) > 1 else told


@dataclass(frozen=True)
class _Checked(ProgressListener):
    """Passes on what it hears, and looks at every frame whether to go on."""

    listener: ProgressListener
    check: Callable[[], None]

    def frame(self, sequence: str, index: int, length: int) -> None:
        self.check()
        self.listener.frame(sequence, index, length)

    def sequence(self, sequence: str, failure: str | None) -> None:
        self.listener.sequence(sequence, failure)

    def elsewhere(self, sequence: str, length: int, failure: str | None) -> None:
        self.listener.elsewhere(sequence, length, failure)


@dataclass(frozen=True)
class _Tracking:
    """All that is to be tracked, for any number of processes."""

    trackers: Mapping[str, Tracker]
    folders: Mapping[str, RunFolder]
    data: DataSet
    protocol: EvaluationProtocol
    failures: _Failures
    sequences: tuple[int, ...]

    def __call__(self, check: Callable[[], None], listener: ProgressListener | None = None) -> None:
        """Until every sequence is done with, by whichever process."""
        if compiler := sys.modules.get("framework.ops.jit"):  # a plug-in's; before any clock runs
            compiler.start()
        listener = listener or ProgressListener()
        todo, checked = [*self.sequences], _Checked(listener, check)
        while todo:
            check()
            # From the front each time: what others have finished meanwhile counts at once.
            done = next((index for index in todo if self._attempt(index, checked)), None)
            if done is None:
                listener.waiting(len(todo))
                time.sleep(POLL)
            else:
                todo.remove(done)

    def _attempt(self, index: int, listener: ProgressListener) -> bool:
        video = self.data.sequence(index)
        return _attempt(self.trackers, self.folders, video, self.protocol, listener, self.failures)


def _attempt(
    trackers: Mapping[str, Tracker],
    folders: Mapping[str, RunFolder],
    video: VideoSequence,
    protocol: EvaluationProtocol,
    listener: ProgressListener,
    failures: _Failures,
) -> bool:
    """Tracks a sequence where it is unfinished; says whether it is done with, that is finished or failed."""
    missing = [run for run, folder in folders.items() if not folder.finished(video.name)]
    reasons = [why for run in missing if (why := failures.reason(run, video.name))]
    if len(reasons) == len(missing):
        listener.elsewhere(video.name, video.length, reasons[0] if reasons else None)
        return True
    open_ = [folders[run] for run in missing if not failures.reason(run, video.name)]
    with claims(open_, video.name) as locks:
        if not locks:
            return False
        told: list[str] = []
        groups = [[run for run in folders if run in locks]]
        while groups:
            runs = groups.pop(0)
            try:
                keep = any(folder.keep_hypotheses for folder in open_)
                records = track({run: trackers[run] for run in runs}, video, protocol, listener, locks.values(), keep)
            except Exception as error:
                failed = [run for run in runs if len(runs) == 1 or _is_its_fault(trackers[run], error)]
                told += [failures.record(run, video.name, error) for run in failed]
                rest = [run for run in runs if run not in failed]
                groups += [rest] if failed and rest else [[run] for run in rest]  # alone, to find out which it was
            else:
                for run, record in records.items():
                    folders[run].save(record)
    listener.sequence(video.name, "; ".join(told) or None)
    return True


def _is_its_fault(tracker: Tracker, error: Exception) -> bool:
    fault = PlugInFault.of(error)
    parts = tracker.policy, tracker.motion, tracker.selector
    return fault is not None and any(fault.plug_in is part for part in parts)


def _read(
    folders: Mapping[str, RunFolder],
    identities: Mapping[str, Mapping[str, Any]],
    bounds: Collection[str],
    data: str,
    names: list[str],
) -> Comparison:
    runs: list[Run] = []
    locksteps: dict[str, Lockstep] = {}
    for name, folder in folders.items():
        videos: dict[str, VideoScores] = {}
        failures: dict[str, str] = {}
        for sequence in names:
            if not folder.finished(sequence):
                failures[sequence] = folder.failure(sequence) or "not tracked"
                continue
            record = folder.load(sequence)
            scores = record.scores()
            if scores is None:
                failures[sequence] = "no annotated frame to score"
                continue
            locksteps[record.lockstep] = Lockstep(record.length, record.work)
            videos[sequence] = VideoScores.of(record, scores)
        runs.append(TrackedRun(name, identities[name], videos, failures, name in bounds, folder))
    lost = {run.name: next(iter(run.failures.values()), "no sequence") for run in runs if not run.videos}
    kept = tuple(run for run in runs if run.videos)
    return Comparison(data, kept, locksteps, lost)
