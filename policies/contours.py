"""How far a rival reaches from the contour of the chosen mask, found out from whole cells where these say enough."""

from collections.abc import Iterable
from functools import cache
from math import hypot

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from framework.types import Size
from policies.regions import Component, Corners, Region, components, enlarged
from policies.rivals import Boxes, Rival

AROUND = np.ones((3, 3), np.uint8)
SMALL = 10
"""Share of the frame (one over this) up to which a component is computed rather than parts of it."""
Points = Float[np.ndarray, "_ 2"]
"""x, y in pixels."""


def reaches_beyond(chosen: Region, found: Iterable[Rival], size: Size, limit: float) -> bool:
    """HiM2SAM's rule: the contour of a rival's largest component is somewhere further than `limit` pixels from all of
    the chosen mask's (directed Hausdorff distance > limit), and neither is empty. Masks are those of a frame of `size`.
    """
    contour = cache(chosen.contour)
    rim = chosen.rim(size)
    some = rim if len(rim) else contour()
    if not len(some):
        return False

    def may(boxes: Boxes) -> Bool[np.ndarray, " n"]:
        return may_reach(boxes, some, limit)

    def whole(component: Component) -> bool:
        return reaches(component.region().contour(), contour(), limit)

    def beyond(rival: Rival) -> bool:
        def part(core: Component) -> bool | None:
            held = _drawn(core.region(), rival.cells.shape)
            if _crosses(rival, held, chosen.corners, limit):
                return True
            if core.corners.area < rival.cells.size / SMALL:
                return None
            far = _far_edges(rival, held, contour(), limit)
            return _shows(rival, held, far, contour(), limit) if far.any() else False

        return rival.largest_is(may, part, whole)

    return any(beyond(rival) for rival in found)


def _drawn(region: Region, shape: tuple[int, ...]) -> UInt8[np.ndarray, "rows columns"]:
    """Cells of a core on the whole grid, with those beside it that the border of the frame cuts."""
    cells = np.zeros(shape, dtype=np.uint8)
    height, width = region.mask.shape
    cells[region.top : region.top + height, region.left : region.left + width] = region.mask
    cells[0], cells[-1] = cells[1], cells[-2]
    cells[:, 0], cells[:, -1] = cells[:, 1], cells[:, -2]
    return cells


def _crosses(rival: Rival, held: UInt8[np.ndarray, "rows columns"], own: Corners, limit: float) -> bool:
    """Whether, on one side of the chosen mask and beyond the limit, there are cells that the component holds and cells
    that nobody claims: its contour runs between them."""
    (high, wide), beyond = rival.size, int(limit) + 3
    sides = (
        Corners(0, 0, own.left - beyond, high - 1),
        Corners(own.right + beyond, 0, wide - 1, high - 1),
        Corners(0, 0, wide - 1, own.top - beyond),
        Corners(0, own.bottom + beyond, wide - 1, high - 1),
    )
    for side in sides:
        rows, columns = rival.whole_cells(side)
        if held[rows, columns].any() and not rival.cells[rows, columns].all():
            return True
    return False


def _far_edges(
    rival: Rival, held: UInt8[np.ndarray, "rows columns"], contour: Points, limit: float
) -> UInt8[np.ndarray, "rows columns"]:
    """Cells that the component's contour may run through further than the limit from another one."""
    edges = np.asarray(cv2.dilate(rival.cells, AROUND)) > np.asarray(cv2.erode(held, AROUND))
    cells = np.argwhere(edges)
    step = rival.step
    centres = (cells[:, ::-1] * step - 0.5).astype(np.float32)
    slack = hypot(*(side / 2 + 1 for side in step)) + 0.01
    for count in (2, 16, 128):
        away = nearest(centres, contour[:: max(len(contour) // count, 1)]) + slack > limit
        cells, centres = cells[away], centres[away]
        if not len(cells):
            break
    far = np.zeros(edges.shape, dtype=np.uint8)
    far[tuple(cells.T)] = 1
    return far


def _shows(
    rival: Rival,
    held: UInt8[np.ndarray, "rows columns"],
    far: UInt8[np.ndarray, "rows columns"],
    contour: Points,
    limit: float,
) -> bool | None:
    """Whether it does in these cells; None if what is seen there may or may not belong to the component."""
    step, (high, wide), doubt = rival.step, rival.size, False
    if min(step) < 2:
        return None
    for left, top, right, bottom, _ in components(far).tolist():
        inner, outer = rival.pixels(np.array([[left, top, right, bottom], [left - 1, top - 1, right + 1, bottom + 1]]))
        around = Corners(left - 2, top - 2, right + 1, bottom + 1)
        region = enlarged(rival.logits, around, rival.size).without(rival.chosen, Corners(*outer.tolist()))
        labels = cv2.connectedComponents(region.mask, connectivity=8, ltype=cv2.CV_16U)[1]
        first = max(top - 1, 0), max(left - 1, 0)
        cells = np.argwhere(held[first[0] : bottom + 2, first[1] : right + 2].view(bool)) + first
        pixels = np.rint(cells[:, ::-1] * step - 0.5).astype(int).clip(0, (wide - 1, high - 1))
        known = np.zeros(int(labels.max()) + 1, dtype=bool)
        known[labels[tuple((pixels - (region.left, region.top)).T[::-1])]] = True
        known[0] = False
        mine = Region(known[labels].view(np.uint8), region.left, region.top)
        for mask, answer in ((mine, True), (region, None)):
            points = mask.contour()
            points = points[((points >= inner[:2]) & (points <= inner[2:])).all(axis=1)]
            if len(points) and reaches(points, contour, limit):
                if answer:
                    return True
                doubt = True
    return None if doubt else False


def may_reach(boxes: Boxes, contour: Points, limit: float) -> Bool[np.ndarray, " n"]:
    """False if no point of a box, or of its outline, can be further than `limit` from all of the contour."""
    x, y = contour[:: max(len(contour) // 32, 1)].T
    left, top, right, bottom = boxes.T[:, :, None]
    across = np.maximum(x - left + 1, right + 1 - x)
    down = np.maximum(y - top + 1, bottom + 1 - y)
    return np.hypot(across, down).min(axis=1) > limit


def reaches(points: Points, contour: Points, limit: float) -> bool:
    """Whether some point is further than `limit` from all of the contour.

    Most answers are plain from the distance to the contour's box or to a few of its points.
    """
    if not len(points):
        return False
    beyond = np.maximum(np.maximum(contour.min(axis=0) - points, points - contour.max(axis=0)), 0)
    if (np.hypot(*beyond.T) > limit).any():
        return True
    for count in (8, 64):
        away = nearest(points, contour[:: max(len(contour) // count, 1)])
        if (nearest(points[away.argmax()][None], contour) > limit).all():
            return True
        points = points[away > limit]
        if not len(points):
            return False
    return bool((nearest(points, contour) > limit).any())


def nearest(points: Float[np.ndarray, "n 2"], contour: Points) -> Float[np.ndarray, " n"]:
    """Distance of each point to the closest one of the contour."""
    dx, dy = (points[:, None, axis] - contour[None, :, axis] for axis in (0, 1))
    return np.sqrt((dx * dx + dy * dy).min(axis=1))
