"""What other hypotheses claim beside the chosen mask, decided on whole cells wherever these leave no doubt."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import ceil, floor

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from framework.types import Size
from policies.regions import Component, Corners, Region, around, enlarged


@dataclass(frozen=True, slots=True, eq=False)
class Rival:
    """What another hypothesis claims beside the chosen mask. Pixels are computed only where cells leave it open.

    A cell is the area between four logits, or between two and the border of the frame; cell i of a row or column lies
    between logits i - 1 and i. An interpolated value is positive if all logits around it are, and only if one is.
    """

    logits: Float[np.ndarray, "h w"]
    chosen: Region
    size: Size
    cells: UInt8[np.ndarray, "h+1 w+1"]
    """Where it may claim something; not empty."""
    contested: Bool[np.ndarray, "h+1 w+1"]
    """Where the chosen mask may cover something."""

    @property
    def reach(self) -> Corners:
        """Around all that it may claim."""
        return self._pixels(around(self.cells))

    @property
    def core(self) -> Corners | None:
        """Around pixels that its largest component holds for certain; None where that takes computing them."""
        certain = ~(_cells(self.logits <= 0) | self.contested)
        certain[[0, -1]] = certain[:, [0, -1]] = False  # cut by the border
        if not self._outweighs(int(np.count_nonzero(certain))):
            return None
        group, count = next(_groups(certain.view(np.uint8)))
        return self._pixels(group, shrink=1) if self._outweighs(count) else None

    def _outweighs(self, count: int) -> bool:
        """Whether so many whole cells hold more pixels than all the others."""
        (height, width), (high, wide) = self.logits.shape, self.size
        others = cv2.countNonZero(self.cells) - count
        return count * (high // height) * (wide // width) > others * ceil(high / height) * ceil(wide / width)

    def largest_component(self) -> Component | None:
        """The largest 8-connected component of what it claims (the first one on ties); None if it claims nothing."""
        (height, width), (high, wide) = self.logits.shape, self.size
        # Cells without pixels do not keep components apart.
        groups = _groups(self.cells) if high >= height and wide >= width else [(around(self.cells), self.cells.size)]
        best: Component | None = None
        for cells, count in groups:
            if best and best.area > count * ceil(high / height) * ceil(wide / width):
                break  # this group and those after it hold less
            part = replace(cells, left=cells.left - 1, top=cells.top - 1)
            beside = enlarged(self.logits, part, self.size).without(self.chosen, self._pixels(cells))
            found = beside.largest_component()
            best = found if best is None or (found and found.rank < best.rank) else best
        return best

    def _pixels(self, cells: Corners, shrink: int = 0) -> Corners:
        """Around the pixels of some cells and at most one more, or (`shrink` = 1) around those strictly inside."""
        (height, width), (high, wide) = self.logits.shape, self.size
        return Corners(
            max(floor((cells.left - 0.5) * wide / width - 0.5) + shrink, 0),
            max(floor((cells.top - 0.5) * high / height - 0.5) + shrink, 0),
            min(ceil((cells.right + 0.5) * wide / width - 0.5) - shrink, wide - 1),
            min(ceil((cells.bottom + 0.5) * high / height - 0.5) - shrink, high - 1),
        )


def rivals(
    logits: Float[np.ndarray, "M h w"], choice: int, chosen: Region, size: Size, loose: bool = False
) -> Iterator[Rival]:
    """The other hypotheses that may claim something beside the chosen mask.

    `loose` counts every non-zero logit as a claim.
    """
    left, contested = _cells(logits[choice] <= 0), _cells(logits[choice] > 0)
    for index, other in enumerate(logits):
        if index != choice:
            claims = np.abs(other) if loose else other
            cells = (_cells(claims > 0) & left).view(np.uint8)
            if cells.any():
                yield Rival(claims, chosen, size, cells, contested)


def _groups(cells: UInt8[np.ndarray, "rows columns"]) -> Iterator[tuple[Corners, int]]:
    """Around each 8-connected group of cells, and how many these are; the largest first."""
    labels = cv2.connectedComponents(cells, connectivity=8, ltype=cv2.CV_16U)[1]
    counts = np.bincount(labels[cells.view(bool)])
    for label in counts[1:].argsort()[::-1] + 1:
        yield around((labels == label).view(np.uint8)), int(counts[label])


def _cells(grid: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h+1 w+1"]:
    """Cells that have it at one of their corners; corners outside are those nearest to them."""
    padded = cv2.copyMakeBorder(grid.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE).view(bool)
    across = padded[:, 1:] | padded[:, :-1]
    return across[1:] | across[:-1]


def told_apart(chosen: Region, found: Iterable[Rival], max_overlap: float) -> bool:
    """DAM4SAM's rule: the chosen mask's box overlaps the one around it and a rival's largest component by at most this.

    A larger box overlaps less, so no component is apart if all that the rival may claim is not.
    """
    own = chosen.corners

    def apart(other: Corners) -> bool:
        joint = own.joined(other).area
        return joint > 0 and own.area / joint <= max_overlap

    def away(rival: Rival) -> bool:
        if not apart(rival.reach):
            return False
        core = rival.core
        if core is not None and apart(core):
            return True
        largest = rival.largest_component()
        return largest is not None and apart(largest.corners)

    return any(away(rival) for rival in found)
