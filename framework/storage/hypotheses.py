"""All masks that the network proposed for an object on a frame, as they are kept on disk when asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from framework.storage.mask_rle import encode_mask
from framework.types import Size, Track, upsample


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One of them."""

    mask: str
    """COCO run-length counts, at video size."""
    predicted_iou: float
    score: float
    """What selectors go by: predicted IoU, fused with the motion model's agreement where there is any."""


def hypotheses(track: Track, size: Size) -> tuple[Hypothesis, ...]:
    """Of the row that is shown, in the network's order; none for a track that was revised in hindsight."""
    if track.candidates is None:
        return ()
    masks = (upsample(track.candidates.logits[0], size) > 0).cpu().numpy()
    iou = tuple(track.candidates.iou[0].tolist())
    scores = iou if track.cue is None else track.cue.fuse(iou)
    return tuple(Hypothesis(encode_mask(mask), *values) for mask, *values in zip(masks, iou, scores, strict=True))


def to_json(found: Iterable[Hypothesis]) -> list[dict[str, Any]]:
    """As they are written."""
    return [asdict(one) for one in found]


def from_json(plain: Iterable[Mapping[str, Any]]) -> tuple[Hypothesis, ...]:
    """Inverse of `to_json`."""
    return tuple(Hypothesis(**one) for one in plain)
