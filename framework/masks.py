"""Small operations on mask logits that stay on the logits' device."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

HOLE_LOGIT = 0.1
"""What a filled hole is set to: just foreground."""


def _largest_around(values: Float[Tensor, "N h w"]) -> Float[Tensor, "N h w"]:
    return F.max_pool2d(values[:, None], 3, stride=1, padding=1)[:, 0]


def fill_holes(logits: Float[Tensor, "N h w"], area: int) -> Float[Tensor, "N h w"]:
    """Background components (8-connected) of at most `area` cells become foreground.

    What ``sam2`` does with a CUDA extension, here as max-pooling: a component of n cells has the same label
    everywhere after n - 1 steps, and a label group no other label touches is a whole component.
    """
    if area <= 0:
        return logits
    count, height, width = logits.shape
    background = logits <= 0
    cells = torch.arange(1, height * width + 1, device=logits.device, dtype=torch.float32)
    labels = cells.reshape(height, width) * background
    for _ in range(area):
        labels = _largest_around(labels) * background
    smallest = -_largest_around(torch.where(background, -labels, -torch.inf))
    touched = background & ((_largest_around(labels) != labels) | (smallest != labels))
    group = labels.long() + torch.arange(count, device=logits.device)[:, None, None] * (height * width + 1)
    # A group that touches another label is part of a larger component: count it as too large.
    weight = torch.where(touched, area + 1, 1).flatten()
    sizes = torch.zeros(count * (height * width + 1), device=logits.device, dtype=torch.long)
    sizes = sizes.index_add(0, group.flatten(), weight)
    hole = background & (sizes[group] <= area)
    return torch.where(hole, HOLE_LOGIT, logits)


def area_and_box(logits: Float[Tensor, "N h w"]) -> Float[Tensor, "N 5"]:
    """Foreground cells, then xmin, ymin, xmax, ymax in cells with exclusive maxima (zeros for an empty mask)."""
    mask = logits > 0
    height, width = mask.shape[-2:]
    columns, rows = mask.any(dim=1), mask.any(dim=2)
    x = torch.arange(width, device=logits.device)
    y = torch.arange(height, device=logits.device)
    area = mask.flatten(1).sum(dim=1)
    edges = torch.stack(
        [
            area,
            torch.where(columns, x, width).amin(dim=1),
            torch.where(rows, y, height).amin(dim=1),
            torch.where(columns, x + 1, 0).amax(dim=1),
            torch.where(rows, y + 1, 0).amax(dim=1),
        ],
        dim=1,
    )
    return (edges * (area > 0)[:, None]).float()


def iou(prediction: Bool[Tensor, "*n h w"], truth: Bool[Tensor, "*n h w"]) -> Float[Tensor, "*n"]:
    """Intersection over union; 1 where both are empty."""
    both = (prediction & truth).sum((-2, -1))
    either = (prediction | truth).sum((-2, -1))
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)
