"""VOT trajectories read back: the inverse of what `framework.metrics.regions` writes."""

import struct

from framework.metrics.regions import Point, Polygon, Rectangle, Region, Special, mask_from_run_lengths, parse_region


def read_text(text: str) -> list[Region]:
    return [parse_region(line) for line in text.splitlines() if line.strip()]


def read_binary(data: bytes) -> list[Region]:
    position = 0

    def take(layout: str) -> tuple:
        nonlocal position
        values = struct.unpack_from("<" + layout, data, position)
        position += struct.calcsize("<" + layout)
        return values

    def region() -> Region:
        (kind,) = take("B")
        if kind == 0:
            return Special(*take("I"))
        if kind == 1:
            return Rectangle(*take("ffff"))
        if kind == 2:
            (count,) = take("H")
            flat = take(f"{2 * count}f")
            return Polygon(tuple(zip(flat[::2], flat[1::2], strict=True)))
        if kind == 3:
            x, y, width, height, count = take("hhHHH")
            return mask_from_run_lengths(take(f"{count}H"), x, y, width, height).cropped
        assert kind == 4
        return Point(*take("ff"))

    version, frames = take("hI")
    assert version == 1
    regions = [region() for _ in range(frames)]
    assert position == len(data)
    return regions
