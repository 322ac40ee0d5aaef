"""Point trackers: where did these pixels go in the next few frames?"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.errors import InputError

_COTRACKER3_WEIGHTS = "https://huggingface.co/facebook/cotracker3/resolve/main/scaled_offline.pth"


@dataclass(frozen=True, slots=True, eq=False)
class PointTracks:
    """Positions of the queried points on every frame of a clip."""

    positions: Float[np.ndarray, "n q 2"]
    """(x, y) in pixels of the clip."""
    visible: Bool[np.ndarray, "n q"]


class PointTracker(ABC):
    """Follows points through a short clip. Fields are hyper-parameters; there is no state."""

    @abstractmethod
    def track(self, clip: Float[Tensor, "n 3 H W"], queries: Float[np.ndarray, "q 2"]) -> PointTracks:
        """`clip` is RGB in 0..1; `queries` are (x, y) on its first frame."""


@dataclass(frozen=True)
class LucasKanade(PointTracker):
    """Pyramidal Lucas-Kanade (Bouguet, 2001) from frame to frame, trusted while tracking back returns to the start.

    `window` is the side of the patch in pixels, `levels` the pyramid levels above the image, `tolerance` the greatest
    forward-backward distance in pixels (Kalal et al., ICPR 2010). A point once lost stays lost.
    """

    window: int = 21
    levels: int = 4
    tolerance: float = 1.0

    def track(self, clip: Float[Tensor, "n 3 H W"], queries: Float[np.ndarray, "q 2"]) -> PointTracks:
        frames = [_gray(frame) for frame in clip]
        height, width = frames[0].shape
        here, alive = queries.astype(np.float32)[:, None], np.ones(len(queries), dtype=bool)
        positions, visible = [here[:, 0]], [alive]
        for last, now in pairwise(frames):
            there, found = self._flow(last, now, here)
            back, returned = self._flow(now, last, there)
            near = np.linalg.norm((back - here)[:, 0], axis=1) <= self.tolerance
            inside = ((there[:, 0] >= 0) & (there[:, 0] < (width, height))).all(axis=1)
            here, alive = there, alive & found & returned & near & inside
            positions.append(here[:, 0])
            visible.append(alive)
        return PointTracks(np.stack(positions), np.stack(visible))

    def _flow(
        self, last: np.ndarray, now: np.ndarray, points: Float[np.ndarray, "q 1 2"]
    ) -> tuple[Float[np.ndarray, "q 1 2"], Bool[np.ndarray, " q"]]:
        window = (self.window, self.window)
        # OpenCV's stub does not know that the initial guess may be absent.
        moved, found, _ = cv2.calcOpticalFlowPyrLK(last, now, points, None, winSize=window, maxLevel=self.levels)  # type: ignore[call-overload]
        return moved, found[:, 0].astype(bool)


def _gray(frame: Float[Tensor, "3 H W"]) -> np.ndarray:
    rgb = (frame.detach() * 255).round_().clamp_(0, 255).byte().permute(1, 2, 0).contiguous().cpu().numpy()
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


@dataclass(frozen=True)
class CoTracker3(PointTracker):
    """CoTracker3 offline (Karaev et al., 2024, arXiv:2410.11831), code and weights as published by its authors.

    `clone` is a checkout of facebookresearch/co-tracker and `checkpoint` its ``scaled_offline.pth``; each is fetched
    through torch.hub where it is None. Raises `InputError` when neither can be had.
    """

    clone: str | None = None
    checkpoint: str | None = None

    def track(self, clip: Float[Tensor, "n 3 H W"], queries: Float[np.ndarray, "q 2"]) -> PointTracks:
        model = _cotracker3(self.clone, self.checkpoint, str(clip.device))
        points = torch.from_numpy(queries.astype(np.float32)).to(clip.device)
        on_first = torch.cat([torch.zeros_like(points[:, :1]), points], dim=1)
        with torch.no_grad():
            positions, visible = model(clip[None].float() * 255, queries=on_first[None])
        return PointTracks(positions[0].float().cpu().numpy(), visible[0].bool().cpu().numpy())


@lru_cache(maxsize=1)
def _cotracker3(clone: str | None, checkpoint: str | None, device: str) -> torch.nn.Module:
    for name, path in (("clone", clone), ("checkpoint", checkpoint)):
        if path is not None and not Path(path).exists():
            raise InputError(f"CoTracker3: no {name} at {path}; give a path that exists, or null to fetch it")
    source, place = ("github", "facebookresearch/co-tracker") if clone is None else ("local", clone)
    try:
        predictor = torch.hub.load(place, "cotracker3_offline", source=source, trust_repo=True, pretrained=False)
        if checkpoint is None:
            weights = torch.hub.load_state_dict_from_url(_COTRACKER3_WEIGHTS, map_location="cpu", weights_only=True)
        else:
            weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
        predictor.model.load_state_dict(weights.get("model", weights))
    except (OSError, EOFError, ImportError, RuntimeError, UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"CoTracker3 could not be loaded ({reason}); set clone to a checkout of facebookresearch/co-tracker and "
            "checkpoint to its scaled_offline.pth, or use motion.components.point_trackers.LucasKanade"
        ) from error
    return predictor.eval().to(device)
