"""`experiments.diagnose` under its earlier name."""

import sys

from framework.config.renamed import renamed_command

if __name__ == "__main__":
    print(renamed_command("examine"), file=sys.stderr)
    sys.exit(2)
