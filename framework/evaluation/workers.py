"""More processes on the same work: each takes what no other has claimed, and what one leaves the others finish."""

import os
import pickle
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import cloudpickle
import cv2
import torch
from loky import ProcessPoolExecutor, cpu_count
from loky.process_executor import BrokenProcessPool

from framework.errors import InputError

IDLE = 2.0
"""Seconds without work after which a process ends, also where the first one is gone."""

Workers = int | Literal["auto"]
Work = Callable[[Callable[[], None]], None]
"""What every process does; it calls its argument often, which ends it when it is no longer wanted."""


def number_of(workers: Workers, tasks: int) -> int:
    """Processes for so many tasks; "auto" is one for each GPU, or else for each core. Raises InputError below 1."""
    if workers == "auto":
        workers = torch.cuda.device_count() or cpu_count()
    if workers < 1:
        raise InputError(f"workers={workers} must be 1 or more, or auto")
    return max(min(workers, tasks), 1)


@contextmanager
def working(work: Work, workers: int) -> Iterator[Callable[[], None]]:
    """While the block works, so do `workers` - 1 other processes; CPU threads are divided, and GPUs one for each.

    `work` goes to them by pickle. What is yielded raises what ended one of them; one that was killed is not missed.
    Raises InputError for work that cannot be pickled.
    """
    packed = _packed(work, workers) if workers > 1 else b""
    threads = max(min(torch.get_num_threads(), cpu_count() // workers), 1)
    pools = [
        ProcessPoolExecutor(1, timeout=IDLE, env=_gpu(other), initializer=_begin, initargs=(threads,))
        for other in range(1, workers)
    ]
    futures = [pool.submit(_work, packed, os.getpid(), torch.is_inference_mode_enabled()) for pool in pools]

    def check() -> None:
        for future in futures:
            error = future.exception() if future.done() else None
            if error is not None and not isinstance(error, BrokenProcessPool):  # killed: its claims are free again
                raise error

    before = torch.get_num_threads(), cv2.getNumThreads()
    if pools:
        _limit(threads, threads)
    try:
        yield check
        for future in futures:
            future.exception()  # waits
        check()
    finally:
        _limit(*before)
        for pool in pools:
            pool.shutdown(kill_workers=True)


def _packed(work: Work, workers: int) -> bytes:
    try:
        return cloudpickle.dumps(work)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise InputError(f"workers={workers} hands work to other processes, and {error}: give workers=1") from error


def _limit(torch_threads: int, cv2_threads: int) -> None:
    torch.set_num_threads(torch_threads)
    cv2.setNumThreads(cv2_threads)


def _gpu(other: int) -> Mapping[str, str]:
    """Environment in which another process takes the next GPU for this one's."""
    count = torch.cuda.device_count()
    if count < 2:
        return {}
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
    first = other % count
    return {"CUDA_VISIBLE_DEVICES": ",".join([*seen[first:], *seen[:first]])}


def _begin(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process, which ends the others
    _limit(threads, threads)


def _work(packed: bytes, parent: int, inference: bool) -> None:
    def check() -> None:
        if os.getppid() != parent:
            raise SystemExit

    try:
        with torch.inference_mode(inference):
            pickle.loads(packed)(check)
    except SystemExit:
        os._exit(0)  # nobody is left who could ask for more
