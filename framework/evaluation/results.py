"""Results on disk: one atomic file per (run hash, sequence), readable with gzip, json and pycocotools.

    <output>/<data set>/<run hash>/run.json             what decides the results, and notes
    <output>/<data set>/<run hash>/<sequence>.json.gz   `SequenceRecord`, columns of equal length per object
    <output>/<data set>/<run hash>/<sequence>.hypotheses.json.gz    all masks that the network proposed, if asked for
    <output>/<data set>/<run hash>/<sequence>.failed.txt    why the last attempt failed, then the trace
    <output>/<data set>/<run hash>/<sequence>.lock      a process is at work on it

A file appears whole or not at all, so a run may be killed at any moment and started again. A lock is made with O_EXCL
by one process and is free to take when that process has died on this host or has not touched it for `STALE_AFTER`
seconds.
"""

import gzip
import json
import os
import socket
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from framework.errors import InputError
from framework.evaluation.records import FORMAT, Hypotheses, SequenceRecord, from_json, to_json
from framework.storage import hypotheses
from framework.storage.differences import differences
from framework.storage.files import safe_name, write_atomic

STALE_AFTER = 600.0  # seconds without a heartbeat
HEARTBEAT = 5.0  # seconds


class Lock:
    """This process's claim on one sequence of one run."""

    def __init__(self, path: Path, token: str) -> None:
        self.path, self.token = path, token
        self._touched = time.monotonic()

    def beat(self) -> None:
        """Shows that the owner is alive; call it once per frame."""
        if time.monotonic() - self._touched > HEARTBEAT:
            with suppress(OSError):
                os.utime(self.path)
            self._touched = time.monotonic()

    def release(self) -> None:
        """Removes the lock unless another process has taken it over."""
        if (_owner(self.path) or {}).get("token") == self.token:
            with suppress(FileNotFoundError):
                self.path.unlink()


def _owner(lock: Path) -> dict[str, Any] | None:
    """What a lock says of its owner; {} when it is not written yet, None when it is gone."""
    try:
        return json.loads(lock.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


def _is_stale(lock: Path, owner: Mapping[str, Any]) -> bool:
    if owner.get("host") == socket.gethostname():
        try:
            os.kill(owner["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
    try:
        # A heartbeat of the future is of a clock that was set back since: it would keep others out until then.
        return abs(time.time() - lock.stat().st_mtime) > STALE_AFTER
    except FileNotFoundError:
        return False


@cache
def _beginning(path: Path, size: int, modified: int) -> bytes:
    """How the text of a result begins; empty unless it is whole. Reads a file once for as long as it stays the same."""
    try:
        with gzip.open(path) as file:
            beginning = file.read(4096)
            while file.read(1 << 20):  # to the checksum at the end
                pass
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return b""
    return beginning


def _unwritable(path: Path, error: OSError) -> InputError:
    reason = error.strerror or type(error).__name__
    return InputError(f"cannot write results to {path} ({reason}): make room or choose another output=")


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Sequences of a run by what became of them."""

    done: tuple[str, ...]
    running: tuple[str, ...]
    """Another process is at work on them."""
    failed: Mapping[str, str]
    """With the reason; tried again by the next run."""
    missing: tuple[str, ...]


@dataclass(frozen=True)
class RunFolder:
    """Results of one tracker under one protocol on one data set."""

    path: Path
    hash: str
    keep_hypotheses: bool = False
    """A sequence is finished only when there is what the network proposed, too."""

    @classmethod
    def at(cls, output: Path, data: str, run: str) -> "RunFolder":
        """Where the results of a run are; nothing is made or checked."""
        return cls(output / safe_name(data) / run, run)

    @classmethod
    def open(
        cls, output: Path, data: str, run: str, identity: Mapping[str, Any], notes: Mapping[str, Any]
    ) -> "RunFolder":
        """Makes the folder, or checks that what is in it belongs to this run."""
        folder = cls.at(output, data, run)
        about = folder.path / "run.json"
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            if not about.exists():
                text = json.dumps({"format": FORMAT, "identity": identity, "notes": notes}, indent=1, sort_keys=True)
                write_atomic(about, text.encode())
        except OSError as error:
            raise _unwritable(folder.path, error) from error
        try:
            there = json.loads(about.read_text())
            same = there["format"] == FORMAT and there["identity"] == json.loads(json.dumps(identity))
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{about} is damaged: restore it, or choose another output=") from error
        if not same:
            what = "; ".join(differences(there["identity"], json.loads(json.dumps(identity)))[:3])
            raise InputError(
                f"{folder.path} holds another configuration's results ({what}): remove it or choose another output="
            )
        return folder

    def _result(self, sequence: str) -> Path:
        return self.path / f"{safe_name(sequence)}.json.gz"

    def _proposed(self, sequence: str) -> Path:
        return self.path / f"{safe_name(sequence)}.hypotheses.json.gz"

    def trace(self, sequence: str) -> Path:
        """Where a failure is told: its reason on the first line, then the trace."""
        return self.path / f"{safe_name(sequence)}.failed.txt"

    def finished(self, sequence: str) -> bool:
        """Whether there is a whole result; one that a crash or a copy left torn or empty is tracked again.

        Raises InputError for a result of another run.
        """
        path = self._result(sequence)
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        if self.keep_hypotheses and not self._proposed(sequence).exists():
            return False
        beginning = _beginning(path, found.st_size, found.st_mtime_ns)
        ours = json.dumps({"format": FORMAT, "run": self.hash, "sequence": sequence}, separators=(",", ":"))
        if beginning and not beginning.startswith(ours.removesuffix("}").encode()):
            self.load(sequence)  # written some other way, or refused by name
        return bool(beginning)

    def save(self, record: SequenceRecord) -> None:
        """Raises InputError when the folder cannot be written; nothing is left half-written."""
        files = {self._result(record.sequence): to_json(record)}
        if record.hypotheses is not None:
            objects = {
                key: {frame: hypotheses.to_json(those) for frame, those in found.items()}
                for key, found in record.hypotheses.items()
            }
            about = {"format": FORMAT, "run": record.run, "sequence": record.sequence, "objects": objects}
            files = {self._proposed(record.sequence): about, **files}
        try:
            for path, plain in files.items():
                text = json.dumps(plain, separators=(",", ":"), allow_nan=False)
                write_atomic(path, gzip.compress(text.encode(), mtime=0))
            self.trace(record.sequence).unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def load(self, sequence: str) -> SequenceRecord:
        """Raises InputError for a file that is damaged or belongs to another run."""
        path = self._result(sequence)
        try:
            record = from_json(json.loads(gzip.decompress(path.read_bytes())))
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
            raise InputError(f"{path} is damaged or of another version: remove it and run again") from error
        if record.run != self.hash or record.sequence != sequence:
            raise InputError(f"{path} is another configuration's result: remove it or choose another output=")
        return record

    def load_hypotheses(self, sequence: str) -> Hypotheses | None:
        """What the network proposed; None where it was not asked for. Raises InputError for a damaged file."""
        path = self._proposed(sequence)
        try:
            objects = json.loads(gzip.decompress(path.read_bytes()))["objects"]
            return {
                int(key): {int(frame): hypotheses.from_json(those) for frame, those in found.items()}
                for key, found in objects.items()
            }
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
            raise InputError(f"{path} is damaged or of another version: remove it and run again") from error

    def fail(self, sequence: str, reason: str, trace: str) -> None:
        """Records why a sequence could not be tracked; the next run tries it again."""
        write_atomic(self.trace(sequence), f"{reason}\n\n{trace}".encode())

    def failed_at(self, sequence: str) -> int | None:
        """When a failure was recorded, by the clock that its file system had then; None when there is none."""
        try:
            return self.trace(sequence).stat().st_mtime_ns
        except OSError:
            return None

    def failure(self, sequence: str) -> str | None:
        """The reason of a failure; None when there is none."""
        try:
            return self.trace(sequence).read_text().partition("\n")[0]
        except (OSError, ValueError):
            return None

    def running(self, sequence: str) -> bool:
        """Whether a living process is at work on the sequence."""
        lock = self.path / f"{safe_name(sequence)}.lock"
        owner = _owner(lock)
        return owner is not None and not _is_stale(lock, owner)

    def progress(self, sequences: Iterable[str]) -> "RunProgress":
        """How far the run is; the folder need not exist."""
        done, running, missing, failed = [], [], [], {}
        for name in sequences:
            if self.finished(name):
                done.append(name)
            elif self.running(name):
                running.append(name)
            elif (reason := self.failure(name)) is not None:
                failed[name] = reason
            else:
                missing.append(name)
        return RunProgress(tuple(done), tuple(running), failed, tuple(missing))

    def claim(self, sequence: str) -> Lock | None:
        """A lock on an unfinished sequence; None when it is finished or another process is at work on it."""
        path = self.path / f"{safe_name(sequence)}.lock"
        token = uuid.uuid4().hex
        note = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "token": token}).encode()
        for _ in range(2):
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                if not self._take_away(path):
                    return None
                continue
            except OSError as error:
                raise _unwritable(self.path, error) from error
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(note)
            except OSError as error:
                path.unlink(missing_ok=True)  # one without an owner would be waited for
                raise _unwritable(self.path, error) from error
            lock = Lock(path, token)
            if self.finished(sequence):  # by the process whose lock has just gone
                lock.release()
                return None
            return lock
        return None

    @staticmethod
    def _take_away(lock: Path) -> bool:
        """Removes a stale lock; says whether it is gone."""
        owner = _owner(lock)
        if owner is None:
            return True
        if not _is_stale(lock, owner):
            return False
        aside = lock.with_name(f".{lock.name}.{uuid.uuid4().hex[:8]}.stale")
        try:
            lock.rename(aside)  # one process wins
        except FileNotFoundError:
            return True
        if _owner(aside) != owner:  # a fresh lock took the stale one's place in between: give it back
            with suppress(OSError):
                os.link(aside, lock)
            aside.unlink(missing_ok=True)
            return False
        aside.unlink(missing_ok=True)
        return True


@contextmanager
def claims(folders: Iterable[RunFolder], sequence: str) -> Iterator[dict[str, Lock]]:
    """Run hash -> lock on `sequence`, for the runs that have not finished it; released at the end.

    All or none: while another process works on one of them, it probably has its hands on the others too. Locks are
    taken in the order of the hashes, so two processes cannot hold one each and wait for the other.
    """
    held: dict[str, Lock] = {}
    try:
        for folder in sorted(folders, key=lambda folder: folder.hash):
            if not folder.finished(sequence):
                lock = folder.claim(sequence)
                if lock is None and not folder.finished(sequence):
                    while held:
                        held.popitem()[1].release()
                    break
                if lock is not None:
                    held[folder.hash] = lock
        yield held
    finally:
        for lock in held.values():
            lock.release()
