"""Which frames of a video are looked at: from a first one to a last one, every so many-th."""

from dataclasses import dataclass

from framework.errors import InputError


@dataclass(frozen=True, slots=True)
class FrameRange:
    """From `first` to `last` (included; None: the end of the video), every `stride`-th, at most `frames` of them.

    Frames are numbered from 0 as in the video; the place of a frame is its number among those of the range. Raises
    InputError for a range without a frame.
    """

    first: int = 0
    last: int | None = None
    stride: int = 1
    frames: int | None = None

    def __post_init__(self) -> None:
        for name, value, least in (("first", self.first, 0), ("stride", self.stride, 1), ("frames", self.frames, 1)):
            if value is not None and value < least:
                raise InputError(f"{name}={value} must be {least} or more")
        if self.last is not None and self.last < self.first:
            raise InputError(f"last={self.last} must be {self.first} or more, as first={self.first}")

    @property
    def whole(self) -> bool:
        """Whether it leaves no frame out."""
        return self == FrameRange()

    @property
    def described(self) -> tuple[str, ...]:
        """Its options, as on the command line; `frames` only cuts what is tracked."""
        given = {"first": self.first or None, "last": self.last, "stride": None if self.stride == 1 else self.stride}
        return tuple(f"{name}={value}" for name, value in given.items() if value is not None)

    def stop(self, length: int | None) -> int | None:
        """The number after the last frame, of a video of `length` frames; None where neither is known."""
        cut = None if self.frames is None else self.first + (self.frames - 1) * self.stride + 1
        return min(
            (end for end in (length, cut, None if self.last is None else self.last + 1) if end is not None),
            default=None,
        )

    def length(self, whole: int | None) -> int | None:
        """How many frames it has of a video of so many. Raises InputError for one that ends before it does."""
        for name, value in (("first", self.first), ("last", self.last)):
            if whole is not None and value is not None and value >= whole:
                raise InputError(f"{name}={value} is past the end: the video has frames 0 to {whole - 1}")
        stop = self.stop(whole)
        return None if stop is None else len(range(self.first, stop, self.stride))

    def number(self, place: int) -> int:
        """The number in the video of the frame at a place."""
        return self.first + place * self.stride

    def place(self, number: int) -> int:
        """The place of a frame of the range."""
        return (number - self.first) // self.stride

    def check(self, number: int, what: str) -> None:
        """Raises InputError, saying `what` it is for, where a frame is not in the range."""
        stop, beyond = self.stop(None), (number - self.first) % self.stride
        if number < self.first or (stop is not None and number >= stop):
            last = "the end" if stop is None else f"{self.number(len(range(self.first, stop, self.stride)) - 1)}"
            raise InputError(f"{what} is for frame {number}, and frames {self.first} to {last} are tracked")
        if beyond:
            raise InputError(
                f"{what} is for frame {number}, which first={self.first} stride={self.stride} leaves out: "
                f"give first={self.first + beyond}, or a prompt for frame {number - beyond}"
            )


WHOLE = FrameRange()
