"""What golden numbers of whole videos are compared in."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch


@pytest.fixture
def avx512(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    """A process in which MKL multiplies matrices with the AVX-512 kernels of the golden run.

    MKL keeps them for CPUs of its own vendor. MKL_CBWR, MKL_ENABLE_INSTRUCTIONS and MKL_DEBUG_CPU_TYPE do not bring
    them to others, so a preloaded library answers MKL's question for the vendor.
    """
    library = tmp_path / "vendor.so"
    answers = "int mkl_serv_intel_cpu(void) { return 1; }\nint mkl_serv_intel_cpu_true(void) { return 1; }\n"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "-xc", "-"], input=answers, text=True, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,)) as process:
        yield process
