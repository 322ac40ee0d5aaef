"""Looks into one tracked frame: `engram inspect outputs/hard-val hard-val-0003 31 variant=sam2 object=1 output=31.png`.

RUN is a folder of results: of `ablate` or `evaluate`, <output>/<data set> with all variants or one run in it; or of
`track`, where SEQUENCE is left out. A table and a picture say what the network proposed, with scores, what memory was
read in which slot, and what was decided. Hypotheses are there when hypotheses=true kept them; for `track`, when
hypotheses.json is among its outputs.
"""

# A file called inspect.py would stand before the standard library's for whatever is started in this folder.

import sys
from pathlib import Path

from rich.console import Console

from framework.config.error_lines import explain
from framework.config.texts import in_home
from framework.errors import InputError, unknown
from framework.report.inspection import inspect
from framework.report.picture_files import write_picture
from framework.storage.files import safe_name

OPTIONS = ("variant", "object", "output")


def look(arguments: list[str]) -> Path:
    """Prints the table and writes the picture. Raises InputError."""
    given = [text for text in arguments if "=" not in text]
    options = dict(text.split("=", 1) for text in arguments if "=" in text)
    for name in options:
        if name not in OPTIONS:
            raise unknown("option", name, OPTIONS)
    if len(given) not in (2, 3) or not all(text.isdecimal() for text in (given[-1], options.get("object", "1"))):
        raise InputError("give RUN SEQUENCE FRAME, the frame as a number: engram inspect --help says more")
    key = int(options["object"]) if "object" in options else None
    run, sequence = Path(in_home(given[0])), given[1] if len(given) == 3 else None
    found = inspect(run, sequence, int(given[-1]), options.get("variant"), key)
    Console().print(found.table())
    path = Path(in_home(options.get("output", f"outputs/inspect/{safe_name(found.sequence)}-{found.frame}.png")))
    write_picture(path, found.picture())
    return path


def main() -> None:
    if len(sys.argv) < 3 or {"-h", "--help"} & {*sys.argv}:
        print(f"usage: engram inspect RUN [SEQUENCE] FRAME [{'= '.join(OPTIONS)}=]\n\n{__doc__}")
        return
    try:
        print(look(sys.argv[1:]))
    except (InputError, OSError) as error:
        print(explain(error), file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
