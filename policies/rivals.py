"""What other hypotheses claim beside the chosen mask, decided on whole cells wherever these leave no doubt."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from framework.types import Size
from policies.regions import Component, Corners, Region, components, enlarged

Boxes = Int[np.ndarray, "n 4"]
"""Left, top, right and bottom as in `Corners`."""
Group = Int[np.ndarray, "5"]
"""8-connected cells: left, top, right and bottom of their box in cells, and how many these are."""
Groups = Int[np.ndarray, "n 5"]
"""The largest first."""


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
    certain: UInt8[np.ndarray, "h+1 w+1"]
    """Where it claims everything, but for cells that the border of the frame cuts."""

    def largest_is(
        self,
        may: Callable[[Boxes], Bool[np.ndarray, " n"]],
        part: Callable[[Component], bool | None],
        whole: Callable[[Component], bool],
    ) -> bool:
        """Whether its largest component (the first one on ties) has some property; False if it claims nothing.

        Args:
            may: whether what lies in a box of pixels may have it; where not, nothing in a smaller box does.
            part: the answer, if it follows from cells that the component holds all of for certain.
            whole: the answer.
        """
        for known in (self._together, self.groups):
            groups = known()
            near = may(self.pixels(groups[:, :4]))
            if not near.any():
                return False
            core = self._core(groups, int(near.argmax()))
            if core is not None and (answer := part(core)) is not None:
                return answer
        inside, outside = groups[near], groups[~near]
        if len(outside) and self._holds(outside[0], more=self._most(int(inside[0, 4]))):
            return False
        largest = self.largest_component(inside)
        if largest is None or not may(largest.corners.boxes)[0] or self._surpassed(largest, outside):
            return False
        return whole(largest)

    def groups(self) -> Groups:
        """Of the cells. No component reaches from one group into another."""
        # Cells without pixels do not keep components apart.
        return self._together() if self._least(1) == 0 else components(self.cells)

    def _together(self) -> Groups:
        """All cells as one group."""
        x, y, width, height = cv2.boundingRect(self.cells)
        return np.array([[x, y, x + width - 1, y + height - 1, cv2.countNonZero(self.cells)]])

    def largest_component(self, groups: Groups) -> Component | None:
        """The largest one in these groups; None if they hold none."""
        best: Component | None = None
        for group in groups:
            if best and best.area > self._most(int(group[4])):
                break  # this group and those after it hold less
            found = self._largest_inside(group)
            best = found if best is None or (found and found.precedes(best)) else best
        return best

    def _surpassed(self, best: Component, groups: Groups) -> bool:
        """Whether a larger component is in these groups."""
        for group in groups:
            if best.area > self._most(int(group[4])):
                return False
            if self._holds(group, more=best.area):
                return True
            found = self._largest_inside(group)
            if found and found.precedes(best):
                return True
        return False

    def _largest_inside(self, group: Group) -> Component | None:
        """The largest component in the box of a group; what lies there of another group may be cut off."""
        left, top, right, bottom = group[:4].tolist()
        region = enlarged(self.logits, Corners(left - 1, top - 1, right, bottom), self.size)
        box = Corners(*self.pixels(group[None, :4])[0].tolist())
        return region.without(self.chosen, box).largest_component()

    def _core(self, groups: Groups, index: int) -> Component | None:
        """Connected cells of a group that outweigh what else is in it and every other group; None without such."""
        other = max((int(count) for place, count in enumerate(groups[:2, 4]) if place != index), default=0)
        inside, whole = self._certain_inside(groups[index]), int(groups[index, 4])

        def outweigh(count: int) -> bool:
            return self._least(count) > self._most(max(other, whole - count))

        core = inside.largest_component() if outweigh(inside.area) else None
        return core if core and outweigh(core.area) else None

    def _holds(self, group: Group, more: int) -> bool:
        """Whether a component in a group has more pixels for certain."""
        inside = self._certain_inside(group)
        core = inside.largest_component() if self._least(inside.area) > more else None
        return core is not None and self._least(core.area) > more

    def _certain_inside(self, group: Group) -> Region:
        """Cells that it claims all of in the box of a group."""
        left, top, right, bottom = group[:4].tolist()
        return Region(self.certain[top : bottom + 1, left : right + 1], left, top)

    def _least(self, cells: int) -> int:
        """Pixels in so many whole cells."""
        (height, width), (high, wide) = self.logits.shape, self.size
        return cells * (high // height) * (wide // width)

    def _most(self, cells: int) -> int:
        """The same, at most."""
        (height, width), (high, wide) = self.logits.shape, self.size
        return cells * ceil(high / height) * ceil(wide / width)

    @property
    def step(self) -> tuple[float, float]:
        """Width and height of a cell in pixels."""
        return self.size[1] / self.logits.shape[1], self.size[0] / self.logits.shape[0]

    def whole_cells(self, box: Corners) -> tuple[slice, slice]:
        """Rows and columns of cells with all of their pixels in a box; none that the border of the frame cuts."""
        x, y = self.step
        high, wide = self.logits.shape
        left, right = ceil((box.left + 0.5) / x + 0.5), floor((box.right + 0.5) / x - 0.5)
        top, bottom = ceil((box.top + 0.5) / y + 0.5), floor((box.bottom + 0.5) / y - 0.5)
        return slice(max(top, 1), max(min(bottom, high - 1) + 1, 1)), slice(
            max(left, 1), max(min(right, wide - 1) + 1, 1)
        )

    def pixels(self, cells: Boxes, shrink: int = 0) -> Boxes:
        """Around the pixels of boxes of cells and at most one more, or (`shrink` = 1) around those strictly inside."""
        (high, wide), (x, y) = self.size, self.step
        edges = np.floor(cells * (x, y, -x, -y) - (x / 2 + 0.5, y / 2 + 0.5, x / 2 - 0.5, y / 2 - 0.5))
        found = ((edges + shrink) * (1, 1, -1, -1)).astype(int)
        return found.clip(0, (wide - 1, high - 1, wide - 1, high - 1))


def rivals(
    logits: Float[np.ndarray, "M h w"], choice: int, chosen: Region, size: Size, loose: bool = False
) -> Iterator[Rival]:
    """The other hypotheses that may claim something beside the chosen mask.

    `loose` counts every non-zero logit as a claim.
    """
    covered = _corners(logits[choice] > 0)
    left, free = covered < 4, covered == 0
    for index, other in enumerate(logits):
        if index != choice:
            claims = np.abs(other) if loose else other
            claimed = _corners(claims > 0)
            cells, certain = (claimed > 0) & left, (claimed == 4) & free
            certain[0] = certain[-1] = certain[:, 0] = certain[:, -1] = False
            if cells.any():
                yield Rival(claims, chosen, size, cells.view(np.uint8), certain.view(np.uint8))


def _corners(grid: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h+1 w+1"]:
    """At how many of their corners cells have it; corners outside are those nearest to them."""
    padded = cv2.copyMakeBorder(grid.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    across = padded[:, 1:] + padded[:, :-1]
    return across[1:] + across[:-1]


def told_apart(chosen: Region, found: Iterable[Rival], max_overlap: float) -> bool:
    """DAM4SAM's rule: the chosen mask's box overlaps the one around it and a rival's largest component by at most this.

    A larger box overlaps less.
    """
    own = chosen.corners

    def apart(boxes: Boxes) -> Bool[np.ndarray, " n"]:
        left, top, right, bottom = boxes.T
        width = np.maximum(right, own.right) - np.minimum(left, own.left)
        joint = width * (np.maximum(bottom, own.bottom) - np.minimum(top, own.top))
        return (joint > 0) & (own.area / np.maximum(joint, 1) <= max_overlap)

    def away(rival: Rival) -> bool:
        def part(core: Component) -> bool | None:
            return True if apart(rival.pixels(core.corners.boxes, shrink=1))[0] else None

        return rival.largest_is(apart, part, whole=lambda component: True)

    return any(away(rival) for rival in found)
