"""Checks what compiling gsplat's CUDA kernels needs, before a run begins and for the doctor.

Where something is missing, gsplat prints a line and fails much later. Needs no GPU and imports
neither torch nor gsplat.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gs_esd.errors import UserError
from gs_esd.render import gsplat_build
from gs_esd.render.gsplat_build import TOOLKIT_FILES

GSPLAT_SERIES = "1.5."
"""The releases of gsplat whose image and interface this program uses; 1.6 has others."""
NVCC_TIMEOUT_S = 30


@dataclass(frozen=True)
class MissingRequirement:
    """Something that the kernels need and this machine does not have, and how to get it."""

    what: str
    fix: str


def check(torch_cuda: str) -> None:
    """Raise UserError with everything that is missing and how to get it.

    Args:
        torch_cuda: CUDA version that torch is built for, such as "13.0".
    """
    if missing := missing_requirements(torch_cuda):
        lines = [f"  - {each.what}. {each.fix}" for each in missing]
        raise UserError(
            "\n".join(["hardware=cuda renders with gsplat, which cannot be compiled here:", *lines])
            + "\nOr use hardware=cpu. `python -m gs_esd.tools.doctor` checks everything."
        )


def missing_requirements(torch_cuda: str) -> list[MissingRequirement]:
    """What is missing to load gsplat's kernels with a torch built for this CUDA version.

    The toolkit and ninja are needed even if the kernels are compiled: gsplat searches for nvcc
    before it searches for the kernels, and torch has ninja check that they are up to date.
    """
    missing = [*_missing_gsplat()]
    if not gsplat_build.is_prebuilt():
        missing += _missing_toolkit(torch_cuda)
        if not shutil.which("ninja", path=gsplat_build.search_path()):
            missing += [MissingRequirement("ninja is not installed", "pip install ninja")]
        build = gsplat_build.build_folder(torch_cuda)
        if not gsplat_build.is_built(build):
            missing += _missing_to_compile(build)
    return missing


def nvcc_release(nvcc: Path) -> str | None:
    """The CUDA version of a compiler, such as "13.0"; None if it does not print one."""
    try:
        done = subprocess.run(
            [nvcc, "--version"], capture_output=True, text=True, timeout=NVCC_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"release (\d+\.\d+)", done.stdout)
    return None if match is None else match[1]


def _missing_gsplat() -> Iterator[MissingRequirement]:
    try:
        version = importlib.metadata.version("gsplat")
    except importlib.metadata.PackageNotFoundError:
        yield MissingRequirement("gsplat is not installed", "pip install 'gsplat>=1.5.3,<1.6'")
        return
    if not version.startswith(GSPLAT_SERIES):
        what = f"gsplat is {version}, {GSPLAT_SERIES}x is needed"
        yield MissingRequirement(what, "pip install 'gsplat>=1.5.3,<1.6'")


def _missing_toolkit(torch_cuda: str) -> Iterator[MissingRequirement]:
    fix = (
        f"Install the CUDA toolkit {torch_cuda} and set CUDA_HOME to its folder "
        "(https://developer.nvidia.com/cuda-toolkit-archive)"
    )
    home = gsplat_build.find_toolkit()
    if home is None:
        named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
        places = f"CUDA_HOME={named}" if named else f"PATH and {gsplat_build.DEFAULT_CUDA_HOME}"
        files = " and ".join(TOOLKIT_FILES)
        yield MissingRequirement(f"no CUDA toolkit, with {files}, in {places}", fix)
        return
    nvcc = home / "bin/nvcc"
    release = nvcc_release(nvcc)
    if release is None:
        yield MissingRequirement(f"{nvcc} prints no version", fix)
    elif release.partition(".")[0] != (major := torch_cuda.partition(".")[0]):
        yield MissingRequirement(
            f"{nvcc} is of CUDA {release}, and torch, built for {torch_cuda}, needs {major}.x",
            f"{fix}; or install a torch for CUDA {release}: https://pytorch.org/get-started/locally",
        )


def _missing_to_compile(build: Path) -> Iterator[MissingRequirement]:
    """The compiler, Python's headers, and a folder that can be written."""
    compiler = os.environ.get("CXX", "c++")
    if not shutil.which(compiler):
        what = f"there is no C++ compiler {compiler}"
        yield MissingRequirement(what, "On Debian and Ubuntu: apt install g++")
    headers = sysconfig.get_path("include")
    if not Path(headers, "Python.h").is_file():
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-dev"
        fix = f"On Debian and Ubuntu: apt install {package}"
        yield MissingRequirement(f"Python's headers are not in {headers}", fix)
    existing = next(each for each in (build, *build.parents) if each.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        what = f"kernels cannot be stored in {build}: {existing} is not writable"
        yield MissingRequirement(what, gsplat_build.OTHER_FOLDER)
