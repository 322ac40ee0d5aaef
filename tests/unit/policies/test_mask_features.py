"""The numbers that features are made of, against plain formulas on whole tensors."""

import pytest
import torch
import torch.nn.functional as F

from framework.ops.vectors import unit
from framework.types import ABSENT_LOGIT, Candidates, Entry, Outcome, Scores
from policies.features.mask import MaskAppearance, measure


def frame(seed: int, grid: tuple[int, int], masks: int = 3, tokens: int | None = 4, empty: tuple[int, ...] = ()):
    """Random smooth hypotheses; `tokens` cells along each axis make one of the embedding, None says nothing in one."""
    made = torch.Generator().manual_seed(seed)
    logits = 40 * F.avg_pool2d(torch.randn(masks, *grid, generator=made), 5, 1, 2)
    logits[list(empty)] = ABSENT_LOGIT
    embedding = torch.zeros(1, 1, 1)
    if tokens:
        embedding = 1 + torch.randn(7, grid[0] // tokens, grid[1] // tokens, generator=made)
    choice = seed % masks
    pointers = torch.randn(1, masks, 5, generator=made)
    candidates = Candidates(logits[None], torch.rand(1, masks, generator=made), pointers, torch.ones(1))
    scores = Scores(0.9, 1.0, None, int((logits[choice] > 0).sum()), False)
    outcome = Outcome(seed, candidates, choice, None, scores, (64, 64), embedding=embedding)
    known = [torch.randn(width, generator=made).numpy() for _ in range(3) for width in (7 if tokens else 1, 5)]
    pairs = zip(known[::2], known[1::2], strict=True)
    looks = tuple(MaskAppearance(unit(look[None])[0], unit(point[None])[0]) for look, point in pairs)
    return Entry(seed, pointers[0, choice], None, scores), outcome, looks


def plainly(entry: Entry, outcome: Outcome, known) -> dict[str, float]:
    """The same, one formula after the other."""
    logits, iou, choice = outcome.candidates.logits[0], outcome.candidates.iou[0], outcome.choice
    cells = max(max(logits.shape[-2:]) // 128, 1)
    logits = logits[:, ::cells, ::cells]
    masks, probability = logits > 0, logits.sigmoid()
    others = [index for index in range(len(masks)) if index != choice]
    own, size = masks[choice], max(int(masks[choice].sum()), 1)
    embedding = F.avg_pool2d(outcome.embedding, max(outcome.embedding.shape[-1] // 16, 1))
    centred = (embedding - embedding.mean((-2, -1), keepdim=True)).flatten(1)
    step = max(logits.shape[-1] // (4 * embedding.shape[-1]), 1)
    cover = F.adaptive_avg_pool2d(probability[:, ::step, ::step], embedding.shape[-2:]).flatten(1)
    looks = F.normalize(cover @ centred.T, dim=1)
    tokens, within = F.normalize(centred, dim=0, eps=1e-6), cover[choice] > 0.5
    prompt = torch.from_numpy(known[0].look)
    found, alike = prompt @ tokens, looks @ prompt
    pointer = F.normalize(entry.pointer, dim=0)
    y, x = own.nonzero().float().mean(0).tolist() if own.any() else (0.0, 0.0)

    def box(mask):
        at = mask.nonzero()
        return (at.amax(0) + 1 - at.amin(0)).prod()

    def share(other):
        return float(box(own) / box(own | other)) if own.any() and other.any() else 1.0

    distractors = [float(iou[i]) * min(float((masks[i] & ~own).sum()) / size, 2.0) for i in others]
    looked = [float(alike[i] - alike[choice]) if masks[i].any() else -1.0 for i in others]
    return {
        "margin": float(iou.sort().values[-2] - iou.max()) if others else 0.0,
        "stability": int((logits[choice] > 1).sum()) / max(int((logits[choice] > -1).sum()), 1),
        "sharpness": float(probability[choice][own].sum()) / size,
        "border": float(own[0].any() or own[-1].any() or own[:, 0].any() or own[:, -1].any()),
        "distractor": max(distractors, default=0.0),
        "distractor_box": min((share(masks[i]) for i in others), default=1.0),
        "distractor_look": max(looked, default=0.0),
        "x": cells * x,
        "y": cells * y,
        "pointer_prompt": float(torch.from_numpy(known[0].pointer) @ pointer),
        "pointer_newest": float(torch.from_numpy(known[1].pointer) @ pointer),
        "pointer_mean": float(torch.from_numpy(known[2].pointer) @ pointer),
        "look_prompt": float(alike[choice]),
        "look_newest": float(looks[choice] @ torch.from_numpy(known[1].look)),
        "look_mean": float(looks[choice] @ torch.from_numpy(known[2].look)),
        "inside": float(found[within].max()) if within.any() else -1.0,
        "outside": float(found[~within].max()) if not within.all() else -1.0,
    }


@pytest.mark.parametrize(
    "what",
    [
        *({"seed": seed, "grid": (64, 48)} for seed in range(6)),
        {"seed": 6, "grid": (16, 16), "tokens": 1},
        {"seed": 7, "grid": (32, 32), "tokens": 2},
        {"seed": 8, "grid": (24, 36), "tokens": 3},
        {"seed": 9, "grid": (32, 32), "tokens": None},
        {"seed": 13, "grid": (128, 128)},  # finer than the embedded network's
        {"seed": 14, "grid": (256, 256)},
        {"seed": 10, "grid": (32, 32), "masks": 1},
        {"seed": 11, "grid": (32, 32), "masks": 2},
        {"seed": 12, "grid": (32, 32), "empty": (0,)},  # the chosen one
        {"seed": 12, "grid": (32, 32), "empty": (1,)},
        {"seed": 12, "grid": (32, 32), "empty": (0, 1, 2)},
    ],
)
def test_numbers_are_those_of_plain_formulas(what):
    entry, outcome, known = frame(**what)
    expected = plainly(entry, outcome, known)
    given = outcome.embedding.clone()
    numbers, now = measure(entry, outcome, known)
    assert torch.equal(given, outcome.embedding)
    assert {name: getattr(numbers, name) for name in expected} == pytest.approx(expected, abs=2e-5)
    looked = outcome.embedding.any() and entry.scores.area > 0
    assert (now.look**2).sum() == pytest.approx(float(looked), abs=1e-5)


def test_what_is_not_known_yet_is_what_is_seen_now():
    entry, outcome, _ = frame(3, (32, 32))
    numbers, now = measure(entry, outcome)
    assert numbers == measure(entry, outcome, (now, now, now))[0]
    likenesses = (numbers.look_prompt, numbers.look_newest, numbers.pointer_prompt, numbers.pointer_mean)
    assert likenesses == pytest.approx((1.0, 1.0, 1.0, 1.0), abs=1e-5)
