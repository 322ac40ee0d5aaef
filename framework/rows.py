"""Rows of one frame: batching the equal-sized, computing the identical once.

A row is one branch of one object of one tracker. Its answer depends only on what it asks, so rows that read the same
memories the same way share one answer, and picks of the same mask share one memory and one entry.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.interfaces import Network
from framework.masks import area_and_box, fill_holes
from framework.types import Box, Candidates, Entry, Features, FrameEncoder, Opaque, Prompt, Read, Scores, Size


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """What a prompt on a tracked frame corrects."""

    conditioned: Float[Tensor, "1 C y x"]
    previous: Float[Tensor, "1 h w"]


@dataclass(frozen=True, slots=True, eq=False)
class RowRequest:
    """What one row asks of the network: a mask under a memory, or under a prompt."""

    read: Read = Read()
    presence_threshold: float = 0.0
    measured: bool = False
    prompt: Prompt | None = None
    correction: Correction | None = None

    def identity(self) -> Hashable:
        """Equal for questions that must have the same answer."""
        if self.prompt is not None:
            correction = self.correction
            return id(self.prompt), correction and (id(correction.conditioned), id(correction.previous))
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
        """Equal for questions that fit in one batch."""
        if self.prompt is not None:
            return "prompt", self.correction is None
        read = self.read
        return len(read.spatial), len(read.pointers), read.gain is None, read.bias is None, self.measured


def _weights_identity(weights: Tensor | None) -> Hashable:
    """By value where that costs neither a transfer nor a gradient, else by object."""
    if weights is None:
        return None
    return id(weights) if weights.requires_grad or weights.device.type != "cpu" else tuple(weights.tolist())


@dataclass(frozen=True, slots=True, eq=False)
class RowPrediction:
    """What the network said."""

    candidates: Candidates
    """One row, on the network's device."""
    conditioned: Float[Tensor, "1 C y x"] | None = None
    """Image features after memory; None under a prompt."""
    attention: Float[Tensor, "items y x"] | None = None


def _predict_batch(network: Network, features: Features, questions: Sequence[RowRequest]) -> list[RowPrediction]:
    """Answers to distinct questions of one shape."""
    rows = range(len(questions))
    first = questions[0]
    if first.prompt is not None:
        prompts = [question.prompt for question in questions if question.prompt is not None]
        corrections = [question.correction for question in questions if question.correction is not None]
        if corrections:
            conditioned = torch.cat([correction.conditioned for correction in corrections])
            previous = torch.cat([correction.previous for correction in corrections])
            given = network.prompt(features, prompts, conditioned, previous)
        else:
            given = network.prompt(features, prompts)
        return [RowPrediction(given.row(row)) for row in rows]
    reads, attentions = [question.read for question in questions], None
    if first.measured:
        conditioned, attentions = network.measure(features, reads)
    else:
        conditioned = network.condition(features, reads)
    thresholds = torch.tensor([question.presence_threshold for question in questions])
    candidates = network.decode(features, conditioned, thresholds)
    return [
        RowPrediction(candidates.row(row), conditioned[row : row + 1], None if attentions is None else attentions[row])
        for row in rows
    ]


def predict_rows(
    network: Network, features: Features, questions: Sequence[RowRequest]
) -> tuple[list[RowPrediction], int]:
    """One answer per question (the same object for identical ones), and how many rows were computed."""
    identities = [question.identity() for question in questions]
    distinct = dict(zip(identities, questions, strict=True))
    batches: dict[Hashable, list[Hashable]] = {}
    for identity, question in distinct.items():
        batches.setdefault(question.shape(), []).append(identity)
    answers: dict[Hashable, RowPrediction] = {}
    for batch in batches.values():
        answered = _predict_batch(network, features, [distinct[identity] for identity in batch])
        answers.update(zip(batch, answered, strict=True))
    return [answers[identity] for identity in identities], len(distinct)


@dataclass(frozen=True, slots=True, eq=False)
class HostPrediction:
    """An answer as a tracker sees it: holes filled, numbers on the host."""

    answer: RowPrediction
    shown: Float[Tensor, "M h w"]
    candidates: Candidates
    """One row; `iou` and `presence` on the host."""
    areas: tuple[int, ...]
    """Foreground cells of each shown mask."""
    boxes: tuple[Box | None, ...]
    """Around each shown mask, in video pixels."""


def to_host(answers: Iterable[tuple[RowPrediction, int]], size: Size) -> list[HostPrediction]:
    """(answer, hole area to fill) -> sight. All numbers come over in one transfer; equal pairs give one object."""
    pairs = list(answers)
    if not pairs:
        return []
    wanted = list(dict.fromkeys(pairs))
    shown = [fill_holes(answer.candidates.logits[0], area) for answer, area in wanted]
    measured = area_and_box(torch.cat(shown))
    iou = torch.cat([answer.candidates.iou[0] for answer, _ in wanted]).detach().float()
    presence = torch.cat([answer.candidates.presence for answer, _ in wanted]).detach().float()
    host = torch.cat([torch.cat([iou[:, None], measured], dim=1).flatten(), presence]).cpu()
    numbers, presences = host[: 6 * len(iou)].reshape(-1, 6), host[6 * len(iou) :]
    sy, sx = size[0] / shown[0].shape[-2], size[1] / shown[0].shape[-1]
    sights: dict[tuple[RowPrediction, int], HostPrediction] = {}
    for index, (pair, masks) in enumerate(zip(wanted, shown, strict=True)):
        at = sum(len(earlier) for earlier in shown[:index])
        rows = numbers[at : at + len(masks)]
        given = pair[0].candidates
        candidates = Candidates(given.logits, rows[None, :, 0], given.pointers, presences[index : index + 1])
        boxes = [(x0 * sx, y0 * sy, x1 * sx, y1 * sy) if n else None for n, x0, y0, x1, y1 in rows[:, 1:].tolist()]
        areas = tuple(int(area) for area in rows[:, 1].tolist())
        sights[pair] = HostPrediction(pair[0], masks, candidates, areas, tuple(boxes))
    return [sights[pair] for pair in pairs]


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """A mask that was picked and is about to be remembered."""

    sight: HostPrediction
    mask: int
    motion: float | None
    """Agreement with the motion model."""
    binarised: bool
    """Prompts and corrections are remembered as shown and binarised; tracked masks raw, as probabilities."""
    prompted: bool
    """What the policy is told."""

    def identity(self) -> Hashable:
        """Equal for observations with the same memory."""
        return (self.sight if self.binarised else self.sight.answer), self.mask, self.binarised

    def logits(self) -> Float[Tensor, "h w"]:
        """The mask the memory is made from."""
        return (self.sight.shown if self.binarised else self.sight.answer.candidates.logits[0])[self.mask]

    def scores(self) -> Scores:
        seen = self.sight.candidates
        return Scores(
            iou=float(seen.iou[0, self.mask]),
            presence=float(seen.presence[0]),
            motion=self.motion,
            area=self.sight.areas[self.mask],
            prompted=self.prompted,
        )


def memorise(
    network: Network, features: Features, observations: Sequence[Observation]
) -> tuple[list[Entry], Callable[[], int], int]:
    """One entry per observation (the same object for equal ones), encoded in one batch.

    Also what is to be called after the policies' writes (it ends the entries' leases and says how many re-encodings
    were made), and how many memories were encoded.
    """
    distinct = {observation.identity(): observation for observation in observations}
    memories: dict[Hashable, Opaque] = {}
    if distinct:
        encoded = network.memorise(
            features,
            torch.stack([observation.logits() for observation in distinct.values()]),
            torch.cat([observation.sight.answer.candidates.presence for observation in distinct.values()]),
            torch.tensor([observation.binarised for observation in distinct.values()]),
        )
        memories = dict(zip(distinct, encoded, strict=True))
    shown: dict[int, _Shown] = {}

    def show(mask: Bool[Tensor, "Hv Wv"]) -> tuple[Float[Tensor, " C"], Opaque]:
        found = shown.get(id(mask)) or shown.setdefault(id(mask), _show(network, features, mask))
        return found.pointer, found.memory

    leases = {
        (o.sight, o.mask, o.binarised): _lease(network, features, o, memories[o.identity()], show) for o in observations
    }

    def end() -> int:
        made = sum(lease.end() for lease in leases.values()) + len(shown)
        shown.clear()
        return made

    pointers: dict[Hashable, Any] = {}
    entries: dict[Hashable, Entry] = {}
    for o in observations:
        pointer = pointers.setdefault((o.sight.answer, o.mask), o.sight.answer.candidates.pointers[0, o.mask])
        lease = leases[o.sight, o.mask, o.binarised]
        entry = Entry(features.query.frame, pointer, memories[o.identity()], o.scores(), lease)
        entries.setdefault((lease, entry.scores), entry)
    found = [entries[leases[o.sight, o.mask, o.binarised], o.scores()] for o in observations]
    return found, end, len(distinct)


Show = Callable[[Tensor], tuple[Tensor, Opaque]]
"""Mask -> pointer and memory, as if it had been prompted."""


def _lease(network: Network, features: Features, o: Observation, memory: Opaque, show: Show) -> FrameEncoder:
    """Re-encodes the mask as shown and binarised, which is what a prompt's memory is already."""
    if o.binarised:
        return FrameEncoder(lambda: memory, show)
    presence, shown = o.sight.answer.candidates.presence, o.sight.shown[o.mask][None]
    return FrameEncoder(lambda: network.memorise(features, shown, presence, torch.tensor([True]))[0], show)


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """A mask that a policy knows of otherwise, encoded."""

    mask: Bool[Tensor, "Hv Wv"]
    """Kept so that its identity stays its own."""
    pointer: Float[Tensor, " C"]
    memory: Opaque


def _show(network: Network, features: Features, mask: Bool[Tensor, "Hv Wv"]) -> _Shown:
    given = network.prompt(features, [Prompt(mask=mask.cpu().numpy())])
    (memory,) = network.memorise(features, given.logits[:, 0], given.presence, torch.tensor([True]))
    return _Shown(mask, given.pointers[0, 0], memory)
