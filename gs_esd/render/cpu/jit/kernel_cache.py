"""The `kernel` decorator, and the on-disk cache of compiled kernels.

numba's own cache (`cache=True`) is not sufficient. It invalidates a kernel only when the file with
the kernel changes, but these kernels inline functions of other files of render/cpu, and would run
stale code after a change there. Processes that fill one cache at the same time can confuse entries
of equal names, such as code for two processor models. And numba raises an error where no cache
folder is writable.

So each version of these sources, for each version of numba and processor model, has a cache folder
of its own, inside the folder numba would use: NUMBA_CACHE_DIR, `__pycache__` or the user's cache,
whichever is writable first; for an installed package, `__pycache__` comes last. Its entries are
never stale, and processes that fill it at the same time write identical files, each atomically.
Without a writable folder every process compiles for itself.

The folder is passed by numba's configuration, which numba reads while it decorates a function. It
is changed for that moment only: caches of a user's own functions stay where they are.
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
from numba.misc.appdirs import AppDirs

UNUSED_LIMIT_S = 30 * 24 * 3600.0
"""Seconds without use after which the kernels of another version are deleted."""


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: compile a function with numba, cache it on disk, and run it without the GIL.

    Args:
        options: further options of `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        folder, previous = cache_folder(), numba.config.CACHE_DIR
        numba.config.CACHE_DIR = previous if folder is None else str(folder)
        try:
            return numba.njit(nogil=True, cache=folder is not None, **options)(function)
        finally:
            numba.config.CACHE_DIR = previous

    return decorate


def delete_stale_kernels() -> None:
    """Delete cached kernels of other versions that no process has used for UNUSED_LIMIT_S."""
    folder = cache_folder()
    others = [] if folder is None else folder.parent.glob("kernels-*")
    for other in others:
        with suppress(OSError):  # another process was faster
            if other.stat().st_mtime < time.time() - UNUSED_LIMIT_S:
                shutil.rmtree(other)


@cache
def load_numba() -> None:
    """Initialise numba's compiler, once per process, with the garbage collector switched off.

    Initialisation creates so many objects that collections would traverse all of torch's several
    times, which takes a tenth of a second.
    """
    with global_compiler_lock, _without_garbage_collection():
        kernel()(_nothing)()


# Decorators of functions that only kernels may call: called from Python, they crash the process.
# They are compiled into the calling kernel and not cached separately.
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
def cache_folder() -> Path | None:
    """The folder of this version's compiled kernels; None, after a warning, if none is writable."""
    if numba.config.DISABLE_JIT:
        return None
    configured = numba.config.CACHE_DIR
    try:
        parent = _numba_folder()
        folder = parent / f"kernels-{_fingerprint()}"
        folder.mkdir(exist_ok=True)
        os.utime(folder)
    except (RuntimeError, OSError):  # numba raises RuntimeError where no folder is writable
        _warn("nowhere: every process compiles them again, which takes about ten seconds")
        return None
    if configured and not parent.is_relative_to(Path(configured).absolute()):
        _warn(f"in {parent}, not in NUMBA_CACHE_DIR={configured}, which is not writable")
    return folder


def _numba_folder() -> Path:
    """The folder in which numba caches; not in site-packages, if another is writable.

    pip removes only what it installed: caches would keep the folders of a package that is gone,
    and such folders hide an editable installation of the same name.
    """
    configured = numba.config.CACHE_DIR
    if not configured and "site-packages" in Path(__file__).parts:
        numba.config.CACHE_DIR = AppDirs(appname="numba", appauthor=False).user_cache_dir
    try:
        return Path(numba.njit(cache=True)(_nothing).stats.cache_path).absolute()
    finally:
        numba.config.CACHE_DIR = configured


def _nothing() -> None:
    """An empty function for numba to compile."""


def _fingerprint() -> str:
    """A digest of everything that machine code depends on: sources, numba and the processor."""
    digest = hashlib.sha256(f"{numba.__version__} {get_host_cpu_name()}".encode())
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _warn(where: str) -> None:
    warnings.warn(
        f"Compiled kernels are cached {where}. Set NUMBA_CACHE_DIR to a writable folder.",
        RuntimeWarning,
        stacklevel=3,
    )


if hasattr(os, "register_at_fork"):
    # A child forked while another thread compiles would wait forever for that thread's lock.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
