"""Rows of one frame: batching the equal-sized, computing the identical once.

A row is one branch of one object of one tracker. Its prediction depends only on its request, so rows that read the same
memories the same way share one prediction, and picks of the same mask share one memory and one entry.
"""

import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.errors import InputError
from framework.interfaces import Network
from framework.masks import area_and_box, fill_holes
from framework.types import Box, Candidates, Entry, Features, FrameEncoder, Opaque, Prompt, Read, Scores


@dataclass(frozen=True, slots=True, eq=False)
class RowPrediction:
    """What the network said."""

    candidates: Candidates
    """One row, on the network's device."""
    conditioned: Float[Tensor, "1 C y x"] | None = None
    """Image features after memory, as tracked with (or corrected); None under a prompt alone."""
    attention: Float[Tensor, "items y x"] | None = None
    seconds: float = 0.0
    """Its share of the time that its batch took, or of the time to queue it on a device."""


@dataclass(frozen=True, slots=True, eq=False)
class HostPrediction:
    """A prediction as a tracker sees it: holes filled, numbers on the host."""

    prediction: RowPrediction
    shown: Float[Tensor, "M h w"]
    candidates: Candidates
    """One row; `iou` and `presence` on the host."""
    areas: tuple[int, ...]
    """Foreground cells of each shown mask."""
    boxes: tuple[Box | None, ...]
    """Around each shown mask, in video pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """What a prompt corrects: a mask that the same frame has already."""

    previous: Float[Tensor, "1 h w"]
    """Its logits, as shown."""
    conditioned: Float[Tensor, "1 C y x"] | None
    """Image features after memory, as it was tracked with; None where it was prompted."""
    identity: Hashable
    """Equal for corrections of the same mask."""

    @classmethod
    def of(cls, host: HostPrediction, mask: int) -> "Correction":
        return cls(host.shown[mask][None], host.prediction.conditioned, (host, mask))


@dataclass(frozen=True, slots=True, eq=False)
class RowRequest:
    """What one row asks of the network: a mask under a memory, or under a prompt."""

    read: Read = Read()
    presence_threshold: float = 0.0
    measured: bool = False
    prompt: Prompt | None = None
    correction: Correction | None = None

    def identity(self) -> Hashable:
        """Equal for requests that must have the same prediction."""
        if self.prompt is not None:
            return id(self.prompt), self.correction and self.correction.identity
        read = self.read
        return (
            tuple((id(entry.features), slot) for entry, slot in read.spatial),
            tuple((id(entry.pointer), ago) for entry, ago in read.pointers),
            read.pointer_span if read.pointers else None,
            _weights_identity(read.gain),
            _weights_identity(read.bias),
            self.presence_threshold,
            self.measured,
        )

    def shape(self) -> Hashable:
        """Equal for requests that fit in one batch."""
        if self.prompt is not None:
            return "prompt", self.correction is None, self.correction and self.correction.conditioned is None
        read = self.read
        return len(read.spatial), len(read.pointers), read.gain is None, read.bias is None, self.measured


def _weights_identity(weights: Tensor | None) -> Hashable:
    """By value where that costs neither a transfer nor a gradient, else by object."""
    if weights is None:
        return None
    return id(weights) if weights.requires_grad or weights.device.type != "cpu" else tuple(weights.tolist())


# ------------------------------------------------------------------------------------------------------- predictions


def predict_rows(
    network: Network, features: Features, requests: Sequence[RowRequest]
) -> tuple[list[RowPrediction], int]:
    """One prediction per request (the same object for identical ones), and how many rows were computed."""
    identities = [request.identity() for request in requests]
    distinct = dict(zip(identities, requests, strict=True))
    batches: dict[Hashable, list[Hashable]] = {}
    for identity, request in distinct.items():
        batches.setdefault(request.shape(), []).append(identity)
    predictions: dict[Hashable, RowPrediction] = {}
    for batch in batches.values():
        began = time.perf_counter()
        predicted = _predict_batch(network, features, [distinct[identity] for identity in batch])
        each = (time.perf_counter() - began) / len(batch)
        predictions.update(zip(batch, (replace(one, seconds=each) for one in predicted), strict=True))
    return [predictions[identity] for identity in identities], len(distinct)


def _predict_batch(network: Network, features: Features, requests: Sequence[RowRequest]) -> list[RowPrediction]:
    """Predictions for distinct requests of one shape."""
    rows = range(len(requests))
    prompts = [request.prompt for request in requests if request.prompt is not None]
    if prompts:
        prompted = _prompt_batch(network, features, prompts, [request.correction for request in requests])
        conditioned = [None if one is None else one.conditioned for one in (request.correction for request in requests)]
        return [RowPrediction(prompted.row(row), conditioned[row]) for row in rows]
    reads, attentions = [request.read for request in requests], None
    if requests[0].measured:
        tracked, attentions = network.measure(features, reads)
    else:
        tracked = network.condition(features, reads)
    thresholds = torch.tensor([request.presence_threshold for request in requests])
    candidates = network.decode(features, tracked, thresholds)
    return [
        RowPrediction(candidates.row(row), tracked[row : row + 1], None if attentions is None else attentions[row])
        for row in rows
    ]


def _prompt_batch(
    network: Network, features: Features, prompts: Sequence[Prompt], corrections: Sequence[Correction | None]
) -> Candidates:
    """Prompts that all start afresh, all correct what was prompted, or all correct what was tracked."""
    corrected = [correction for correction in corrections if correction is not None]
    if not corrected:
        return network.prompt(features, prompts)
    conditioned = [one.conditioned for one in corrected if one.conditioned is not None]
    previous = torch.cat([one.previous for one in corrected])
    return network.prompt(features, prompts, torch.cat(conditioned) if conditioned else None, previous)


def to_host(predictions: Iterable[tuple[RowPrediction, int]], features: Features) -> list[HostPrediction]:
    """(prediction, hole area to fill) -> as trackers see it, on the frame of `features`.

    All numbers come over in one transfer; equal pairs give one object. Raises InputError when the network says NaN.
    """
    pairs = list(predictions)
    if not pairs:
        return []
    wanted = list(dict.fromkeys(pairs))
    shown = [fill_holes(prediction.candidates.logits[0], area) for prediction, area in wanted]
    measured = area_and_box(torch.cat(shown))
    iou = torch.cat([prediction.candidates.iou[0] for prediction, _ in wanted]).detach().float()
    presence = torch.cat([prediction.candidates.presence for prediction, _ in wanted]).detach().float()
    pointers = torch.cat([prediction.candidates.pointers[0] for prediction, _ in wanted])
    unknown = (torch.cat(shown).isnan().any() | pointers.isnan().any()).float()[None]
    transferred = torch.cat([torch.cat([iou[:, None], measured], dim=1).flatten(), presence, unknown]).cpu()
    if transferred.isnan().any() or transferred[-1]:
        raise InputError(
            f"the network gives NaN on frame {features.query.frame}: damaged weights, or a dtype too small for them; "
            "give another backbone.checkpoint, or backbone.dtype=float32"
        )
    numbers, presences = transferred[: 6 * len(iou)].reshape(-1, 6), transferred[6 * len(iou) : -1]
    size = features.video_size
    sy, sx = size[0] / shown[0].shape[-2], size[1] / shown[0].shape[-1]
    hosts: dict[tuple[RowPrediction, int], HostPrediction] = {}
    at = 0
    for index, (pair, masks) in enumerate(zip(wanted, shown, strict=True)):
        rows = numbers[at : at + len(masks)]
        at += len(masks)
        given = pair[0].candidates
        candidates = Candidates(given.logits, rows[None, :, 0], given.pointers, presences[index : index + 1])
        boxes = [(x0 * sx, y0 * sy, x1 * sx, y1 * sy) if n else None for n, x0, y0, x1, y1 in rows[:, 1:].tolist()]
        areas = tuple(int(area) for area in rows[:, 1].tolist())
        hosts[pair] = HostPrediction(pair[0], masks, candidates, areas, tuple(boxes))
    return [hosts[pair] for pair in pairs]


# ---------------------------------------------------------------------------------------------------------- memories


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """A mask that was picked and is about to be remembered."""

    host: HostPrediction
    mask: int
    motion: float | None
    """Agreement with the motion model."""
    as_shown: bool
    """Prompts and corrections are remembered as shown, tracked masks as predicted."""
    binarised: bool
    """Of a mask that is remembered as shown: as 0 and 1, or else as probabilities, like those that are tracked."""
    prompted: bool
    """What the policy is told."""

    def identity(self) -> Hashable:
        """Equal for observations with the same memory."""
        return (self.host if self.as_shown else self.host.prediction), self.mask, self.as_shown, self.binarised

    def shown_identity(self) -> Hashable:
        """Equal for observations with the same memory that are also shown alike."""
        return self.host, self.mask, self.as_shown, self.binarised

    def logits(self) -> Float[Tensor, "h w"]:
        """The mask the memory is made from."""
        return (self.host.shown if self.as_shown else self.host.prediction.candidates.logits[0])[self.mask]

    def scores(self) -> Scores:
        seen = self.host.candidates
        return Scores(
            iou=float(seen.iou[0, self.mask]),
            presence=float(seen.presence[0]),
            motion=self.motion,
            area=self.host.areas[self.mask],
            prompted=self.prompted,
        )


class MaskEncoder:
    """Memories of other masks of a frame, as if they had been prompts; each mask (by identity) is encoded once."""

    def __init__(self, network: Network, features: Features) -> None:
        self._network, self._features = network, features
        self._encoded: dict[int, tuple[Tensor, Tensor, Opaque]] = {}

    def __call__(self, mask: Bool[Tensor, "Hv Wv"]) -> tuple[Float[Tensor, " C"], Opaque]:
        """Pointer and memory."""
        if id(mask) not in self._encoded:
            prompted = self._network.prompt(self._features, [Prompt(mask=mask.cpu().numpy())])
            (memory,) = self._network.memorise(
                self._features, prompted.logits[:, 0], prompted.presence, torch.tensor([True])
            )
            self._encoded[id(mask)] = (
                mask,
                prompted.pointers[0, 0].clone(),
                memory,
            )  # with the mask, whose id stays its own
        _, pointer, memory = self._encoded[id(mask)]
        return pointer, memory

    def __len__(self) -> int:
        return len(self._encoded)


@dataclass(frozen=True, slots=True, eq=False)
class Memorised:
    """What becomes of the picks of one frame, before the policies' writes."""

    entries: tuple[Entry, ...]
    """One per observation, the same object for equal ones."""
    encoded: int
    """Memories that were encoded."""
    masks: MaskEncoder

    def end(self) -> int:
        """Ends the writes: no entry can be encoded again. Says how many re-encodings they asked for."""
        encoders = {entry.encoder for entry in self.entries if entry.encoder is not None}
        return sum(encoder.end() for encoder in encoders) + len(self.masks)


def memorise(network: Network, features: Features, observations: Sequence[Observation]) -> Memorised:
    """Entries of all observations; their memories are encoded in one batch. `end` is to be called after the writes."""
    memories = _encode(network, features, observations)
    masks = MaskEncoder(network, features)
    shown = {observation.shown_identity(): observation for observation in observations}
    encoders = {at: _frame_encoder(network, features, seen, memories, masks) for at, seen in shown.items()}
    return Memorised(_entries(features.query.frame, observations, memories, encoders), len(memories), masks)


def _encode(network: Network, features: Features, observations: Sequence[Observation]) -> dict[Hashable, Opaque]:
    """Memory features by identity of the observation."""
    distinct = {observation.identity(): observation for observation in observations}
    if not distinct:
        return {}
    encoded = network.memorise(
        features,
        torch.stack([observation.logits() for observation in distinct.values()]),
        torch.cat([observation.host.prediction.candidates.presence for observation in distinct.values()]),
        torch.tensor([observation.binarised for observation in distinct.values()]),
    )
    return dict(zip(distinct, encoded, strict=True))


def _frame_encoder(
    network: Network,
    features: Features,
    seen: Observation,
    memories: Mapping[Hashable, Opaque],
    masks: MaskEncoder,
) -> FrameEncoder:
    """Encodes the mask again as shown and binarised, which is what a prompt's memory is already."""
    if seen.binarised:
        return FrameEncoder(lambda: memories[seen.identity()], masks)
    presence, shown = seen.host.prediction.candidates.presence, seen.host.shown[seen.mask][None]
    return FrameEncoder(lambda: network.memorise(features, shown, presence, torch.tensor([True]))[0], masks)


def _entries(
    frame: int,
    observations: Sequence[Observation],
    memories: Mapping[Hashable, Opaque],
    encoders: Mapping[Hashable, FrameEncoder],
) -> tuple[Entry, ...]:
    """One per observation; those with one prediction share its pointer, those with one score the entry, too."""
    pointers: dict[Hashable, Tensor] = {}
    entries: dict[Hashable, Entry] = {}
    found = []
    for seen in observations:
        prediction, encoder, scores = seen.host.prediction, encoders[seen.shown_identity()], seen.scores()
        if (prediction, seen.mask) not in pointers:  # a copy, which does not keep the batch
            pointers[prediction, seen.mask] = prediction.candidates.pointers[0, seen.mask].clone()
        pointer = pointers[prediction, seen.mask]
        entry = Entry(frame, pointer, memories[seen.identity()], scores, encoder)
        found.append(entries.setdefault((encoder, scores), entry))
    return tuple(found)
