"""What other hypotheses claim beside the chosen mask, decided on whole cells wherever these leave no doubt."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from framework.types import Size
from policies.lattice import Corners, Lattice, lattice
from policies.regions import Component, Region, around, enlarged


@dataclass(frozen=True, slots=True)
class Group:
    """8-connected cells."""

    box: Corners
    count: int
    """How many there are."""


@dataclass(frozen=True, slots=True, eq=False)
class Rival:
    """What another hypothesis claims beside the chosen mask. Pixels are computed only where cells leave it open."""

    logits: Float[np.ndarray, "h w"]
    chosen: Region
    size: Size
    lattice: Lattice
    cells: UInt8[np.ndarray, "h+1 w+1"]
    """Where it may claim something; not empty."""
    claimed: UInt8[np.ndarray, "h+1 w+1"]
    """At how many of their corners."""
    free: Bool[np.ndarray, "h+1 w+1"]
    """Where the chosen mask has nothing, but for cells that the border of the frame cuts."""

    def largest_is(
        self,
        may: Callable[[Corners], bool],
        part: Callable[[Component], bool | None],
        whole: Callable[[Component], bool],
    ) -> bool:
        """Whether its largest component (the first one on ties) has some property; False if it claims nothing.

        Args:
            may: whether what lies in a box of pixels may have it; where not, nothing in a smaller box does.
            part: the answer, if it follows from cells that the component holds all of for certain.
            whole: the answer.
        """
        if not may(self.lattice.pixels(around(self.cells))):
            return False
        groups = self.groups()
        first = next(groups)
        core = self._certain_inside(first).largest_component()
        floor = core.area * self.lattice.least if core else 0
        near: list[Group] = []
        others: list[Group] = []
        for group in chain((first,), takewhile(lambda group: group.count * self.lattice.most >= floor, groups)):
            (near if may(self.lattice.pixels(group.box)) else others).append(group)
        if not near:
            return False
        if core and near == [first] and not others and floor > (first.count - core.area) * self.lattice.most:
            answer = part(core)
            if answer is not None:
                return answer
        largest = self.largest_component(near)
        if largest is None or not may(largest.corners) or self._surpassed(largest, others):
            return False
        return whole(largest)

    def groups(self) -> Iterator[Group]:
        """Of the cells, the largest first. No component reaches from one group into another."""
        if self.lattice.least == 0:  # cells without pixels do not keep components apart
            yield Group(around(self.cells), cv2.countNonZero(self.cells))
        else:
            for one in Region(self.cells, 0, 0).components():
                yield Group(one.corners, one.area)

    def largest_component(self, groups: Iterable[Group]) -> Component | None:
        """The largest one in these groups; None if they hold none."""
        best: Component | None = None
        for group in groups:
            if best and best.area > group.count * self.lattice.most:
                break  # this group and those after it hold less
            found = self._largest_inside(group)
            best = found if best is None or (found and found.precedes(best)) else best
        return best

    def _surpassed(self, best: Component, groups: Sequence[Group]) -> bool:
        """Whether a larger component is in these groups."""
        for group in groups:
            if best.area > group.count * self.lattice.most:
                return False
            if self._holds(group, more=best.area):
                return True
            found = self._largest_inside(group)
            if found and found.precedes(best):
                return True
        return False

    def _largest_inside(self, group: Group) -> Component | None:
        """The largest component in the box of a group; what lies there of another group may be cut off."""
        return self.beside(group.box).largest_component()

    def beside(self, box: Corners) -> Region:
        """What it claims in a box of cells."""
        region = enlarged(self.logits, Corners(box.left - 1, box.top - 1, box.right, box.bottom), self.size)
        return region.without(self.chosen, self.lattice.pixels(box))

    def _holds(self, group: Group, more: int) -> bool:
        """Whether a component in a group has more pixels for certain."""
        inside = self._certain_inside(group)
        core = inside.largest_component() if inside.area * self.lattice.least > more else None
        return core is not None and core.area * self.lattice.least > more

    def _certain_inside(self, group: Group) -> Region:
        """Cells that it claims all of in the box of a group."""
        box = group.box
        cells = slice(box.top, box.bottom + 1), slice(box.left, box.right + 1)
        return Region(((self.claimed[cells] == 4) & self.free[cells]).view(np.uint8), box.left, box.top)

    @property
    def step(self) -> tuple[float, float]:
        """Width and height of a cell in pixels."""
        return self.size[1] / self.logits.shape[1], self.size[0] / self.logits.shape[0]


def rivals(
    logits: Float[np.ndarray, "M h w"], choice: int, chosen: Region, size: Size, loose: bool = False
) -> Iterator[Rival]:
    """The other hypotheses that may claim something beside the chosen mask.

    `loose` counts every non-zero logit as a claim.
    """
    covered = _corners(logits[choice] > 0)
    left, free = covered < 4, covered == 0
    free[0] = free[-1] = free[:, 0] = free[:, -1] = False
    known = lattice(logits[choice].shape, size)
    for index, other in enumerate(logits):
        if index != choice:
            claims = np.abs(other) if loose else other
            claimed = _corners(claims > 0)
            cells = ((claimed > 0) & left).view(np.uint8)
            if cv2.countNonZero(cells):
                yield Rival(claims, chosen, size, known, cells, claimed, free)


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

    def apart(box: Corners) -> bool:
        joint = own.joined(box).area
        return joint > 0 and own.area / joint <= max_overlap

    def away(rival: Rival) -> bool:
        def part(core: Component) -> bool | None:
            return True if apart(rival.lattice.pixels(core.corners)) else None

        return rival.largest_is(apart, part, whole=lambda component: True)

    return any(away(rival) for rival in found)
