"""One video, its prompts and the direction in which it is tracked: what `experiments.track` carries out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import UInt8

from framework.data.prompts import Placed, Schedule, schedule
from framework.data.sources.source import Part, Source, anywhere, frame_range
from framework.errors import unknown
from framework.evaluation.passes import Direction, Pass, check, passes
from framework.inference.folder import TrackFolder, write_all
from framework.inference.journal import Journal
from framework.inference.remarks import with_remarks
from framework.inference.stream import TrackedFrame, in_order, stream, stream_passes
from framework.inference.writers import HYPOTHESES, open_writers
from framework.report.progress import WorkProgress
from framework.tracker import Tracker


@dataclass(frozen=True, slots=True)
class TrackingPlan:
    """All that is decided before a tracker is there."""

    source: Source
    direction: Direction
    schedule: Schedule
    passes: tuple[Pass, ...]

    @classmethod
    def of(cls, source: Source, placed: Iterable[Placed], direction: str = "forward") -> "TrackingPlan":
        """Raises InputError for an unknown direction, a prompt that is wrong (`schedule`) or a stream backward."""
        way: Direction | None = next((name for name in get_args(Direction) if name == direction), None)
        if way is None:
            raise unknown("direction", direction, get_args(Direction))
        if way != "forward":
            anywhere(source)
        frames, video = frame_range(source), source.source if isinstance(source, Part) else source
        given = schedule(placed, source.size, video.length, way == "backward", frames)
        plan = given.within(frames)
        return cls(source, way, given, passes(way, plan.prompts, plan.removed, source.length))

    @property
    def suffix(self) -> str:
        """What range and direction add to the name of results."""
        direction = () if self.direction == "forward" else (self.direction,)
        return "".join(f"-{part}" for part in (*frame_range(self.source).described, *direction))

    def described(self) -> dict[str, Any]:
        """What of a result's configuration it decides beside source, length and prompts."""
        direction = {} if self.direction == "forward" else {"direction": self.direction}
        frames = frame_range(self.source)
        part = {"first": frames.first, "stride": frames.stride} if frames.first or frames.stride > 1 else {}
        return {**part, **direction}

    def check(self, tracker: Tracker) -> None:
        """Raises InputError for a tracker that is not for this direction."""
        check(tracker, self.passes)

    def write(
        self,
        tracker: Tracker,
        folder: TrackFolder,
        outputs: Sequence[str],
        progress: WorkProgress,
        begin: Callable[[UInt8[np.ndarray, "Hv Wv 3"]], None] = lambda image: None,
    ) -> list[Path]:
        """Tracks the video into a folder; returns the paths written. See `write_all`, also for what it raises.

        `begin` is given the image of the first prompt.
        """
        writers = open_writers(folder.partial, outputs, self.source, self.schedule)
        begun, keep = folder.journal.begun, HYPOTHESES in outputs
        if self.direction == "forward":
            frames = with_remarks(stream(tracker, self.source, self.schedule, begun, keep), self.schedule, begin)
            return write_all(frames, folder, writers, lambda frame: progress.advance(frame.position is not None))
        source, order = anywhere(self.source), [frame for passed in self.passes for frame in passed.frames]
        progress.restart(len(order), 0 if begun is None else begun.position.finished)

        def tracked(frame: TrackedFrame) -> None:
            if frame.position is not None:
                progress.advance()

        def reordered(journal: Journal) -> Iterable[TrackedFrame]:
            return in_order(source, journal.by_frame(order, source.length))

        frames = with_remarks(stream_passes(tracker, source, self.passes, begun, keep), self.schedule, begin)
        return write_all(frames, folder, writers, tracked, reordered=reordered)
