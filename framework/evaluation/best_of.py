"""Bounds on what memory could achieve, from runs that are finished: the best of several on every video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from framework.errors import InputError
from framework.evaluation.comparison import Comparison, Run
from framework.evaluation.records import SequenceRecord

LOWER_IS_BETTER = ("losses",)


@dataclass(frozen=True)
class BestRun(Run):
    """On every video the run that scored best. Whoever chose knew the scores, so its luck is part of it."""

    chosen: Mapping[str, Run]
    """Sequence -> the best run."""
    parts: int
    """Runs chosen from."""

    def record(self, sequence: str) -> SequenceRecord:
        return self.chosen[sequence].record(sequence)


def check_rows(option: str, rows: Mapping[str, Sequence[str]], names: Sequence[str]) -> None:
    """Raises InputError for a row of `best_of` or `means` that these variants (the baseline first) do not allow."""
    for name, patterns in rows.items():
        if name in names:
            raise InputError(f"{option}.{name} has the name of a variant: give it another one")
        if not patterns or isinstance(patterns, str):
            raise InputError(f"{option}.{name} is a list of variants to choose from: {option}={{{name}:[sam2,random]}}")
        for pattern in patterns:
            if not (found := matching([pattern], names)):
                raise InputError(f"{option}.{name}: no variant is called '{pattern}' (there are {', '.join(names)})")
            if pattern not in names and names[0] in found:
                fold = f"'{pattern}' folds the baseline {names[0]} away"
                raise InputError(f"{option}.{name}: {fold}: put another one first")


def matching(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    return [name for name in names if any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)]


def with_best_of(comparison: Comparison, best_of: Mapping[str, Sequence[str]], metric: str) -> Comparison:
    """Adds a row per entry of `best_of`: on every sequence the best by `metric` of the variants it lists.

    A variant is listed by its name, or by a pattern (``random policy.seed=*``), whose rows are folded into the new one.
    """
    names = [run.name for run in comparison.runs]
    folded: set[str] = set()
    made: list[Run] = []
    for name, patterns in best_of.items():
        parts = [run for run in comparison.runs if run.name in matching(patterns, names)]
        folded.update(matching([pattern for pattern in patterns if pattern not in names], names))
        if parts:
            made.append(_best(name, parts, metric))
    return replace(comparison, runs=(*(run for run in comparison.runs if run.name not in folded), *made))


def _best(name: str, parts: Sequence[Run], metric: str) -> BestRun:
    sequences = [sequence for sequence in parts[0].videos if all(sequence in run.videos for run in parts)]
    sign = -1 if metric in LOWER_IS_BETTER else 1
    values = np.stack([sign * run.values(metric, sequences) for run in parts])
    best = np.nan_to_num(values, nan=-np.inf).argmax(axis=0)
    chosen = {sequence: parts[index] for sequence, index in zip(sequences, best.tolist(), strict=True)}
    return BestRun(
        name=name,
        identity={"best of": [run.hash for run in parts], "by": metric},
        videos={sequence: run.videos[sequence] for sequence, run in chosen.items()},
        failures={sequence: reason for run in parts for sequence, reason in run.failures.items()},
        bound=True,
        chosen=chosen,
        parts=len(parts),
    )
