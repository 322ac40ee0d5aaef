"""Colours of objects: in pictures, and as the palette of label images."""

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (0, 158, 222),
    (230, 85, 13),
    (64, 186, 80),
    (222, 60, 138),
    (240, 190, 20),
    (140, 100, 225),
    (20, 175, 160),
    (178, 120, 70),
)
"""Objects take these in turn; told apart by most colour-blind readers too, by lightness if not by hue."""


def colour(identity: int) -> Colour:
    """RGB of an object id; black is the background's, 0."""
    return COLOURS[(identity - 1) % len(COLOURS)] if identity else (0, 0, 0)


def palette() -> list[int]:
    """The same colours as a PNG palette of 256 RGB triples."""
    return [channel for identity in range(256) for channel in colour(identity)]
