"""These tests need a browser and what drives it: `make test-browser` installs and runs them."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]
