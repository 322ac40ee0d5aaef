"""Writing results for official tools: what is missing is named first, then a folder or archive appears whole."""

import json
import shutil
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.benchmarks.predictions import Empty
from framework.data.sequence import DataSet, VideoSequence
from framework.errors import InputError
from framework.evaluation.records import SequenceRecord
from framework.evaluation.results import RunFolder
from framework.storage.files import safe_name

SHOWN = 5  # problems that a message names


@dataclass(frozen=True, slots=True)
class ExportInput:
    """One finished sequence on its way out."""

    video: VideoSequence
    record: SequenceRecord
    empty: Empty


@dataclass(frozen=True, slots=True)
class Format:
    """A layout of result files.

    Args:
        files: relative path and content of every file of one sequence; raises InputError for what it cannot hold.
        packed: one zip archive; else a folder.
        trap: what is wrong with the sequences' names taken together; None when nothing is.
    """

    files: Callable[[ExportInput], Iterable[tuple[str, bytes]]]
    packed: bool = False
    trap: Callable[[list[str]], str | None] = lambda names: None


def open_run(path: Path, data: DataSet) -> tuple[RunFolder, Empty]:
    """The results in a run's folder and how its protocol writes empty boxes.

    Raises InputError when there are none or when they are of other data.
    """
    try:
        identity: dict[str, Any] = json.loads((path / "run.json").read_text())["identity"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} holds no results: give run=<output>/<data set>/<run hash>") from error
    if identity["data"] != data.name:
        raise InputError(f"{path} holds results on {identity['data']}, not on {data.name}: give the same data=")
    return RunFolder(path, path.name), identity["protocol"].get("empty", "zeros")


def problems(folder: RunFolder, data: DataSet) -> list[str]:
    """What keeps the results from being complete: sequences, lengths, sizes, objects. Nothing is decoded."""
    found = []
    for index in range(len(data)):
        video = data.sequence(index)
        if not folder.finished(video.name):
            found.append(f"{video.name}: {folder.failure(video.name) or 'not tracked'}")
            continue
        try:
            wrong = mismatch(video, folder.load(video.name))
        except InputError as error:
            wrong = str(error)
        if wrong:
            found.append(f"{video.name}: {wrong}")
    return found


def mismatch(video: VideoSequence, record: SequenceRecord) -> str | None:
    """How a result differs in shape from its video."""
    if record.length != video.length:
        return f"{record.length} frames of {video.length}"
    if record.size != video.size:
        return "masks of {1}x{0}".format(*record.size) + " for frames of {1}x{0}".format(*video.size)
    starts: dict[int, int] = {}
    for frame, given in sorted(video.prompts().items()):
        for key in given:
            starts.setdefault(key, frame)
    for key, start in starts.items():
        if key not in record.objects:
            return f"object {key} is missing"
        if record.objects[key].frame != list(range(start, record.length)):
            return f"object {key} is not on every frame from {start} on"
    extra = sorted(record.objects.keys() - starts.keys())
    return f"object {extra[0]} is not in the data" if extra else None


def export(
    format: Format,
    folder: RunFolder,
    data: DataSet,
    output: Path,
    name: str,
    empty: Empty = "zeros",
    listener: Callable[[], None] = lambda: None,
) -> Path:
    """Writes `<output>/<name>` or, for an archive, `<output>/<name>.zip`; returns that path.

    The listener hears of every sequence that is written.

    Raises InputError, and writes nothing, when results are incomplete, when the format cannot hold them, or when the
    output is there already.
    """
    found = problems(folder, data)
    names = [data.sequence(index).name for index in range(len(data))]
    trap = format.trap(names)
    found += [trap] if trap else []
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise InputError(f"{len(found)} of {len(names)} sequences cannot be exported: {'; '.join(found[:SHOWN])}{more}")
    target = output / (safe_name(name) + (".zip" if format.packed else ""))
    if target.exists():
        raise InputError(f"{target} is there already: remove it or choose another output= or name=")
    with whole(target) as part, archive(part) if format.packed else tree(part) as write:
        for index, sequence in enumerate(names):
            for path, content in format.files(ExportInput(data.sequence(index), folder.load(sequence), empty)):
                write(path, content)
            listener()
    return target


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A place beside the target that becomes it at the end, or goes away."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield part
        part.rename(target)
    except BaseException:
        shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
        raise


@contextmanager
def tree(part: Path) -> Iterator[Callable[[str, bytes], None]]:
    """Writes files under a folder."""
    part.mkdir()

    def write(path: str, content: bytes) -> None:
        file = part / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    yield write


@contextmanager
def archive(part: Path) -> Iterator[Callable[[str, bytes], None]]:
    """Writes files into a zip archive that depends on nothing but them."""
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:

        def write(path: str, content: bytes) -> None:
            entry = zipfile.ZipInfo(path)  # dated 1980
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content, zipfile.ZIP_DEFLATED)

        yield write
