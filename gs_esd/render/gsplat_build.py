"""gsplat's CUDA kernels: what they take to be compiled, and compiling them once.

gsplat 1.5.3 brings sources, which torch compiles at their first use (gsplat/cuda/_backend.py and
torch/utils/cpp_extension.py). Where it cannot, gsplat prints a line and fails much later; and where
two processes begin at once, each removes what the other has built (gsplat issue 297). Installed
from its source distribution, it has them compiled already (`gsplat/csrc.so`), and takes nothing.
"""

import importlib.metadata
import importlib.util
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
from gs_esd.system.hardware import torch_cuda_version

OURS = "1.5."
"""The versions of gsplat that this program renders with."""
TOOLKIT = ("bin/nvcc", "include/cuda_runtime.h")
"""Files by which a toolkit is known to be whole enough."""
USUAL_HOME = Path("/usr/local/cuda")
GB_A_JOB = 4
"""Memory that is set aside for each file that is compiled at a time; gsplat itself takes 10 files
at once, which has been too much for 32 GB (gsplat issue 500)."""

DOCTOR = (
    "`python -m gs_esd.tools.doctor` tells what they take; hardware=cpu renders without them. "
    "All that the compiler says: VERBOSE=1 python -m gs_esd.cli.precompile cuda"
)
ELSEWHERE = "Name a folder that can be written: export TORCH_EXTENSIONS_DIR=FOLDER"
WAITING = "another process compiles gsplat's kernels; waiting for it"
COMPILING = "gsplat's kernels are compiled, once on this machine: this takes minutes"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MissingRequirement:
    """Something that the kernels need and this machine has not, and the way to get it."""

    what: str
    fix: str


def missing_requirements(torch_cuda: str) -> list[MissingRequirement]:
    """All that keeps gsplat's kernels from being compiled for a torch of this CUDA version.

    torch_cuda: such as "13.0". Needs no GPU, and imports neither torch nor gsplat. Kernels that are
    compiled still take the toolkit and ninja: gsplat looks for nvcc before it looks for them, and
    torch has ninja see whether they are up to date.
    """
    found = [_lack_of_gsplat()]
    if not is_prebuilt():
        found += [_lack_of_toolkit(torch_cuda), _lack_of_ninja()]
        build = build_folder(torch_cuda)
        if not is_built(build):
            found += [_lack_of_compiler(), _lack_of_headers(), _lack_of_room(build)]
    return [lack for lack in found if lack is not None]


def check(torch_cuda: str) -> None:
    """Raise UserError with every lack and what to do about it."""
    found = missing_requirements(torch_cuda)
    if found:
        lines = [f"  - {lack.what}. {lack.fix}" for lack in found]
        raise UserError(
            "\n".join(["hardware=cuda renders with gsplat, which cannot be compiled here:", *lines])
            + "\nOr use hardware=cpu. `python -m gs_esd.tools.doctor` looks at everything."
        )


@cache
def load() -> ModuleType:
    """gsplat with its kernels, compiled where they are not yet, by one process at a time.

    Raises UserError where that fails.
    """
    if is_prebuilt():
        return _load()
    _prepare_environment()
    from filelock import FileLock, Timeout

    build = build_folder(torch_cuda_version())
    # Beside the folder, which gsplat removes where a build in it was not finished.
    lock = FileLock(build.with_name("gsplat-for-gs-esd.lock"))
    try:
        build.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        log.warning(WAITING)
        lock.acquire()
    except OSError as error:
        raise UserError(f"gsplat's kernels cannot be kept: {error}. {ELSEWHERE}") from error
    try:
        if not is_built(build):
            log.warning(COMPILING)
        return _load()
    finally:
        lock.release()


def _load() -> ModuleType:
    try:
        from gsplat.cuda import _backend
    except (RuntimeError, OSError, ImportError) as error:
        raise UserError(_explained(error)) from error
    if _backend._C is None:
        raise UserError(f"gsplat found no CUDA toolkit. {DOCTOR}")
    import gsplat

    return gsplat


def is_prebuilt() -> bool:
    """Whether gsplat was installed with its kernels compiled."""
    spec = importlib.util.find_spec("gsplat")
    folders = (spec and spec.submodule_search_locations) or []
    return any(any(Path(folder).glob("csrc*.so")) for folder in folders)


def build_folder(torch_cuda: str | None) -> Path:
    """Where torch has the kernels compiled and looks for them, found without importing it.

    torch_cuda: such as "13.0"; None for a CPU build.
    """
    if "TORCH_EXTENSIONS_DIR" in os.environ:
        return Path(os.environ["TORCH_EXTENSIONS_DIR"], "gsplat_cuda")
    caches = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    python = f"py{sys.version_info.major}{sys.version_info.minor}{sys.abiflags}"
    cuda = f"cu{torch_cuda.replace('.', '')}" if torch_cuda else "cpu"
    return Path(caches, "torch_extensions").resolve() / f"{python}_{cuda}" / "gsplat_cuda"


def is_built(build: Path) -> bool:
    """Whether a folder holds finished kernels, and not the remains of a build that was stopped."""
    kernels = build / "gsplat_cuda.so"
    return kernels.is_file() and kernels.stat().st_size > 0


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


def _lack_of_gsplat() -> MissingRequirement | None:
    try:
        version = importlib.metadata.version("gsplat")
    except importlib.metadata.PackageNotFoundError:
        return MissingRequirement("gsplat is not installed", "pip install -c constraints.txt -e .")
    if version.startswith(OURS):
        return None
    return MissingRequirement(
        f"gsplat is {version}, this takes {OURS}x", "pip install 'gsplat>=1.5.3,<1.6'"
    )


def _named_home() -> str | None:
    return os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")


def _lack_of_toolkit(torch_cuda: str) -> MissingRequirement | None:
    major = torch_cuda.partition(".")[0]
    fix = (
        f"Install the CUDA toolkit {torch_cuda} and set CUDA_HOME to its folder "
        "(https://developer.nvidia.com/cuda-toolkit-archive)"
    )
    home = find_toolkit()
    if home is None:
        where = _named_home()
        where = f"CUDA_HOME={where}" if where else f"PATH and {USUAL_HOME}"
        return MissingRequirement(f"no CUDA toolkit, with {' and '.join(TOOLKIT)}, in {where}", fix)
    nvcc = home / "bin/nvcc"
    release = release_of(nvcc)
    if release is None:
        return MissingRequirement(f"{nvcc} does not tell its version", fix)
    if release.partition(".")[0] == major:
        return None
    return MissingRequirement(
        f"{nvcc} is of CUDA {release}, and torch, built for {torch_cuda}, takes {major}.x only",
        f"{fix}; or take a torch for CUDA {release}: https://pytorch.org/get-started/locally",
    )


def _lack_of_compiler() -> MissingRequirement | None:
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler):
        return None
    return MissingRequirement(
        f"there is no C++ compiler {compiler}", "On Debian and Ubuntu: apt install g++"
    )


def _lack_of_ninja() -> MissingRequirement | None:
    if shutil.which("ninja", path=_path_with_ours()):
        return None
    return MissingRequirement("ninja is not installed", "pip install ninja")


def _lack_of_headers() -> MissingRequirement | None:
    folder = sysconfig.get_path("include")
    if Path(folder, "Python.h").is_file():
        return None
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return MissingRequirement(
        f"Python's headers are not in {folder}",
        f"On Debian and Ubuntu: apt install python{version}-dev",
    )


def _lack_of_room(build: Path) -> MissingRequirement | None:
    existing = next(each for each in (build, *build.parents) if each.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return None
    return MissingRequirement(
        f"kernels cannot be kept in {build}: {existing} cannot be written", ELSEWHERE
    )


def _path_with_ours() -> str:
    """PATH, and the environment's own commands: ninja is there, activated or not."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])


def _prepare_environment() -> None:
    """Make torch find what `missing_requirements` found, before its cpp_extension is imported."""
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
    return f"gsplat's kernels could not be compiled:\n{lines}\n{DOCTOR}"
