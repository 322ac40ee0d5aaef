"""What a backbone and a lockstep cost on this machine. Ratios travel between machines, milliseconds do not."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import pi, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from framework.defaults import NoMotion
from framework.interfaces import MemoryPolicy, MotionModel
from framework.networks.sam2 import Sam2Network
from framework.tracker import Tracker, lockstep
from framework.types import (
    ANCHOR,
    Candidates,
    Entry,
    Features,
    Frame,
    Lease,
    Outcome,
    Query,
    Read,
    Result,
    Scores,
    upsample,
)

SLOTS, POINTERS, VIDEO, INPUT = 6, 16, (720, 1280), (1024, 1024)
WIDTH, TOKENS, CELLS = 256, 64, 256
"""Of SAM2's embedding and pointers; side of its token grid and of its mask-logit grid."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One component, for one object on one frame in steady state (7 memories, 16 pointers)."""

    component: str
    parameters: int
    gigaflops: float
    """Two per multiply-add; matrix products, convolutions and attention only."""
    milliseconds: float
    """The least of several runs."""


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
    return min(_milliseconds(run) for _ in range(repeats))


def _milliseconds(run: Callable[[], object]) -> float:
    _wait()
    began = time.perf_counter()
    run()
    _wait()
    return 1000 * (time.perf_counter() - began)


def _wait() -> None:
    """Lets queued device work finish, where there is any."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


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


def locksteps(trackers: Mapping[str, Tracker], frames: Sequence[Frame], repeats: int = 3) -> list[LockstepCost]:
    """One line for 1, 2, 4 ... trackers. Runs alternate; the least of several counts."""
    names, costs, count = list(trackers), [], 1
    while count <= len(names):
        chosen = {name: trackers[name] for name in names[:count]}
        results = _run(chosen, frames)
        together, apart = [], []
        for _ in range(repeats):
            together.append(_milliseconds(partial(_run, chosen, frames)))
            apart.append(sum(_milliseconds(partial(_run, {name: chosen[name]}, frames)) for name in chosen))
        works = [result.work for result in results]
        costs.append(
            LockstepCost(
                count,
                min(together) / len(frames),
                min(apart) / len(frames),
                sum(work.rows_asked for work in works),
                sum(work.rows_computed for work in works),
            )
        )
        count = len(names) if count < len(names) < 2 * count else 2 * count
    return costs


def _run(trackers: Mapping[str, Tracker], frames: Sequence[Frame]) -> list[Result]:
    first = next(iter(trackers))
    return [step[first] for step in lockstep(trackers, frames, len(frames))]


@dataclass(frozen=True, slots=True)
class DecisionCost:
    """Milliseconds that a policy and a motion model take for one object on one 720p frame, without the network."""

    share: float
    """Of the frame that the target covers."""
    calm: float
    """Hypotheses agree but for their edges."""
    distractor: float
    """Another hypothesis holds a second object as well."""
    specks: float
    """Others hold a few pixels far away."""
    scene: float
    """Others hold most of the frame."""
    tie: float
    """Others are a disc of 4.7 times the target's radius around it: how far they reach is no clearer at one point of
    their contour than at another."""


def decisions(
    policy: MemoryPolicy[Any],
    motion: MotionModel[Any] | None = None,
    repeats: int = 20,
    shares: Sequence[float] = (0.01, 0.06, 0.25),
) -> list[DecisionCost]:
    """Cost of read, score, update and write behind a full bank, when the last admission is long ago; the least of
    several."""
    pair = policy, motion or NoMotion()
    return [DecisionCost(share, **_decisions(*pair, sqrt(share / pi), repeats)) for share in shares]


def _decisions(policy: MemoryPolicy[Any], motion: MotionModel[Any], radius: float, repeats: int) -> dict[str, float]:
    target = _disc(0.35, 0.5, radius)
    second = torch.maximum(target, _disc(0.9, 0.15, max(radius / 3, 0.03)))
    speck = torch.maximum(target, _disc(0.97, 0.97, 0.007))
    scene, tie = _disc(0.5, 0.5, 0.7), _disc(0.35, 0.5, 4.7 * radius)
    kinds = {"calm": target, "distractor": second, "specks": speck, "scene": scene, "tie": tie}
    noise = (
        9
        * torch.nn.functional.avg_pool2d(torch.randn(3, 1, CELLS, CELLS, generator=torch.manual_seed(0)), 9, 1, 4)[:, 0]
    )
    state = policy.init(), motion.init()
    for frame in range(POINTERS + 1):
        _, state = _decide(policy, motion, state, frame, (target + noise)[: 3 if frame else 1])
    costs = {}
    for kind, other in kinds.items():
        logits = torch.stack((target, other, other)) + noise
        costs[kind] = min(_decide(policy, motion, state, POINTERS + 1, logits)[0] for _ in range(repeats))
    return costs


def _disc(x: float, y: float, radius: float) -> Tensor:
    """Logits from -20 to 20, positive inside; centre and radius as shares of the side."""
    at = torch.arange(CELLS) / CELLS
    return 20 * (1 - ((at - x) ** 2 + (at[:, None] - y) ** 2) / radius**2).clamp(-1, 1)


def _decide(
    policy: MemoryPolicy[Any], motion: MotionModel[Any], state: tuple[Any, Any], frame: int, logits: Tensor
) -> tuple[float, tuple[Any, Any]]:
    """Milliseconds, and the next states of policy and motion model."""
    made = torch.Generator().manual_seed(frame)
    embedding = torch.randn(WIDTH, TOKENS, TOKENS, generator=made)
    pointers = torch.randn(1, len(logits), WIDTH, generator=made)
    scores = Scores(0.95, 5.0, None, int((logits[0] > 0).sum()), prompted=frame == 0)
    candidates = Candidates(
        logits[None], torch.tensor([[0.95, 0.5, 0.4][: len(logits)]]), pointers, torch.tensor([5.0])
    )
    query = Query(frame, embedding, None)
    features = Features(query, torch.zeros(1).expand(3, *INPUT), None, VIDEO)
    memory, followed = state
    read = policy.read(memory, query)
    items = len(read.spatial) + len(read.pointers)
    reading = torch.full((items,), 1 / max(items, 1)) if policy.measures else None
    truth = upsample(logits[0], VIDEO) > 0 if policy.privileged else None
    outcome = Outcome(frame, candidates, 0, None, scores, VIDEO, truth, reading, embedding=embedding)
    entry = Entry(frame, pointers[0, 0], frame, scores, Lease(lambda: frame, lambda _: (pointers[0, 0], frame)))
    began = time.perf_counter()
    policy.read(memory, query)
    if frame:
        followed, _ = motion.score(followed, features, candidates)
    after = policy.write(memory, entry, outcome), motion.update(followed, features, outcome)
    return 1000 * (time.perf_counter() - began), after
