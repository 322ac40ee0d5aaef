"""The one exception a user causes and can fix."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Bad input from outside: a file, a prompt, an option, a checkpoint, a folder.

    The message is one line that names the thing and the fix. Entry points print it and exit with code 2.
    """


def unknown(kind: str, name: object, valid: Iterable[object]) -> InputError:
    """`unknown policy 'sma2': did you mean sam2? (valid: dam4sam, sam2)`."""
    names = sorted(map(str, valid))
    near = difflib.get_close_matches(str(name).rpartition(".")[2], names, n=2, cutoff=0.6)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    return InputError(f"unknown {kind} '{name}': {guess}(valid: {', '.join(names) or 'none'})")
