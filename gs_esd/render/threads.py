"""Runs a numba kernel on several threads of this process.

Kernels release the interpreter lock and are told (part, parts): each takes the work items part,
part + parts, part + 2 parts, … so that no result depends on how many threads there are. The threads
are ordinary ones, not numba's: those spin between calls, which starves torch's, and abort after a
fork.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_chosen_threads: int | None = None
_pool: ThreadPoolExecutor | None = None
_pool_key = (0, 0)  # process and number of threads the pool was made for


def set_num_threads(threads: int | None) -> None:
    """Fix how many threads the kernels use; None, as at first, follows `torch.get_num_threads()`.

    Raises:
        ValueError: threads is smaller than one.
    """
    global _chosen_threads
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, or None, got {threads}")
    _chosen_threads = threads


def get_num_threads() -> int:
    """How many threads the kernels use now."""
    return torch.get_num_threads() if _chosen_threads is None else _chosen_threads


def run_parts(kernel: Callable[[int, int], None], items: int) -> None:
    """Call kernel(part, parts) for every part, no more parts than work items, and wait for all."""
    parts = max(1, min(get_num_threads(), items))
    if parts == 1:
        kernel(0, 1)
        return
    pool = _current_pool(parts)
    others = [pool.submit(kernel, part, parts) for part in range(1, parts)]
    try:
        kernel(0, parts)
    finally:
        for other in others:
            other.result()


def _current_pool(threads: int) -> ThreadPoolExecutor:
    """The pool of this process, made anew in a forked child, which inherits no threads."""
    global _pool, _pool_key
    process, size = _pool_key
    if _pool is None or process != os.getpid() or size < threads:
        _pool = ThreadPoolExecutor(threads, thread_name_prefix="gs_esd_render")
        _pool_key = (os.getpid(), threads)
    return _pool
