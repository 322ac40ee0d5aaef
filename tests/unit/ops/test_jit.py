import os
import subprocess
import sys
from pathlib import Path

import numba

from framework.ops.jit import compiled

ROOT = Path(__file__).parents[3]


def test_functions_compile_where_they_cannot_be_kept():
    code = {}
    exec("def twice(number):\n    return 2 * number", code)  # no file, so no place for a cache beside it
    assert compiled(code["twice"])(4) == 8
    assert os.environ.get("NUMBA_CACHE_LOCATOR_CLASSES", "") == numba.config.CACHE_LOCATOR_CLASSES


def test_a_change_of_what_is_called_reaches_the_caller(tmp_path):
    """Machine code is kept on disk with what it calls in it."""
    package = tmp_path / "cached"
    package.mkdir()
    (package / "__init__.py").touch()
    called = "from framework.ops.jit import compiled\n\n\n@compiled\ndef step(number):\n    return number + {}\n"
    (package / "calling.py").write_text(
        "from cached.called import step\nfrom framework.ops.jit import compiled\n\n\n"
        "@compiled\ndef twice(number):\n    return step(step(number))\n"
    )
    for by in (1, 5):
        (package / "called.py").write_text(called.format(by))
        for kept in (False, True):
            code = "from cached.calling import twice; print(twice(10), sum(twice.stats.cache_hits.values()))"
            found = subprocess.run(
                [sys.executable, "-B", "-c", code],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(tmp_path)},
                capture_output=True,
                text=True,
                check=True,
            )
            assert found.stdout.split() == [str(10 + 2 * by), str(int(kept))]
