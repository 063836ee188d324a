"""Runs a numba kernel on several threads of this process.

Kernels release the interpreter lock and are told (part, parts): each takes the work items part,
part + parts, part + 2 parts, … so that no result depends on how many threads there are. The threads
are ordinary ones, not numba's: those spin between calls, which starves torch's, and abort after a
fork.

Whoever is free takes the next part, and the caller is never idle while a part is left: it waits
only for parts that run already. So nothing can deadlock, be the pool busy with other callers, be
the caller a thread of the pool itself, or be there no other thread at all.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from queue import SimpleQueue

import torch

from gs_esd.render.cpu.jit.kernel_cache import load_numba

_chosen_threads: int | None = None


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
    """Call kernel(part, parts) for every part, no more parts than work items, and wait for all.

    If calls fail, the others are finished first, and the first failure is raised. Only Ctrl-C may
    cut the wait short: threads that still write then keep their arrays alive through `kernel`.
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
        _invite(threads, parts - 1, work)
    work()
    failures = [failure for _ in range(parts) if (failure := outcomes.get()) is not None]
    if failures:
        raise failures[0]


def _invite(threads: int, helpers: int, work: Callable[[], None]) -> None:
    pool = _pool(threads)
    with suppress(RuntimeError):  # no thread to be had, as while the interpreter shuts down
        for _ in range(helpers):
            pool.submit(work)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """The threads that help a caller; two callers at once share them."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="gs_esd_render")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child inherits no threads
