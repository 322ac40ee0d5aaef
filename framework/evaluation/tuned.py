"""What is known of the settings that were tried of a method."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Setting = Mapping[str, Any]
"""Option -> value."""


@dataclass(frozen=True)
class Effort:
    """What it cost to find out what a setting is worth."""

    videos: int = 0
    frames: int = 0
    seconds: float = 0.0
    """Its share of the time of the locksteps that it was tracked in."""
    alone: float = 0.0
    """Seconds that it would have taken by itself; NaN where it was not measured."""

    def __add__(self, other: "Effort") -> "Effort":
        return Effort(
            self.videos + other.videos,
            self.frames + other.frames,
            self.seconds + other.seconds,
            self.alone + other.alone,
        )


@dataclass(frozen=True)
class Tried:
    """A setting and what became of it."""

    number: int
    setting: Setting
    value: float
    """Mean of the metric over all sequences; over those so far where it was given up; NaN where it failed."""
    pruned: bool
    failure: str | None
    effort: Effort


@dataclass(frozen=True)
class Tuned:
    """What came of tuning one method."""

    name: str
    study: str
    """Name of the study."""
    ranges: Mapping[str, str]
    """Option -> the values that were searched."""
    own_setting: Setting
    """The method's own values."""
    own: float
    """Mean of the metric over the validation videos with the method's own setting."""
    tried: tuple[Tried, ...]
    """In the order of asking."""
    best: Tried | None
    """The best setting that went through all sequences; None where none is better than the method's own."""
    chosen: str
    """Name of the variant that has the best setting, or of the method untuned."""
    importances: Mapping[str, float]
    """Option -> its share in what good settings have in common; empty where there are too few settings to say."""

    @property
    def effort(self) -> Effort:
        """Of all settings together."""
        return sum((tried.effort for tried in self.tried), Effort())


def written(setting: Setting) -> str:
    """`policy.min_iou=0.83 policy.gap=4`."""
    return " ".join(f"{key}={plain(value)}" for key, value in setting.items())


def plain(value: Any) -> str:
    """As it is written on a command line."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
