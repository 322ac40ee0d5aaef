"""How far a rival reaches from the contour of the chosen mask, found out from whole cells where these say enough."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import islice
from math import hypot

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from framework.types import Size
from policies.lattice import Axis, Corners
from policies.regions import Component, Region
from policies.rivals import Rival

AROUND = np.ones((3, 3), np.uint8)
SMALL = 10
"""Share of the frame (one over this) up to which a component is computed rather than its edges."""
SOME = 32
"""Points of a contour that bounds are made of, where there is no rim."""
FEW = 6
"""One of so many of these is enough for most bounds."""
SPOTS = 8
"""Places in which a contour is looked at before the component is computed whole."""
Points = Float[np.ndarray, "_ 2"]
"""x, y in pixels."""


def reaches_beyond(chosen: Region, found: Iterable[Rival], size: Size, limit: float) -> bool:
    """HiM2SAM's rule: the contour of a rival's largest component is somewhere further than `limit` pixels from all of
    the chosen mask's (directed Hausdorff distance > limit), and neither is empty. Masks are those of a frame of `size`.
    """
    contour = cache(chosen.contour)
    rim = chosen.rim(size)
    some = rim if len(rim) else contour()[:: len(contour()) // SOME + 1]
    if not len(some):
        return False
    own, points = chosen.corners, some.tolist()

    def may(box: Corners) -> bool:
        return may_reach(box, points, limit)

    def whole(component: Component) -> bool:
        return reaches(component.region().contour(), contour(), limit)

    def beyond(rival: Rival) -> bool:
        def part(core: Component) -> bool | None:
            held = _drawn(core.region(), rival.cells.shape)
            if _crosses(rival, held, own, limit):
                return True
            if core.corners.area < rival.cells.size / SMALL:
                return None
            doubtful = _doubtful(rival, held, some, limit)
            return _settled(rival, core, held, doubtful, contour, limit) if doubtful.any() else False

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
    """Whether a cell that the component holds and one that nobody claims lie on the way to the same corner of the
    frame, beyond the limit from the box of the chosen mask: the component's contour runs between them.
    """
    known = rival.lattice
    across, down = _away(known.across, own.left, own.right), _away(known.down, own.top, own.bottom)
    far = across * across + (down * down)[:, None] > (limit + 2) ** 2
    inside, outside = far & held[1:-1, 1:-1].view(bool), far > rival.cells[1:-1, 1:-1]
    # Steps towards a corner only lead further away.
    row, column = int(down.argmin()), int(across.argmin())
    return any(
        inside[rows, columns].any() and outside[rows, columns].any()
        for rows in (slice(row + 1), slice(row, None))
        for columns in (slice(column + 1), slice(column, None))
    )


def _away(axis: Axis, first: int, last: int) -> Float[np.ndarray, " n"]:
    """Pixels between first ... last and the nearest of each cell that the border does not cut."""
    at = axis.at.astype(np.float32)
    return np.maximum(np.maximum(first - (at[2:-1] - 1), at[1:-2] - last), 0)


def _doubtful(
    rival: Rival, held: UInt8[np.ndarray, "rows columns"], some: Points, limit: float
) -> UInt8[np.ndarray, "rows columns"]:
    """Cells that the component's contour may run through further than the limit from all of the chosen mask's."""
    slack = hypot(*(side / 2 + 1 for side in rival.step)) + 0.01
    edges = np.asarray(cv2.dilate(rival.cells, AROUND)) > np.asarray(cv2.erode(held, AROUND))
    left = np.flatnonzero(edges)
    for points in (some[::FEW], some):
        rows, columns = np.divmod(left, edges.shape[1])
        centres = np.stack((columns * rival.step[0], rows * rival.step[1]), axis=1).astype(np.float32) - 0.5
        left = left[nearest(centres, points) + slack > limit]
    doubtful = np.zeros_like(rival.cells)
    doubtful.flat[left] = 1
    return doubtful


def _settled(
    rival: Rival,
    core: Component,
    held: UInt8[np.ndarray, "rows columns"],
    doubtful: UInt8[np.ndarray, "rows columns"],
    contour: Callable[[], Points],
    limit: float,
) -> bool | None:
    """Whether the component's contour is beyond the limit in some of these cells; None if a look at some places does
    not tell.

    What is connected to a cell that the component holds belongs to it; what no cells connect to it does not.
    """
    known, (rows, columns) = rival.lattice, doubtful.shape

    @cache
    def connected() -> UInt8[np.ndarray, "rows columns"]:
        x, y = core.outline[0, 0].tolist()
        return Region(rival.cells, 0, 0).connected(core.whole.left + x, core.whole.top + y).mask

    def far(part: Bool[np.ndarray, "H W"], box: Corners) -> bool:
        pixels = known.pixels(box)
        points = Region(part.view(np.uint8), pixels.left, pixels.top).contour()
        # Where the box cuts through the frame there seems to be a contour.
        left, top = box.left + (box.left > 0), box.top + (box.top > 0)
        right, bottom = box.right - (box.right < columns - 1), box.bottom - (box.bottom < rows - 1)
        inner = known.pixels(Corners(left, top, right, bottom))
        inside = (points >= inner[:2]).all(axis=1) & (points <= inner[2:]).all(axis=1)
        return reaches(points[inside], contour(), limit)

    spots = Region(cv2.dilate(doubtful, AROUND, iterations=3), 0, 0).components()
    for box in (spot.corners for spot in islice(spots, SPOTS)):
        pixels, beside = known.pixels(box), rival.beside(box)
        top, left = pixels.top - beside.top, pixels.left - beside.left
        holds = known.drawn(held, box).view(bool)
        mask = beside.mask[top : top + holds.shape[0], left : left + holds.shape[1]]
        count, labels = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_16U)
        own = (np.bincount(labels[holds], minlength=count) > 0)[labels]
        if far(own, box):
            return True
        other = mask > own
        if other.any() and far(other & known.drawn(connected(), box).view(bool), box):
            return None
    return None if next(spots, None) else False


def may_reach(box: Corners, some: Iterable[Sequence[float]], limit: float) -> bool:
    """False if no point of a box, or of its outline, can be further than `limit` from all of the contour, of which
    some points (x, y) are given.
    """
    return all(
        hypot(max(x - box.left, box.right - x) + 1, max(y - box.top, box.bottom - y) + 1) > limit for x, y in some
    )


def reaches(points: Points, contour: Points, limit: float) -> bool:
    """Whether some point is further than `limit` from all of the contour; most are plain from a few points of it."""
    if not len(points):
        return False
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
    dx, dy = (points[:, axis] - contour[:, None, axis] for axis in (0, 1))
    return np.sqrt((dx * dx + dy * dy).min(axis=0))
