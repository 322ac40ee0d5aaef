"""What a user causes and can fix, where a plug-in raised anything else, and the end of work that failed in part."""

import difflib
import inspect
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class InputError(Exception):
    """Bad input from outside: a file, a prompt, an option, a checkpoint, a folder.

    The message is one line that names the thing and the fix. Entry points print it and exit with code 2.
    """


class PartlyFailed(SystemExit):
    """Some of a command's work failed, and was named; what did not is its result. Exit code 1."""

    def __init__(self, result: Any, reason: str) -> None:
        super().__init__(1)
        self.result, self.reason = result, reason


def unknown(kind: str, name: object, valid: Iterable[object]) -> InputError:
    """`unknown policy 'sma2': did you mean sam2? (valid: dam4sam, sam2)`."""
    names = sorted(map(str, valid))
    near = difflib.get_close_matches(str(name).rpartition(".")[2], names, n=2, cutoff=0.6)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    return InputError(f"unknown {kind} '{name}': {guess}(valid: {', '.join(names) or 'none'})")


class PlugInFault(str):
    """Note on an exception: `Mine.write, policies/mine.py:42, frame 3, object 1`."""

    plug_in: object

    @classmethod
    def of(cls, error: BaseException) -> "PlugInFault | None":
        """Where a plug-in raised it; None where no plug-in did."""
        return next((note for note in getattr(error, "__notes__", ()) if isinstance(note, cls)), None)


@contextmanager
def calling(plug_in: object, method: str, frame: int, key: int) -> Iterator[None]:
    """Adds a `PlugInFault` to an exception that leaves the block, which calls a plug-in for one object on a frame."""
    try:
        yield
    except Exception as error:
        if PlugInFault.of(error) is None:
            where = _raised_at(error, plug_in, method)
            fault = PlugInFault(f"{type(plug_in).__name__}.{method}, {where}, frame {frame}, object {key}")
            fault.plug_in = plug_in
            error.add_note(fault)
        raise


def _raised_at(error: BaseException, plug_in: object, method: str) -> str:
    """File and line: the last of the trace that is in a file of the plug-in, or else where its method begins."""
    calls = traceback.extract_tb(error.__traceback__)
    for file in _files(plug_in):
        for call in reversed(calls):
            if call.filename == file:
                return f"{_short(file)}:{call.lineno}"
    code = inspect.unwrap(getattr(type(plug_in), method)).__code__
    return f"{_short(code.co_filename)}:{code.co_firstlineno}"


def _files(plug_in: object) -> Iterator[str]:
    """Source files of its classes, the most derived first, those of what it wraps before its own."""
    inner = getattr(plug_in, "policy", None)
    if inner is not None:
        yield from _files(inner)
    for kind in type(plug_in).__mro__:
        if not kind.__module__.startswith("framework."):
            with suppress(TypeError, OSError):
                yield inspect.getfile(kind)


def _short(file: str) -> str:
    """Relative to the working folder where it is inside."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def reason(error: BaseException) -> str:
    """One line: what went wrong and, in a plug-in, where."""
    text = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    fault = PlugInFault.of(error)
    return " ".join(text.split()) + (f" ({fault})" if fault else "")
