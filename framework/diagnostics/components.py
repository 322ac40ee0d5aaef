"""What a backbone and a lockstep cost on this machine. Ratios travel between machines, milliseconds do not."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from framework.networks.sam2 import Sam2Network
from framework.ops.device import wait_for
from framework.state import State, held_bytes
from framework.tracker import Tracker, advance
from framework.types import (
    ANCHOR,
    Entry,
    Frame,
    Read,
    Result,
    Scores,
)

SLOTS, POINTERS = 6, 16


@dataclass(frozen=True, slots=True)
class Cost:
    """One component, for one object on one frame in steady state (7 memories, 16 pointers)."""

    component: str
    parameters: int
    gigaflops: float
    """Two per multiply-add; matrix products, convolutions and attention only."""
    milliseconds: float
    """The least of several runs."""

    @property
    def speed(self) -> float:
        """GFLOP per second."""
        return 1000 * self.gigaflops / self.milliseconds


def components(network: Sam2Network, repeats: int = 5) -> list[Cost]:
    """Cost of each verb that runs on every frame."""
    model, (height, width) = network.model, network.input_size
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)).to(network.device)
    features = network.encode(image, POINTERS, None)
    read = _full_read(network, image)
    conditioned = network.condition(features, [read])
    absent_below = torch.full((1,), -torch.inf)
    candidates = network.decode(features, conditioned, absent_below)
    verbs: Mapping[str, tuple[Sequence[nn.Module], Callable[[], object]]] = {
        "image encoder": ([model.image_encoder], lambda: network.encode(image, POINTERS, None)),
        "memory attention": ([model.memory_attention], lambda: network.condition(features, [read])),
        "mask decoder": (
            [model.sam_prompt_encoder, model.sam_mask_decoder, model.obj_ptr_proj],
            lambda: network.decode(features, conditioned, absent_below),
        ),
        "memory encoder": (
            [model.memory_encoder, *([model.spatial_perceiver] if hasattr(model, "spatial_perceiver") else [])],
            lambda: network.memorise(features, candidates.logits[:, 0], candidates.presence, torch.tensor([False])),
        ),
    }
    return [
        Cost(name, sum(p.numel() for m in modules for p in m.parameters()), _gigaflops(run), _fastest(run, repeats))
        for name, (modules, run) in verbs.items()
    ]


def matrix_peak(network: Sam2Network, repeats: int = 5, side: int = 2048) -> float:
    """GFLOP per second of one large matrix product on the network's device, in the type it computes in."""
    square = torch.ones(side, side, device=network.device, dtype=network.autocast or torch.float32)
    return 2 * side**3 / 1e6 / _fastest(lambda: square @ square, repeats)


def _full_read(network: Sam2Network, image: Tensor) -> Read:
    """A full bank: the anchor, six recent memories and all pointers."""
    features = network.encode(image, 0, None)
    found = network.decode(features, network.condition(features, [Read()]), torch.full((1,), -torch.inf))
    (memory,) = network.memorise(features, found.logits[:, 0], found.presence, torch.tensor([False]))
    scores = Scores(1.0, 1.0, None, 1, prompted=False)
    entries = [Entry(frame, found.pointers[0, 0], memory, scores) for frame in range(POINTERS)]
    recent = ((entry, SLOTS - 1 - rank) for rank, entry in enumerate(entries[-SLOTS:]))
    return Read(((entries[0], ANCHOR), *recent), tuple((entry, POINTERS - entry.frame) for entry in entries))


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)


CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
"""The one attention kernel that torch's counter leaves out."""


def _gigaflops(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
        run()
    return counter.get_total_flops() / 1e9


def _fastest(run: Callable[[], object], repeats: int) -> float:
    return min(milliseconds(run) for _ in range(repeats))


def milliseconds(run: Callable[[], object]) -> float:
    """How long it takes, the work that it queues on a device included."""
    wait_for()
    began = time.perf_counter()
    run()
    wait_for()
    return 1000 * (time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class LockstepCost:
    """The first `trackers` trackers together against the same ones one after the other."""

    trackers: int
    together: float
    """Milliseconds per frame for all of them."""
    apart: float
    """Sum of their separate milliseconds per frame."""
    rows_asked: int
    rows_computed: int
    """Over the video, in lockstep."""
    held: int
    """Bytes that the states of all of them keep after it."""


def locksteps(trackers: Mapping[str, Tracker], frames: Sequence[Frame], repeats: int = 3) -> list[LockstepCost]:
    """One line for 1, 2, 4 ... trackers. Runs alternate; the least of several counts."""
    names, costs, count = list(trackers), [], 1
    while count <= len(names):
        chosen = {name: trackers[name] for name in names[:count]}
        results, held = _run(chosen, frames)
        together, apart = [], []
        for _ in range(repeats):
            together.append(milliseconds(partial(_run, chosen, frames)))
            apart.append(sum(milliseconds(partial(_run, {name: chosen[name]}, frames)) for name in chosen))
        works = [result.work for result in results]
        costs.append(
            LockstepCost(
                count,
                min(together) / len(frames),
                min(apart) / len(frames),
                sum(work.rows_asked for work in works),
                sum(work.rows_computed for work in works),
                held,
            )
        )
        count = len(names) if count < len(names) < 2 * count else 2 * count
    return costs


def _run(trackers: Mapping[str, Tracker], frames: Sequence[Frame]) -> tuple[list[Result], int]:
    """The results of the first tracker, and the bytes that all hold at the end."""
    first, network = next(iter(trackers.items()))[0], next(iter(trackers.values())).network
    states: Mapping[str, State] = {name: tracker.init() for name, tracker in trackers.items()}
    found = []
    for index, frame in enumerate(frames):
        features = network.encode(frame.image, index, len(frames))
        states, results = advance(trackers, states, features, frame, encodings=1)
        found.append(results[first])
    return found, held_bytes(states.values())
