"""Reads what wandb wrote offline: a log of records in LevelDB's format, and the media beside it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER, BLOCK = 7, 32768
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(content: bytes) -> Iterator[bytes]:
    """Bytes of every record. A block holds chunks of crc (4), length (2), kind (1) and data; what is left is zeros."""
    assert content[:4] == b":W&B", "a log of wandb"
    at, parts = HEADER, b""
    while at < len(content):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        data = content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        parts = data if kind in (WHOLE, FIRST) else parts + data
        if kind in (WHOLE, LAST):
            yield parts


@dataclass(frozen=True)
class LoggedRun:
    """One run as it would be sent."""

    folder: Path
    id: str
    name: str
    group: str
    tags: list[str]
    config: dict[str, Any]
    history: list[dict[str, Any]]
    summary: dict[str, Any]

    def table(self, name: str) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of the table that was logged last under a name."""
        (path,) = [line[name]["path"] for line in self.history if name in line][-1:]
        plain = json.loads((self.folder / "files" / path).read_text())
        return plain["columns"], plain["data"]

    def files(self, suffix: str) -> list[Path]:
        """Media with this suffix."""
        return sorted((self.folder / "files").rglob(f"*{suffix}"))


def read_run(folder: Path) -> LoggedRun:
    """The run in an `offline-run-...` folder."""
    from wandb.proto.wandb_internal_pb2 import Record

    def values(items: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for item in items:
            *path, last = item.nested_key or [item.key]
            place = found
            for name in path:
                place = place.setdefault(name, {})
            place[last] = json.loads(item.value_json)
        return found

    (path,) = folder.glob("*.wandb")
    run, config, summary, history = None, {}, {}, []
    for content in records(path.read_bytes()):
        record = Record.FromString(content)
        if record.HasField("run"):
            run = record.run
            config |= values(run.config.update)
        elif record.HasField("config"):
            config |= values(record.config.update)
        elif record.HasField("summary"):
            summary |= values(record.summary.update)
        elif record.HasField("history"):
            history.append(values(record.history.item))
    assert run is not None
    return LoggedRun(folder, run.run_id, run.display_name, run.run_group, [*run.tags], config, history, summary)
