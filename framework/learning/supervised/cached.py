"""Records of videos: made once, by worker processes, and kept on disk under all that decides them."""

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar
from zipfile import BadZipFile

import numpy as np
import torch
from torch.utils.data import Dataset

from framework.data.sequence import DataSet, VideoSequence
from framework.defaults import NoMotion
from framework.interfaces import MemoryPolicy, MotionModel, Network
from framework.storage import identity
from framework.storage.files import write_atomic
from framework.tracker import Tracker

R = TypeVar("R")


@dataclass(frozen=True)
class TrackerParts:
    """What a tracker is made of beside its network."""

    policy: MemoryPolicy
    motion: MotionModel = NoMotion()

    def on(self, network: Network) -> Tracker:
        return Tracker(network, self.policy, self.motion)


class CachedRecords(Dataset, ABC, Generic[R]):
    """One record per video, a dataclass of arrays.

    Args:
        kind: the dataclass.
        decided_by: all that decides the records, beside the data and the code of its parts.
        cache: folder of folders of records.
        folder: where they are, if they need not be those that are described.
    """

    def __init__(
        self,
        kind: type[R],
        data: DataSet,
        videos: range,
        decided_by: Mapping[str, Any],
        cache: Path,
        folder: str | None = None,
    ) -> None:
        self.kind, self.data, self.videos = kind, data, videos
        described = {
            **{name: identity.describe(part) for name, part in decided_by.items()},
            "data": data.name,
            "code": identity.code_digest(type(self).__module__, *_trackers(decided_by), data),
        }
        self.folder = Path(folder) if folder else cache / identity.run_hash(described)

    @abstractmethod
    def record(self, video: VideoSequence, seed: int) -> R:
        """Goes through the video; runs without gradients."""

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> R:
        video = self.data.sequence(self.videos[index])
        path = self.folder / f"{video.name}.npz"
        try:
            return self._load(path)
        except (FileNotFoundError, EOFError, ValueError, BadZipFile):  # not recorded yet, or damaged since
            with torch.inference_mode():
                _save(self.record(video, self.videos[index]), path)
            return self._load(path)

    def _load(self, path: Path) -> R:
        with np.load(path, allow_pickle=False) as stored:
            return self.kind(**{name: stored[name] for name in stored.files})


def _trackers(parts: Mapping[str, Any]) -> list[Any]:
    return [tracker for part in parts.values() for tracker in (part.values() if isinstance(part, Mapping) else [part])]


def _save(record: Any, path: Path) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, **{field.name: getattr(record, field.name) for field in fields(record)})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())
