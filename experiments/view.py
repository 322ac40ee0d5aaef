"""All results below a folder in a browser: `engram view outputs`, until Ctrl-C. FOLDER is outputs where none is given.

Lists data sets with their variants, tables and failed sequences, tracked videos, and the interactive pages, which also
open from disk. Only this machine is answered; port= chooses the port.
"""

import sys
from pathlib import Path

from framework.config.error_lines import explain
from framework.errors import InputError, unknown
from framework.report.catalogue import server


def main() -> None:
    if {"-h", "--help"} & {*sys.argv}:
        print(f"usage: engram view [FOLDER] [port=]\n\n{__doc__}")
        return
    try:
        serve(sys.argv[1:])
    except KeyboardInterrupt:
        return
    except (InputError, OSError) as error:
        print(explain(error), file=sys.stderr)
        raise SystemExit(2) from None


def serve(arguments: list[str]) -> None:
    """Prints the address and answers until it is interrupted. Raises InputError."""
    given = [text for text in arguments if "=" not in text]
    options = dict(text.split("=", 1) for text in arguments if "=" in text)
    for name in options:
        if name != "port":
            raise unknown("option", name, ("port",))
    folder, port = Path(given[0] if given else "outputs"), options.get("port", "0")
    if len(given) > 1 or not port.isdecimal() or int(port) > 65535:
        raise InputError("give one folder, and a number up to 65535 as port=: engram view --help says more")
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give one that ablate, evaluate or track wrote to")
    with server(folder, int(port)) as serving:
        print(f"http://127.0.0.1:{serving.server_address[1]}/ shows {folder}; Ctrl-C ends it", flush=True)
        serving.serve_forever()


if __name__ == "__main__":
    main()
