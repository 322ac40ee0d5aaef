"""The nouns of one tracking step. Every value is frozen; nothing here knows a network, a policy or a paper.

Axis letters used in every shape of the project:

====  =====================================================================================
R     rows: one per object and branch, of every tracker in the batch
M     masks (hypotheses) per row: 3 when tracking, 1 when prompted
C     width of an object pointer and of the image embedding
S, P  spatial memories and object pointers in one `Read`; items = S + P
h w   mask-logit grid: four cells per token, each way (for SAM2 input / 4)
y x   token grid of the image embedding: input / the network's stride (16 for SAM2, 14 for SAM3)
H W   network input in pixels; ``Hv Wv`` video frame in pixels
====  =====================================================================================
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from operator import eq, ge, gt, le, lt
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

ANCHOR = -1
"""Temporal slot of prompted and anchor memories. Slot 0 is the newest frame, slot 1 the one before, ..."""

IMAGE_MEAN, IMAGE_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of red, green and blue from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How RGB from 0 to 1 becomes a network's input: less `mean`, over `deviation` (ImageNet's by default)."""

    mean: tuple[float, float, float] = IMAGE_MEAN
    deviation: tuple[float, float, float] = IMAGE_DEVIATION

    def apply(self, rgb: Float[Tensor, "*n 3 H W"]) -> Float[Tensor, "*n 3 H W"]:
        mean, deviation = self._on(rgb)
        return (rgb - mean) / deviation

    def undo(self, image: Float[Tensor, "*n 3 H W"]) -> Float[Tensor, "*n 3 H W"]:
        mean, deviation = self._on(image)
        return torch.addcmul(mean, image, deviation)

    def _on(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return image.new_tensor(self.mean)[:, None, None], image.new_tensor(self.deviation)[:, None, None]


ABSENT_LOGIT = -1024.0
"""Mask logit written everywhere when the network says that the object is not in the frame."""

FrameNumber = Annotated[int, "the number of a video frame"]
"""An absolute one, which moves with the numbering of a video (`framework.state.rebased`)."""

Opaque = Any
"""Memory features as the network encoded them. Only the network looks inside."""

Box = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax in video pixels; xmax and ymax are exclusive edges, so width = xmax - xmin."""

Size = tuple[int, int]
"""Height, width in pixels."""


def upsample(logits: Float[Tensor, "*n h w"], size: Size) -> Float[Tensor, "*n Hv Wv"]:
    """Mask logits on another grid: bilinear, corners not aligned (how SAM2 shows its low-resolution masks)."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    flat = logits.reshape(-1, 1, *logits.shape[-2:])
    return F.interpolate(flat, size=size, mode="bilinear", align_corners=False).reshape(*logits.shape[:-2], *size)


@dataclass(frozen=True, slots=True)
class Query:
    """What a policy may know of the frame that is about to be tracked."""

    frame: int
    embedding: Float[Tensor, "C y x"]
    """Image features before any memory."""
    length: int | None
    """Frames of the whole video; None when streaming."""
    max_anchors: int | None = None
    """Prompted frames that the network reads at most, unless the policy says how many; None: all."""


@dataclass(frozen=True, slots=True)
class Features:
    """One encoded frame, shared by every tracker, object and branch."""

    query: Query
    image: Float[Tensor, "3 H W"]
    """Network input: RGB from 0 to 1 after `normalisation`."""
    private: Any
    """The network's own pyramid; nobody else looks inside."""
    size: Size | None = None
    """Video frame in pixels; None when the video has the size of the network input."""
    normalisation: Normalisation = Normalisation()
    """The network's, so that whoever looks at colours can undo it."""

    @property
    def video_size(self) -> Size:
        return self.size or (self.image.shape[-2], self.image.shape[-1])


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Candidates:
    """What the network proposes for each row, with absent rows already set to `ABSENT_LOGIT`."""

    logits: Float[Tensor, "R M h w"]
    iou: Float[Tensor, "R M"]
    """Predicted IoU, 0..1."""
    pointers: Float[Tensor, "R M C"]
    presence: Float[Tensor, " R"]
    """Object-score logit; the object is taken to be visible above the tracker's threshold."""

    def row(self, index: int) -> "Candidates":
        """One row, R = 1."""
        at = slice(index, index + 1)
        return Candidates(self.logits[at], self.iou[at], self.pointers[at], self.presence[at])


@dataclass(frozen=True, slots=True)
class Scores:
    """Plain numbers about one remembered observation; safe to keep for ever."""

    iou: float
    """Predicted IoU of the chosen mask, 0..1."""
    presence: float
    """Object-score logit."""
    motion: float | None
    """Agreement of the chosen mask with the motion model, 0..1; None when the model abstained."""
    area: int
    """Foreground cells of the chosen mask on the mask-logit grid."""
    prompted: bool


class FrameEncoder:
    """Lets one `write` ask the network for other encodings of the entry it receives, and ends with that write."""

    __slots__ = ("_as_prompt", "_mask", "_prompted")

    def __init__(self, as_prompt: Callable[[], Opaque], mask: Callable[[Tensor], tuple[Tensor, Opaque]]) -> None:
        self._as_prompt: Callable[[], Opaque] | None = as_prompt
        self._mask: Callable[[Tensor], tuple[Tensor, Opaque]] | None = mask
        self._prompted: Opaque | None = None

    def encode_as_prompt(self) -> Opaque:
        """The re-encoded memory; made once however many policies ask."""
        if self._as_prompt is None:
            raise RuntimeError("Entry.encode_as_prompt() may only be called inside the write that receives the entry")
        if self._prompted is None:
            self._prompted = self._as_prompt()
        return self._prompted

    def encode_mask(self, mask: Bool[Tensor, "Hv Wv"]) -> tuple[Float[Tensor, " C"], Opaque]:
        """Pointer and memory of another mask; made once per frame and mask (by identity) however many ask."""
        if self._mask is None:
            raise RuntimeError("Entry.encode_mask() may only be called inside the write that receives the entry")
        return self._mask(mask)

    def end(self) -> bool:
        """Releases the frame's image features; says whether the memory was re-encoded as a prompt's."""
        made = self._prompted is not None
        self._as_prompt = self._mask = self._prompted = None
        return made


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One remembered observation of one object. Compared by identity."""

    frame: FrameNumber
    pointer: Float[Tensor, " C"]
    features: Opaque | None
    scores: Scores
    encoder: FrameEncoder | None = field(default=None, repr=False)

    def pointer_only(self) -> "Entry":
        """Without the spatial memory: kept for its pointer alone."""
        return replace(self, features=None, encoder=None)

    def encode_as_prompt(self) -> "Entry":
        """The same observation, encoded as if its (binarised) mask had been a prompt.

        Only inside the `write` that receives the entry.
        """
        if self.encoder is None:
            raise RuntimeError(f"the entry of frame {self.frame} holds no frame to encode again")
        return replace(self, features=self.encoder.encode_as_prompt(), encoder=None)

    def encode_mask(self, mask: Bool[Tensor, "Hv Wv"]) -> "Entry":
        """The same observation with the memory and the pointer that a prompt of `mask` (at video size) would have left.

        Its scores stay those of the mask that was tracked. Only inside the `write` that receives the entry.
        """
        if self.encoder is None:
            raise RuntimeError(f"the entry of frame {self.frame} holds no frame to encode again")
        pointer, features = self.encoder.encode_mask(mask)
        return replace(self, pointer=pointer, features=features, encoder=None)


@dataclass(frozen=True, slots=True)
class Read:
    """What one row attends to. The order is the order in attention."""

    spatial: tuple[tuple[Entry, int], ...] = ()
    """(entry, temporal slot)"""
    pointers: tuple[tuple[Entry, int], ...] = ()
    """(entry, frames ago); the distance may be a rank where a method counts so."""
    pointer_span: int = 15
    """Frames by which pointer distances are divided; 0, where only prompts lend theirs, counts as 1."""
    gain: Float[Tensor, " items"] | None = None
    """Scales an item's keys; None leaves them untouched."""
    bias: Float[Tensor, " items"] | None = None
    """Added to an item's attention logits; None leaves them untouched."""

    def __post_init__(self) -> None:
        items = len(self.spatial) + len(self.pointers)
        for name, weights in (("gain", self.gain), ("bias", self.bias)):
            if weights is not None and len(weights) != items:
                raise ValueError(f"a read of {items} memories and pointers has a {name} for {len(weights)}")
        for name, part in (("spatial", self.spatial), ("pointers", self.pointers)):
            if len({id(entry) for entry, _ in part}) < len(part):
                frames = [entry.frame for entry, _ in part]
                raise ValueError(f"a read has an entry twice in {name}, which are of frames {frames}: give each once")
        for entry, _ in self.spatial:
            if entry.features is None:
                raise ValueError(f"the entry of frame {entry.frame} was kept for its pointer only: it has no memory")

    def biased(self, bias: Float[Tensor, " items"]) -> "Read":
        """With `bias` on top of its own."""
        return replace(self, bias=bias if self.bias is None else self.bias + bias.to(self.bias))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row on one frame. Lives for that frame only."""

    frame: int
    candidates: Candidates
    """One row; `iou` and `presence` are on the host, so reading them costs no transfer."""
    choice: int
    """Index of the chosen mask."""
    box: Box | None
    """Around the chosen mask, to the resolution of the mask-logit grid; None when it is empty."""
    scores: Scores
    size: Size
    """Video frame in pixels."""
    truth: Bool[Tensor, "Hv Wv"] | None = None
    """True mask; only for privileged policies."""
    read: Read = Read()
    """What it attended to; nothing under a prompt."""
    attention: Float[Tensor, "items y x"] | None = None
    """Share of each image token's attention that each item of `read` received; only for policies that measure it."""
    shown: Float[Tensor, "h w"] | None = None
    """Chosen logits after hole filling; None when nothing was filled."""
    embedding: Float[Tensor, "C y x"] = field(kw_only=True)
    """Image features of the frame before any memory, as in `Query`: what the object looks like."""
    features: Features | None = field(default=None, kw_only=True, repr=False)
    """The frame as the network was shown it, for what looks at colours."""
    compare: Callable[[Opaque, Sequence[Opaque]], Tensor] | None = field(default=None, kw_only=True, repr=False)
    """The network's `similarity`."""

    def similarity(self, entry: Entry, others: Sequence[Entry]) -> tuple[float, ...]:
        """Cosine of the memory of `entry` with those of others, -1..1, in one transfer; all have their memory."""
        if self.compare is None:
            raise RuntimeError("this outcome was made without a network: it compares no memories")
        return tuple(self.compare(entry.features, [other.features for other in others]).tolist())

    @property
    def logits(self) -> Float[Tensor, "h w"]:
        """Logits of the chosen mask as they are shown."""
        return self.candidates.logits[0, self.choice] if self.shown is None else self.shown

    @property
    def reading(self) -> Float[Tensor, " items"] | None:
        """Share of all attention that each item of `read` received, summing to 1."""
        return None if self.attention is None else self.attention.mean(dim=(1, 2))

    def mask(self, size: Size | None = None) -> Bool[Tensor, "Hv Wv"]:
        """Chosen mask at `size` (the video's by default)."""
        return upsample(self.logits, size or self.size) > 0

    def masks(self, size: Size | None = None) -> Bool[Tensor, "M Hv Wv"]:
        """All hypotheses at `size` (the video's by default)."""
        return upsample(self.candidates.logits[0], size or self.size) > 0


@dataclass(frozen=True, slots=True)
class Cue:
    """What a motion model thinks of each hypothesis: fused score = (1 - weight) * iou + weight * agreement."""

    agreement: tuple[float, ...]
    """One per mask, 0..1."""
    weight: float
    reported: tuple[float | None, ...] | None = None
    """What `Scores.motion` remembers of each mask, where that is not the agreement itself."""

    def remembered(self, mask: int) -> float | None:
        """Becomes `Scores.motion` of this mask."""
        return self.agreement[mask] if self.reported is None else self.reported[mask]

    def fuse(self, iou: tuple[float, ...]) -> tuple[float, ...]:
        """Fused scores; the IoU term is rounded to float32, in which the network speaks."""
        share = np.float32(1.0 - self.weight)
        return tuple(float(share * np.float32(q)) + self.weight * a for q, a in zip(iou, self.agreement, strict=True))


@dataclass(frozen=True, slots=True)
class Pick:
    """One mask of one row that lives on as a branch."""

    row: int
    mask: int
    total: float
    """Running total of the branch."""
    motion: float | None
    """Agreement of this mask; None when the motion model abstained."""


def _binary(mask: np.ndarray) -> np.ndarray:
    """A mask as bool. Raises ValueError for one that is no picture of two values."""
    if mask.ndim != 2:
        raise ValueError(f"a prompt's mask has a height and a width; this one has the shape {mask.shape}")
    if mask.dtype == bool:
        return mask
    values = np.unique(mask)
    if len(values) > 2 or (len(values) == 2 and 0 not in values) or not np.isfinite(values.astype(float)).all():
        some = ", ".join(f"{value:g}" for value in values[:3])
        raise ValueError(f"a prompt's mask is bool, or 0 and one other value; this one holds {some} ...: threshold it")
    return mask != 0


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """Where an object is on one frame. Exactly one of mask, box or points (a box may carry points too).

    Identical prompts (the same object) are encoded once for all trackers in lockstep.
    """

    mask: Shaped[np.ndarray, "Hv Wv"] | None = None
    """Bool; another array of two values, of which 0 is one (such as 0 and 255), is cast."""
    box: Box | None = None
    points: tuple[tuple[float, float], ...] = ()
    """(x, y) in video pixels."""
    labels: tuple[int, ...] = ()
    """1 inside the object, 0 outside; one per point."""
    refine: bool = False
    """Correct what was just tracked on this frame, instead of starting from the image alone."""

    def __post_init__(self) -> None:
        if (self.mask is not None) + (self.box is not None or bool(self.points)) != 1:
            raise ValueError("a prompt is a mask, or a box and/or points")
        if self.mask is not None:
            object.__setattr__(self, "mask", _binary(self.mask))
        if len(self.points) != len(self.labels) or not set(self.labels) <= {0, 1}:
            raise ValueError("a prompt needs one label (1 inside, 0 outside) per point")


def in_turn(prompts: Prompt | Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Prompts of one object on one frame, in order: each that refines corrects what the one before it showed.

    One that does not refine starts afresh, so what comes before it is left out. Every prompt is all that the network is
    given in its turn: name earlier points again to keep them. Raises ValueError without a prompt.
    """
    given = (prompts,) if isinstance(prompts, Prompt) else tuple(prompts)
    if not given:
        raise ValueError("an object is prompted with nothing: give a prompt, or leave the object out")
    start = max((index for index, prompt in enumerate(given) if not prompt.refine), default=0)
    return given[start:]


Image = UInt8[np.ndarray, "Hv Wv 3"] | Float[Tensor, "3 H W"]
"""RGB video frame, or a network input that is already resized and normalised."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame as it enters the loop. Object ids are the caller's."""

    image: Image
    prompts: Mapping[int, Prompt | Sequence[Prompt]] = field(default_factory=dict)
    """One per object, or several in turn (`in_turn`)."""
    removed: frozenset[int] = frozenset()
    """Objects that are no longer tracked from this frame on, unless a prompt on it starts them afresh."""
    truth: Mapping[int, Bool[Tensor, "Hv Wv"]] = field(default_factory=dict)
    """True masks; reach privileged policies only."""


Relation = Literal[">", ">=", "<", "<=", "=="]
_RELATIONS: Mapping[str, Callable[[float, float], bool]] = {">": gt, ">=": ge, "<": lt, "<=": le, "==": eq}


@dataclass(frozen=True, slots=True)
class Reason:
    """A number that a policy decided by on a frame, and what it was compared with."""

    decision: str
    """What it speaks for where it holds, in the policy's own words: `remember`, `anchor` ..."""
    name: str
    value: int | float
    relation: Relation
    threshold: int | float
    frame: FrameNumber | None = None
    """Of the memory that it is about; None for the frame itself."""

    @property
    def holds(self) -> bool:
        return _RELATIONS[self.relation](self.value, self.threshold)


def all_hold(reasons: Sequence[Reason]) -> bool:
    """Whether the numbers speak for the decision, every one."""
    return all(reason.holds for reason in reasons)


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What memory held, what was read and what was decided on one frame, as numbers; safe to keep for ever."""

    spatial: tuple[tuple[int, int], ...] = ()
    """(frame, temporal slot) in attention order."""
    pointers: tuple[tuple[int, int], ...] = ()
    """(frame, frames ago) in attention order."""
    held: tuple[int, ...] = ()
    """Frames of all entries held after the frame."""
    gain: tuple[float, ...] = ()
    """`Read.gain` by item, spatial memories first; empty where it was None."""
    bias: tuple[float | None, ...] = ()
    """`Read.bias` likewise; None for minus infinity, which leaves the item unread."""
    attention: tuple[float, ...] = ()
    """Share of all attention that each item received; empty where it was not measured."""
    reasons: tuple[Reason, ...] = ()
    """What the policy decided by."""

    @classmethod
    def after(
        cls, read: Read, held: Sequence[Entry], attention: Tensor | None = None, reasons: Sequence[Reason] = ()
    ) -> "MemoryUse":
        """Of a frame that was written. A bound at infinity decides nothing and is left out."""
        bias = [] if read.bias is None else read.bias.tolist()
        return cls(
            tuple((entry.frame, slot) for entry, slot in read.spatial),
            tuple((entry.frame, ago) for entry, ago in read.pointers),
            tuple(entry.frame for entry in held),
            () if read.gain is None else tuple(read.gain.tolist()),
            tuple(value if isfinite(value) else None for value in bias),
            () if attention is None else tuple(attention.tolist()),
            tuple(reason for reason in reasons if isfinite(reason.value) and isfinite(reason.threshold)),
        )

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "MemoryUse":
        """Of the lists that JSON makes of it; weights, attention and reasons may be missing."""
        spatial, pointers = (
            tuple((frame, number) for frame, number in plain[name]) for name in ("spatial", "pointers")
        )
        gain, bias, attention = (tuple(plain.get(name, ())) for name in ("gain", "bias", "attention"))
        reasons = tuple(Reason(**reason) for reason in plain.get("reasons", ()))
        return cls(spatial, pointers, tuple(plain["held"]), gain, bias, attention, reasons)

    def renumbered(self, number: Callable[[int], int]) -> "MemoryUse":
        """With other numbers of the same frames."""
        spatial, pointers = (
            tuple((number(frame), place) for frame, place in those) for those in (self.spatial, self.pointers)
        )
        reasons = tuple(
            reason if reason.frame is None else replace(reason, frame=number(reason.frame)) for reason in self.reasons
        )
        return replace(self, spatial=spatial, pointers=pointers, held=tuple(map(number, self.held)), reasons=reasons)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One object on one frame."""

    logits: Float[Tensor, "h w"]
    """Of the chosen mask, as shown."""
    scores: Scores
    choice: int
    box: Box | None
    candidates: Candidates | None
    """One row, on the network's device; what losses are made of. None in tracks kept for hindsight."""
    memory: MemoryUse
    cue: Cue | None = None
    """What the motion model thought of the candidates; None when it abstained, and where those are."""

    def mask(self, size: Size) -> Bool[Tensor, "Hv Wv"]:
        """At video size."""
        return upsample(self.logits, size) > 0


@dataclass(frozen=True, slots=True)
class Work:
    """What one frame cost, for all trackers in lockstep together."""

    encodings: int = 0
    rows_asked: int = 0
    """Rows that the trackers asked for."""
    rows_computed: int = 0
    """Rows left after identical ones were merged."""
    memories: int = 0
    """Memory encodings, re-encodings included."""
    transfers: int = 0
    """Device-to-host transfers made by the loop."""

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


@dataclass(frozen=True, slots=True)
class TrackerCost:
    """What one frame cost one tracker of a lockstep, by the host's clock.

    What several trackers asked for counts for each of them in full, and as a share, so that shares add up to what was
    spent. The predictions of one batch count equally.
    """

    decisions: float = 0.0
    """Seconds in its memory policy, motion model and selector, with the encodings that these ask for."""
    predictions: float = 0.0
    """Seconds for all predictions that it asked for."""
    predictions_shared: float = 0.0
    memories: float = 0.0
    """Memory encodings of the masks that it chose."""
    memories_shared: float = 0.0

    def __add__(self, other: "TrackerCost") -> "TrackerCost":
        return TrackerCost(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What one tracker says of one frame."""

    frame: int
    size: Size
    tracks: Mapping[int, Track]
    """By object id, the object added first to begin with."""
    work: Work
    cost: TrackerCost = TrackerCost()
    exclusive: bool = False
    """Objects may not overlap: a pixel goes to the highest logit, and of equal ones to the object added first."""

    def masks(self) -> dict[int, Bool[Tensor, "Hv Wv"]]:
        """Mask of every object at video size."""
        if not self.tracks:
            return {}
        logits = torch.stack([upsample(track.logits, self.size) for track in self.tracks.values()])
        masks = logits > 0
        if self.exclusive:
            masks &= torch.arange(len(logits), device=logits.device)[:, None, None] == logits.argmax(dim=0)
        return dict(zip(self.tracks, masks, strict=True))
