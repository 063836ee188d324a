"""The decorator of the render kernels, and the folder on disk that keeps their machine code.

numba's cache alone would not do. It compares a kernel only with the file that the kernel is in, yet
kernels here inline functions of other files of render/cpu: after a change there, the old machine
code would run on. Processes that fill one cache at the same moment can swap what is alike in name
only, such as code for two kinds of processor. And where it can write nowhere, numba gives up.

So every state of these sources, on every numba and kind of processor, has a folder of its
own. It lies where numba would keep the kernels: in NUMBA_CACHE_DIR, `__pycache__` or the user's
cache, the first that can be written. Nothing in it can be stale, and processes that fill it
together write the same things, each file at one stroke. Where it cannot be, every process compiles
for itself.

The folder's name goes through numba's configuration, which is read while a function is decorated.
It is changed for just that long: the caches of a user's own functions stay where they are.
"""

import gc
import hashlib
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from llvmlite.binding import get_host_cpu_name
from numba.core.compiler_lock import global_compiler_lock

FORGOTTEN_AFTER = 30 * 24 * 3600.0  # seconds without use


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function to be compiled, kept on disk, and run without the interpreter lock.

    options: further ones of `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        folder, users = kept_in(), numba.config.CACHE_DIR
        numba.config.CACHE_DIR = users if folder is None else str(folder)
        try:
            return numba.njit(nogil=True, cache=folder is not None, **options)(function)
        finally:
            numba.config.CACHE_DIR = users

    return decorate


def forget_stale_kernels() -> None:
    """Delete the kernels of other sources that no process has asked for in a while."""
    folder = kept_in()
    others = [] if folder is None else folder.parent.glob("kernels-*")
    for other in others:
        with suppress(OSError):  # another process was quicker
            if other.stat().st_mtime < time.time() - FORGOTTEN_AFTER:
                shutil.rmtree(other)


@cache
def load_numba() -> None:
    """Do what makes a process's first call of a kernel slow, once and quickly.

    It makes so many objects that the search for cyclic garbage would walk through all of torch's
    again and again, for a tenth of a second.
    """
    with global_compiler_lock, _without_garbage_collection():
        kernel()(_nothing)()


# Decorators of what only kernels call; from Python, such a function would crash the process. It is
# compiled into the kernel's code and not kept by itself.
inner = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True)
inlined = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, forceinline=True)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if was_enabled:
            gc.enable()


@cache
def kept_in() -> Path | None:
    """Where kernels are kept; None, after a warning, where nothing can be written."""
    if numba.config.DISABLE_JIT:
        return None
    wanted = numba.config.CACHE_DIR
    try:
        parent = Path(numba.njit(cache=True)(_nothing).stats.cache_path).absolute()
        folder = parent / f"kernels-{_fingerprint()}"
        folder.mkdir(exist_ok=True)
        os.utime(folder)
    except (RuntimeError, OSError):  # numba's way to say so, and the system's
        _warn("nowhere: every process compiles them anew, which takes some ten seconds")
        return None
    if wanted and not parent.is_relative_to(Path(wanted).absolute()):
        _warn(f"in {parent}, not in NUMBA_CACHE_DIR={wanted}, which cannot be written")
    return folder


def _nothing() -> None:
    """Something to ask numba to compile."""


def _fingerprint() -> str:
    """Stands for everything that machine code depends on."""
    digest = hashlib.sha256(f"{numba.__version__} {get_host_cpu_name()}".encode())
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _warn(where: str) -> None:
    warnings.warn(
        f"Compiled kernels are kept {where}. Set NUMBA_CACHE_DIR to a folder that can be written.",
        RuntimeWarning,
        stacklevel=3,
    )


if hasattr(os, "register_at_fork"):
    # A child that is forked while another thread compiles would wait for that thread forever.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
