"""Compiles and loads gsplat's CUDA kernels: one process compiles, others wait for it.

gsplat 1.5.3 ships sources, which torch compiles at the first import (gsplat/cuda/_backend.py and
torch/utils/cpp_extension.py). If two processes start at once, each deletes what the other has built
(gsplat issue 297): hence the lock. A gsplat installed from its source distribution has compiled
kernels (`gsplat/csrc.so`) and needs nothing of this. What compiling needs is checked, before a run
begins, by gsplat_requirements.py.
"""

import importlib.util
import logging
import os
import re
import shutil
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from gs_esd.errors import UserError
from gs_esd.system.hardware import torch_cuda_version

TOOLKIT_FILES = ("bin/nvcc", "include/cuda_runtime.h")
"""Files of a CUDA toolkit without which compiling fails."""
DEFAULT_CUDA_HOME = Path("/usr/local/cuda")
GB_PER_JOB = 4
"""Memory per file that is compiled at a time; gsplat's own choice of 10 files at once has been too
much for 32 GB (gsplat issue 500)."""

HELP = (
    "`python -m gs_esd.tools.doctor` lists what they need; hardware=cpu renders without them. "
    "For the compiler's full output: VERBOSE=1 python -m gs_esd.cli.precompile cuda"
)
OTHER_FOLDER = "Name a writable folder: export TORCH_EXTENSIONS_DIR=FOLDER"

log = logging.getLogger(__name__)


@cache
def load() -> ModuleType:
    """Import gsplat, compiling its kernels first if this has not been done on this machine.

    Raises:
        UserError: the kernels cannot be compiled, or not be stored.
    """
    if is_prebuilt():
        return _import_gsplat()
    prepare_environment()
    from filelock import FileLock, Timeout

    build = build_folder(torch_cuda_version())
    # Beside the folder: gsplat deletes the folder itself if a build in it was not finished.
    lock = FileLock(build.with_name("gsplat-for-gs-esd.lock"))
    try:
        build.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        log.warning("another process compiles gsplat's kernels; waiting for it")
        lock.acquire()
    except OSError as error:
        raise UserError(f"gsplat's kernels cannot be stored: {error}. {OTHER_FOLDER}") from error
    try:
        if not is_built(build):
            log.warning("compiling gsplat's kernels, once on this machine: this takes minutes")
        return _import_gsplat()
    finally:
        lock.release()


def _import_gsplat() -> ModuleType:
    try:
        from gsplat.cuda import _backend
    except (RuntimeError, OSError, ImportError) as error:
        raise UserError(_explain(error)) from error
    if _backend._C is None:
        raise UserError(f"gsplat found no CUDA toolkit. {HELP}")
    import gsplat

    return gsplat


def is_prebuilt() -> bool:
    """Whether gsplat was installed with compiled kernels."""
    spec = importlib.util.find_spec("gsplat")
    folders = (spec and spec.submodule_search_locations) or []
    return any(any(Path(folder).glob("csrc*.so")) for folder in folders)


def build_folder(torch_cuda: str | None) -> Path:
    """The folder in which torch compiles gsplat's kernels, computed without importing torch.

    Args:
        torch_cuda: CUDA version that torch is built for, such as "13.0"; None for a CPU build.
    """
    if "TORCH_EXTENSIONS_DIR" in os.environ:
        return Path(os.environ["TORCH_EXTENSIONS_DIR"], "gsplat_cuda")
    caches = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    python = f"py{sys.version_info.major}{sys.version_info.minor}{sys.abiflags}"
    cuda = f"cu{torch_cuda.replace('.', '')}" if torch_cuda else "cpu"
    return Path(caches, "torch_extensions").resolve() / f"{python}_{cuda}" / "gsplat_cuda"


def is_built(build: Path) -> bool:
    """Whether a folder has finished kernels, rather than the remains of an interrupted build."""
    kernels = build / "gsplat_cuda.so"
    return kernels.is_file() and kernels.stat().st_size > 0


def find_toolkit() -> Path | None:
    """The folder of a complete CUDA toolkit: CUDA_HOME, else that of nvcc on PATH, or the default.

    torch uses the folder above nvcc's unresolved, and finds no headers there if nvcc is a symlink.
    """
    if named := os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH"):
        homes = [Path(named)]
    else:
        nvcc = Path(shutil.which("nvcc") or DEFAULT_CUDA_HOME / "bin/nvcc")
        homes = [nvcc.parents[1], nvcc.resolve().parents[1], DEFAULT_CUDA_HOME]
    complete = (home for home in homes if all((home / file).is_file() for file in TOOLKIT_FILES))
    return next(complete, None)


def search_path() -> str:
    """PATH with the Python environment's commands: its ninja is found even if not activated."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])


def prepare_environment() -> None:
    """Set PATH, CUDA_HOME and MAX_JOBS for torch, which reads them as cpp_extension is imported."""
    os.environ["PATH"] = search_path()
    if home := find_toolkit():
        os.environ["CUDA_HOME"] = str(home)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    jobs = min(os.cpu_count() or 1, int(memory / (GB_PER_JOB * 1e9)))
    os.environ.setdefault("MAX_JOBS", str(max(1, jobs)))


def _explain(error: Exception) -> str:
    """The first five error lines of the compiler's output, which has hundreds of others."""
    output = str(error).splitlines()
    errors = [line.strip() for line in output if re.search(r"\b(error|fatal)\b", line, re.I)]
    lines = "\n".join(f"  {line}" for line in (errors or output)[:5])
    return f"gsplat's kernels could not be compiled:\n{lines}\n{HELP}"
