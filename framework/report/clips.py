"""Videos of what variants tracked, frames drawn as in `framework.report.pictures`."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from framework.data.sequence import VideoSequence
from framework.evaluation.records import SequenceRecord
from framework.report.pictures import drawn, shown
from framework.report.video import VideoWriter

RATE = 10.0
"""Frames per second."""
MOST = 300
"""Frames of a video; of a longer one, so many at equal distances."""


def clips(video: VideoSequence, records: Mapping[str, SequenceRecord], folder: Path) -> dict[str, Path]:
    """One MP4 per record in `folder`; each frame is read once."""
    paths = {name: folder / f"{number}.mp4" for number, name in enumerate(records)}
    with ExitStack() as stack:
        writers = {name: stack.enter_context(VideoWriter(path, RATE)) for name, path in paths.items()}
        for index in range(0, video.length, -(-video.length // MOST)):
            image, truth = shown(video, index)
            for name, writer in writers.items():
                writer.write(drawn(image, truth, records[name], index))
    return paths
