"""Files that appear whole or not at all, under names that any file system takes."""

import os
import re
import uuid
from contextlib import suppress
from pathlib import Path


def write_atomic(path: Path, content: bytes) -> None:
    """The whole file or none of it, also when the process is killed or the disk is full."""
    part = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def safe_name(name: str) -> str:
    """`name` as a file name."""
    return re.sub(r"[^\w.+=-]+", "_", name)
