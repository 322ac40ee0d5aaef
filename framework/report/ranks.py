"""Do comparisons on several data sets put the same variants in the same order? From their scores video by video."""

import csv
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.table import Table

from framework.data.text import read_text
from framework.errors import InputError
from framework.metrics.ranks import Correlation, RankAgreement, rank_agreement
from framework.report import terminal
from framework.report.table import VIDEO_COLUMNS, csv_text, signed

FILE = "videos.csv"


@dataclass(frozen=True)
class VideoTable:
    """Scores of the variants of one comparison, video by video."""

    data: str
    metric: str
    variants: tuple[str, ...]
    bounds: frozenset[str]
    """Variants that see the truth."""
    videos: tuple[str, ...]
    values: Float[np.ndarray, "variants videos"]
    """NaN where a video has no score."""

    def of(self, variants: Sequence[str]) -> Float[np.ndarray, "variants videos"]:
        """Of these variants, on the videos on which all of them have a score."""
        rows = self.values[[self.variants.index(name) for name in variants]]
        return rows[:, ~np.isnan(rows).any(axis=0)]


def read_videos(path: Path) -> VideoTable:
    """The scores in a report's `videos.csv`; `path` is the file, the report's folder, or that of the data set if it has
    one report alone. Raises InputError for anything else."""
    file = _file(path)
    rows = list(csv.reader(io.StringIO(read_text(file))))
    if not rows or tuple(rows[0]) != VIDEO_COLUMNS or any(len(row) != len(VIDEO_COLUMNS) for row in rows):
        raise InputError(f"{file} is no table of scores by video: give the {FILE} that a comparison wrote")
    table = [dict(zip(VIDEO_COLUMNS, row, strict=True)) for row in rows[1:]]
    try:
        values = {(row["variant"], row["video"]): float(row["value"]) if row["value"] else math.nan for row in table}
    except ValueError as error:
        raise InputError(f"{file}: {error}; make the report again") from error
    variants, videos = (tuple(dict.fromkeys(row[name] for row in table)) for name in ("variant", "video"))
    if not table or len(values) != len(table) or len(table) != len(variants) * len(videos):
        raise InputError(f"{file} does not have every variant on every video once; make the report again")
    scores = np.array([[values[variant, video] for video in videos] for variant in variants])
    bounds = frozenset(row["variant"] for row in table if row["bound"] == "True")
    return VideoTable(table[0]["data"], table[0]["metric"], variants, bounds, videos, scores)


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    for found in ([path / FILE], sorted(path.glob(f"reports/*/{FILE}"))):
        there = [file for file in found if file.is_file()]
        if len(there) > 1:
            raise InputError(f"{path} has {len(there)} reports: give one of them, such as {there[0].parent}")
        if there:
            return there[0]
    raise InputError(f"{path} holds no {FILE}: give the folder of a report, <output>/<data set>/reports/<name>")


@dataclass(frozen=True)
class Ranking:
    """Two comparisons, and how far their orders agree."""

    first: VideoTable
    second: VideoTable
    variants: tuple[str, ...]
    agreement: RankAgreement

    def lines(self) -> Iterator[str]:
        """What can be said."""
        a, clear = self.agreement, self.agreement.clear
        videos = " and ".join(f"{table.of(self.variants).shape[1]} videos" for table in (self.first, self.second))
        yield f"{self.first.data} against {self.second.data}: {len(self.variants)} variants, {videos}"
        yield f"  Spearman {interval(a.spearman)}, Kendall {interval(a.kendall)}"
        yield (
            f"  of {clear.pairs} pairs {clear.first} and {clear.second} are clear on their own videos, {clear.both} on "
            f"both, {clear.agreeing} of those in the same order"
        )
        yield f"  an order repeats itself on resampled videos by {signed(a.repeated[0])} and {signed(a.repeated[1])}"
        yield f"  {self.verdict}"

    @property
    def verdict(self) -> str:
        """By the interval of Spearman's correlation."""
        found = self.agreement.spearman
        if math.isnan(found.value):
            return "one of the orders is all ties: nothing can be said"
        if found.low > 0:
            return "the orders agree: the interval is above 0"
        if found.high < 0:
            return "the orders are opposed: the interval is below 0"
        return "these videos do not show that the orders agree, nor that they do not: the interval holds 0"


def rank(tables: Sequence[VideoTable], variants: Sequence[str] | None, bounds: bool, seed: int) -> list[Ranking]:
    """Every two of the comparisons, by the variants that both have, or by `variants`.

    Without `bounds`, variants that see the truth are left out: they lead everywhere. Raises InputError where there are
    not two comparisons of one metric, or not three variants to order.
    """
    if len(tables) < 2:
        raise InputError("an order is compared with another: give two results or more")
    if len(metrics := {table.metric for table in tables}) > 1:
        raise InputError(f"the results are of {' and '.join(sorted(metrics))}: give reports of one metric")
    found = []
    for first, second in itertools.combinations(tables, 2):
        shared = [name for name in first.variants if name in second.variants]
        if missing := [name for name in variants or () if name not in shared]:
            raise InputError(f"{missing[0]} is not in both {first.data} and {second.data}, which have {shared}")
        chosen = tuple(variants or (name for name in shared if bounds or name not in first.bounds))
        one, two = first.of(chosen), second.of(chosen)
        if len(chosen) < 3 or not one.size or not two.size:
            raise InputError(f"{first.data} and {second.data} share {len(chosen)} variants: an order takes 3 or more")
        found.append(Ranking(first, second, chosen, rank_agreement(one, two, seed=seed)))
    return found


def rich_tables(ranking: Ranking, width: int) -> list[Table]:
    """Variants with their mean and place in both comparisons, in the order of the first."""
    means = [table.of(ranking.variants).mean(axis=1) for table in (ranking.first, ranking.second)]
    places = [(-values).argsort(kind="stable").argsort() + 1 for values in means]
    lines = [
        [name, *(cell for m, p in zip(means, places, strict=True) for cell in (f"{m[index]:.3f}", f"{p[index]}"))]
        for index, name in sorted(enumerate(ranking.variants), key=lambda item: places[0][item[0]])
    ]
    return terminal.tables(["variant", "first", "place", "second", "place"], lines, width)


def interval(found: Correlation) -> str:
    """Value and interval, three digits."""
    return f"{signed(found.value)} [{signed(found.low)}, {signed(found.high)}]"


def csv_table(rankings: Sequence[Ranking]) -> str:
    """One line per two comparisons, in the columns of a results file of the documentation."""
    titles = ["first", "second", "variants", "videos"]
    for name in ("Spearman", "Kendall"):
        titles += [name, f"{name} low", f"{name} high"]
    titles += ["pairs", "clear in the first", "in the second", "in both", "in the same order", "repeats"]
    lines = []
    for item in rankings:
        a, clear = item.agreement, item.agreement.clear
        counts = [item.first.of(item.variants).shape[1], item.second.of(item.variants).shape[1]]
        row = [item.first.data, item.second.data, len(item.variants), f"{counts[0]}, {counts[1]}"]
        row += [signed(v) for c in (a.spearman, a.kendall) for v in (c.value, c.low, c.high)]
        row += [clear.pairs, clear.first, clear.second, clear.both, clear.agreeing]
        lines.append([*row, f"{signed(a.repeated[0])}, {signed(a.repeated[1])}"])
    return csv_text(titles, lines)
