"""What this machine has that the project uses: `engram doctor`, or `engram doctor --json` for a fault report.

Versions, devices, threads, decoders, writable folders, W&B. Nothing is changed and nothing is sent.
"""

import sys

from framework.diagnostics.machine import as_json, as_text, machine
from framework.networks.checkpoints import cache_folder


def main() -> None:
    options = sys.argv[1:]
    if options not in ([], ["--json"]):
        print(f"usage: engram doctor [--json]\n\n{__doc__}", file=sys.stdout if options == ["--help"] else sys.stderr)
        raise SystemExit(0 if options == ["--help"] else 2)
    found = machine(cache_folder())
    print(as_json(found) if options else as_text(found))


if __name__ == "__main__":
    main()
