"""Frames whose hypotheses are boxes on a 16 x 16 grid, each thing of a look and a colour of its own."""

import torch

from framework.types import Candidates, Entry, Features, Normalisation, Outcome, Query, Scores

GRID, HERE, THERE = 16, (0, 0, 4, 4), (12, 12, 16, 16)
RED, GREEN, GREY = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.5, 0.5, 0.5)


def candidates(*boxes, iou=(0.9, 0.4, 0.3), presence=5.0):
    """Hypotheses that are these boxes (x0, y0, x1, y1); None is an empty mask."""
    logits = torch.full((1, len(boxes), GRID, GRID), -8.0)
    for index, box in enumerate(boxes):
        if box is not None:
            x0, y0, x1, y1 = box
            logits[0, index, y0:y1, x0:x1] = 8.0
    pointers = torch.eye(4)[None, : len(boxes)]
    return Candidates(logits, torch.tensor([iou[: len(boxes)]]), pointers, torch.tensor([presence]))


def embedding():
    """One look at the top left, another one at the bottom right."""
    look = torch.zeros(2, 4, 4)
    look[0, 0, 0], look[1, 3, 3] = 1.0, 1.0
    return look


def coloured(here=RED, there=GREEN, light=1.0):
    """Network input of twice the grid: one colour at the top left, another one at the bottom right, grey between."""
    image = torch.tensor(GREY)[:, None, None].repeat(1, 2 * GRID, 2 * GRID)
    image[:, :8, :8], image[:, 24:, 24:] = (torch.tensor(colour)[:, None, None] for colour in (here, there))
    return Normalisation().apply(image * light)


def features(frame, image=None, tokens=None):
    image = coloured() if image is None else image
    return Features(Query(frame, embedding() if tokens is None else tokens, None), image, None)


def outcome(frame, found, choice=0, prompted=None):
    """What became of these candidates; frame 0 is prompted unless it is said otherwise."""
    area = int((found.logits[0, choice] > 0).sum())
    prompted = frame == 0 if prompted is None else prompted
    scores = Scores(float(found.iou[0, choice]), float(found.presence[0]), None, area, prompted)
    shown = features(frame)
    return Outcome(frame, found, choice, None, scores, (GRID, GRID), embedding=shown.query.embedding, features=shown)


def written(frame, found, choice=0, prompted=None):
    """An entry of these candidates and its outcome: what a policy is given."""
    became = outcome(frame, found, choice, prompted)
    return Entry(frame, found.pointers[0, choice], "memory", became.scores), became
