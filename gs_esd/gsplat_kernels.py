"""gsplat's CUDA kernels: what they take to be compiled, and compiling them once.

gsplat 1.5.3 brings sources, which torch compiles at their first use (gsplat/cuda/_backend.py and
torch/utils/cpp_extension.py). Where it cannot, gsplat prints a line and fails much later; and where
two processes begin at once, each removes what the other has built (gsplat issue 297).
"""

import importlib.metadata
import logging
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from gs_esd.errors import UserError

OURS = "1.5."
"""The versions of gsplat that this program renders with."""
TOOLKIT = ("bin/nvcc", "include/cuda_runtime.h")
"""Files by which a toolkit is known to be whole enough."""
USUAL_HOME = Path("/usr/local/cuda")
GB_A_JOB = 4
"""Memory that is set aside for each file that is compiled at a time; gsplat itself takes 10 files
at once, which has been too much for 32 GB (gsplat issue 500)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lack:
    """Something that the kernels need and this machine has not, and the way to get it."""

    what: str
    fix: str


def lacks(torch_cuda: str) -> list[Lack]:
    """All that keeps gsplat's kernels from being compiled for a torch of this CUDA version.

    torch_cuda: such as "13.0". Needs no GPU, and imports neither torch nor gsplat.
    """
    found = [_lack_of_gsplat(), _lack_of_toolkit(torch_cuda), _lack_of_compiler()]
    found += [_lack_of_ninja(), _lack_of_headers()]
    return [lack for lack in found if lack is not None]


def check(torch_cuda: str) -> None:
    """Raise UserError with every lack and what to do about it."""
    found = lacks(torch_cuda)
    if found:
        lines = [f"  - {lack.what}. {lack.fix}" for lack in found]
        raise UserError(
            "\n".join(["hardware=cuda renders with gsplat, which cannot be compiled here:", *lines])
            + "\nOr use hardware=cpu. `python -m gs_esd.doctor` looks at everything."
        )


@cache
def load() -> ModuleType:
    """gsplat with its kernels, compiled where they are not yet, by one process at a time.

    Raises UserError where that fails.
    """
    _prepare_environment()
    from filelock import FileLock
    from torch.utils.cpp_extension import get_default_build_root

    folder = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root())
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.rglob("gsplat_cuda.so")):
        log.info("gsplat's kernels are compiled, once: this takes minutes")
    with FileLock(folder / "gsplat-for-gs-esd.lock"):
        try:
            from gsplat.cuda import _backend
        except (RuntimeError, OSError, ImportError) as error:
            raise UserError(_explained(error)) from error
    if _backend._C is None:
        raise UserError("gsplat found no CUDA toolkit. `python -m gs_esd.doctor` tells more.")
    import gsplat

    return gsplat


def find_toolkit() -> Path | None:
    """The folder of the CUDA toolkit: that of CUDA_HOME, else of nvcc on PATH, or the usual one.

    torch takes the folder above nvcc's as it is, and then finds no headers where nvcc is a link.
    """
    if named := _named_home():
        homes = [Path(named)]
    else:
        nvcc = Path(shutil.which("nvcc") or USUAL_HOME / "bin/nvcc")
        homes = [nvcc.parents[1], nvcc.resolve().parents[1], USUAL_HOME]
    whole = (home for home in homes if all((home / file).is_file() for file in TOOLKIT))
    return next(whole, None)


def release_of(nvcc: Path) -> str | None:
    """The CUDA version of a compiler, such as "13.0"; None where it does not say."""
    try:
        text = subprocess.run(
            [nvcc, "--version"], capture_output=True, text=True, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"release (\d+\.\d+)", text)
    return None if match is None else match[1]


def _lack_of_gsplat() -> Lack | None:
    try:
        version = importlib.metadata.version("gsplat")
    except importlib.metadata.PackageNotFoundError:
        return Lack("gsplat is not installed", "pip install -c constraints.txt -e .")
    if version.startswith(OURS):
        return None
    return Lack(f"gsplat is {version}, this takes {OURS}x", "pip install 'gsplat>=1.5.3,<1.6'")


def _named_home() -> str | None:
    return os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")


def _lack_of_toolkit(torch_cuda: str) -> Lack | None:
    major = torch_cuda.partition(".")[0]
    fix = (
        f"Install the CUDA toolkit {torch_cuda} and set CUDA_HOME to its folder "
        "(https://developer.nvidia.com/cuda-toolkit-archive)"
    )
    home = find_toolkit()
    if home is None:
        where = _named_home()
        where = f"CUDA_HOME={where}" if where else f"PATH and {USUAL_HOME}"
        return Lack(f"no CUDA toolkit, with {' and '.join(TOOLKIT)}, in {where}", fix)
    nvcc = home / "bin/nvcc"
    release = release_of(nvcc)
    if release is None:
        return Lack(f"{nvcc} does not tell its version", fix)
    if release.partition(".")[0] == major:
        return None
    return Lack(
        f"{nvcc} is of CUDA {release}, and torch, built for {torch_cuda}, takes {major}.x only",
        f"{fix}; or take a torch for CUDA {release}: https://pytorch.org/get-started/locally",
    )


def _lack_of_compiler() -> Lack | None:
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler):
        return None
    return Lack(f"there is no C++ compiler {compiler}", "On Debian and Ubuntu: apt install g++")


def _lack_of_ninja() -> Lack | None:
    if shutil.which("ninja", path=_path_with_ours()):
        return None
    return Lack("ninja is not installed", "pip install ninja")


def _lack_of_headers() -> Lack | None:
    folder = sysconfig.get_path("include")
    if Path(folder, "Python.h").is_file():
        return None
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Lack(
        f"Python's headers are not in {folder}",
        f"On Debian and Ubuntu: apt install python{version}-dev",
    )


def _path_with_ours() -> str:
    """PATH, and the environment's own commands: ninja is there, activated or not."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])


def _prepare_environment() -> None:
    """Make torch find what `lacks` found; before its cpp_extension is imported, which looks."""
    os.environ["PATH"] = _path_with_ours()
    if home := find_toolkit():
        os.environ["CUDA_HOME"] = str(home)
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    at_once = min(os.cpu_count() or 1, int(pages / (GB_A_JOB * 1e9)))
    os.environ.setdefault("MAX_JOBS", str(max(1, at_once)))


def _explained(error: Exception) -> str:
    """The first lines that a compiler called errors, of all that it said."""
    said = str(error).splitlines()
    errors = [line.strip() for line in said if re.search(r"\b(error|fatal)\b", line, re.I)]
    lines = "\n".join(f"  {line}" for line in (errors or said)[:5])
    return (
        f"gsplat's kernels could not be compiled:\n{lines}\n`python -m gs_esd.doctor` tells what "
        "they take; hardware=cpu renders without them."
    )
