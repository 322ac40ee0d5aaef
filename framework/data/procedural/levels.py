"""How hard a procedural video is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from framework.errors import InputError


@dataclass(frozen=True, slots=True)
class Level:
    """What a scene holds. Rates are events per 60 frames."""

    look_alikes: tuple[int, int]  # objects like the first one: fewest, most
    others: tuple[int, int]  # objects unlike it: fewest, most
    crossings: float  # of the first object by each look-alike
    covers: float  # of the first object by an occluder
    exits: float  # of the first object
    pace: float  # multiplies every walk's speed
    shaky: float  # probability of a shaking camera
    radius: tuple[float, float]  # frame widths
    change: float = 1.0  # multiplies how fast objects turn, grow and change colour

    def altered(self, changes: Mapping[str, object]) -> "Level":
        """This level with other numbers in some of its fields. Raises `InputError` where one does not fit."""
        present = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        for name, value in changes.items():
            if name not in present:
                raise InputError(f"a level has no {name!r} to alter: it has {', '.join(present)}")
            pair = isinstance(present[name], tuple)
            given = value if pair and isinstance(value, Sequence) else [value]
            ends = sorted(end for end in given if isinstance(end, int | float) and end >= 0)
            if len(ends) != len(given) or len(ends) != 1 + pair:
                fitting = "two numbers, least and most" if pair else "a number of 0 or more"
                raise InputError(f"{name} of a level is {fitting}, like {present[name]}, not {value}")
            present[name] = tuple(ends) if pair else float(ends[0])
        level = Level(**present)
        if not (level.pace and level.radius[0]):
            raise InputError("pace and radius of a level are above 0: without them nothing moves or is seen")
        return level


LEVELS: dict[str, Level] = {
    "calm": Level((0, 0), (0, 2), 0.0, 0.0, 0.0, 0.8, 0.1, (0.09, 0.16)),
    "distractors": Level((2, 3), (0, 1), 1.4, 0.0, 0.0, 1.0, 0.2, (0.08, 0.14)),
    "occlusion": Level((1, 2), (0, 1), 0.5, 1.5, 0.5, 1.0, 0.2, (0.08, 0.14)),
    "hard": Level((2, 4), (0, 1), 1.2, 1.2, 0.5, 1.3, 0.4, (0.07, 0.14)),
}
