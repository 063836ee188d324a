"""Runs a numba kernel on several threads of this process.

Kernels release the GIL and get (part, parts): a part processes the work items part, part + parts,
part + 2 parts, … so that results do not depend on the number of threads. The pool has ordinary
Python threads, not numba's: those spin between calls, which starves torch's, and abort after a
fork.

Idle threads take the next part, and so does the caller: it waits only for parts that are already
running. So there is no deadlock, even if the pool is busy with other callers, if the caller is
itself a thread of the pool, or if no thread can be started.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from queue import SimpleQueue

import torch

from gs_esd.render.cpu.jit.kernel_cache import load_numba

_configured_threads: int | None = None


def set_num_threads(threads: int | None) -> None:
    """Set the number of threads of the kernels; None (the default): `torch.get_num_threads()`.

    Raises:
        ValueError: threads is smaller than one.
    """
    global _configured_threads
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, or None, got {threads}")
    _configured_threads = threads


def get_num_threads() -> int:
    """The current number of threads of the kernels."""
    return torch.get_num_threads() if _configured_threads is None else _configured_threads


def run_parts(kernel: Callable[[int, int], None], items: int) -> None:
    """Call kernel(part, parts) for every part, on several threads, and wait for all of them.

    There are as many parts as threads, but no more than work items. If calls raise, the other parts
    finish first, then the first exception is raised. Only Ctrl-C ends the wait early; threads that
    are still writing keep their arrays alive through `kernel`.
    """
    load_numba()
    threads = get_num_threads()
    parts = max(1, min(threads, items))
    todo = iter(range(parts))  # shared by all threads
    outcomes: SimpleQueue[BaseException | None] = SimpleQueue()

    def work() -> None:
        for part in todo:
            try:
                kernel(part, parts)
            except BaseException as error:
                outcomes.put(error)
            else:
                outcomes.put(None)

    if parts > 1:
        _submit(threads, parts - 1, work)
    work()
    failures = [failure for _ in range(parts) if (failure := outcomes.get()) is not None]
    if failures:
        raise failures[0]


def _submit(threads: int, helpers: int, work: Callable[[], None]) -> None:
    pool = _pool(threads)
    with suppress(RuntimeError):  # no thread can be started, as while the interpreter shuts down
        for _ in range(helpers):
            pool.submit(work)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """The threads besides the caller's; concurrent callers share them."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="gs_esd_render")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child inherits no threads
