"""One clip tracked into a folder, as `experiments.track` does it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from framework.data.prompts import Placed, Schedule, read_prompts, schedule
from framework.data.sources.source import Source
from framework.inference.folder import TrackFolder, write_all
from framework.inference.stream import TrackedFrame, stream
from framework.inference.writers import OUTPUTS, Writer, open_writers
from framework.tracker import Tracker
from policies.sam2 import Sam2
from tests.fakes.colour import ColourNetwork

TRACKER = Tracker(ColourNetwork(), Sam2())


def plan_for(source: Source, *placed: Placed) -> Schedule:
    """The given prompts, or a box around the square of frame 0."""
    return schedule(placed or read_prompts(box=[0, 16, 16, 32]), source.size, source.length)


def save(
    output: Path,
    source: Source,
    plan: Schedule,
    outputs: tuple[str, ...] = OUTPUTS,
    configuration: Mapping[str, Any] = {"policy": {"slots": 6}},
    overwrite: bool = False,
    extra: Mapping[str, Writer] = {},
    key: Mapping[str, Any] | None = {"the source": "as it was"},
    tracker: Tracker = TRACKER,
    listener: Callable[[TrackedFrame], None] = lambda frame: None,
    clock: Callable[[], float] = lambda: 0.0,
) -> list[Path]:
    """Paths written. The clock stands still, so nothing is kept but after an interrupt."""
    with TrackFolder(output, configuration, outputs, source.size, key, overwrite) as folder:
        writers = {**open_writers(folder.partial, outputs, source, plan), **extra}
        frames: Iterator[TrackedFrame] = stream(
            tracker, source, plan, folder.journal.begun, "hypotheses.json" in outputs
        )
        return write_all(frames, folder, writers, listener, clock)


def names(folder: Path) -> list[str]:
    """All that is in a folder."""
    return sorted(str(item.relative_to(folder)) for item in folder.rglob("*"))
