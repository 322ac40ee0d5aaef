"""Box files: GOT-10k and TrackingNet archives for their servers, LaSOT text for pytracking and the Matlab toolkit."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from framework.benchmarks.export import ExportInput, Format
from framework.benchmarks.predictions import box_rows


def table(rows: Float[np.ndarray, "T K"], decimals: int | None) -> bytes:
    """Comma-separated lines; None: as few decimals as tell each number."""
    form = "{:." + str(decimals) + "f}" if decimals is not None else "{}"
    lines = (
        ",".join(form.format(v if decimals is not None else np.format_float_positional(v, trim="-")) for v in row)
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines).encode()


def got10k(item: ExportInput) -> Iterator[tuple[str, bytes]]:
    """<sequence>/<sequence>_001.txt and <sequence>/<sequence>_time.txt, in seconds."""
    name, record = item.record.sequence, item.record
    yield f"{name}/{name}_001.txt", table(box_rows(item.video, record, item.empty), 3)
    seconds = record.own_seconds() / record.length
    yield f"{name}/{name}_time.txt", table(np.full((record.length, 1), seconds), 8)


def flat(item: ExportInput) -> Iterator[tuple[str, bytes]]:
    """<sequence>.txt."""
    yield f"{item.record.sequence}.txt", table(box_rows(item.video, item.record, item.empty), None)


def contained(names: list[str]) -> str | None:
    """The server of TrackingNet looks for `x.txt` in all names, so it takes a video `x` for missing beside `ax`."""
    for name in names:
        longer = [other for other in names if other != name and other.endswith(name)]
        if longer:
            return f"{name}: its file name is the end of that of {longer[0]}, so the server would find neither"
    return None


GOT10K = Format(got10k, packed=True)
TRACKINGNET = Format(flat, packed=True, trap=contained)
LASOT = Format(flat)
