"""Entry points: one command each, `engram <command>` or `python -m experiments.<command>`."""

import sys
from pathlib import Path

_home = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, _home)  # the working folder may have an engram.py of its own
try:
    from engram import own_packages
finally:
    sys.path.remove(_home)
own_packages()
