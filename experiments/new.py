"""Writes the files of a new plug-in: `engram new policy diversity`, `engram new motion acceleration`.

In this project's own folder they go to policies/ or motion/; anywhere else to mine/, conf/ and tests/ beside it.
"""

import importlib
import re
import sys
from pathlib import Path

from framework.diagnostics.templates import KINDS, plug_in_files
from framework.errors import InputError, unknown


def write(kind: str, name: str) -> list[Path]:
    """The files written, none over another. Raises InputError."""
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(f"{name} is no name of a plug-in: use lower case, digits and underscores")
    own = Path(importlib.import_module(KINDS[kind]).__file__ or "").parent == Path(KINDS[kind]).resolve()
    package, tests = (KINDS[kind], f"tests/unit/{KINDS[kind]}") if own else ("mine", "tests")
    files = plug_in_files(kind, name, package, tests)
    for path in files:
        if path.exists():
            raise InputError(f"{path} is there already: choose another name")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(files)


def main() -> None:
    arguments = sys.argv[1:]
    if len(arguments) != 2 or {"-h", "--help"} & {*arguments}:
        print(f"usage: engram new policy|motion NAME\n\n{__doc__}")
        raise SystemExit(0 if {"-h", "--help"} & {*arguments} else 2)
    kind, name = arguments
    try:
        code, options, test = write(kind, name)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    choice = name if kind == "policy" else f'"sam2 motion={name}"'
    folder = "" if code.parts[0] == KINDS[kind] else "--config-dir conf "
    print(f"{code}\n{options}\n{test}\n\nengram check {code}\nengram ablate {folder}'variants=[sam2,{choice}]'")


if __name__ == "__main__":
    main()
