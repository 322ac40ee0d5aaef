"""What a data set holds: how many frames and videos have each attribute, and a sheet of what they look like."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from framework.data.sequence import DataSet, VideoSequence

OUTLINE = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Census:
    """Counts over the frames looked at."""

    videos: int
    frames: int
    frames_with: dict[str, int]
    videos_with: dict[str, int]


def census(data: DataSet, videos: int, every: int = 1) -> Census:
    """Attributes of the first `videos` videos, looking at every n-th frame."""
    frames, in_frames, in_videos = 0, Counter[str](), Counter[str]()
    for index in range(min(videos, len(data))):
        video, seen = data.sequence(index), Counter[str]()
        for t in range(0, video.length, every):
            seen.update(video.attributes(t))
            frames += 1
        in_frames.update(seen)
        in_videos.update(seen.keys())
    return Census(min(videos, len(data)), frames, dict(in_frames), dict(in_videos))


def contact_sheet(videos: Sequence[VideoSequence], columns: int = 10) -> UInt8[np.ndarray, "H W 3"]:
    """One row per video, `columns` frames spread over its length, the tracked objects outlined."""
    rows = []
    for video in videos:
        times = np.linspace(0, video.length - 1, columns).astype(int)
        tiles = [_outlined(video, int(t)) for t in times]
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def _outlined(video: VideoSequence, t: int) -> UInt8[np.ndarray, "H W 3"]:
    frame = video.frame(t).copy()
    for mask in video.truth(t).values():
        edges, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(frame, edges, -1, OUTLINE, 1)
    return frame
