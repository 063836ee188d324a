"""What compiling gsplat's kernels needs is checked before a run, and reported with a remedy."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from gs_esd.errors import UserError
from gs_esd.render import gsplat_build
from gs_esd.render.gsplat_build import find_toolkit, prepare_environment
from gs_esd.render.gsplat_requirements import check, missing_requirements, nvcc_release

NVCC = "#!/bin/sh\necho 'nvcc: NVIDIA (R) Cuda compiler driver\nCuda tools, release {}, V'\n"


def command(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def headers(home: Path) -> None:
    (home / "include").mkdir(parents=True)
    (home / "include/cuda_runtime.h").touch()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that a torch built for CUDA 13.0 needs, as if a machine."""
    for variable in ("CUDA_HOME", "CUDA_PATH", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    command(tmp_path / "cuda/bin/nvcc", NVCC.format("13.0"))
    headers(tmp_path / "cuda")
    command(tmp_path / "bin/c++")
    command(tmp_path / "venv/bin/ninja")
    (tmp_path / "include").mkdir()
    (tmp_path / "include/Python.h").touch()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("MAX_JOBS", "3")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    monkeypatch.setattr(gsplat_build, "DEFAULT_CUDA_HOME", tmp_path / "usual")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/bin/python"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / name))
    return tmp_path


def test_nothing_missing_on_a_complete_machine(machine: Path) -> None:
    assert missing_requirements("13.0") == []
    check("13.0")


@pytest.mark.parametrize(
    ("spoil", "what", "fix"),
    [
        (
            lambda m: (m / "cuda/bin/nvcc").unlink(),
            "no CUDA toolkit",
            "toolkit 13.0 and set CUDA_HOME",
        ),
        (lambda m: (m / "cuda/include/cuda_runtime.h").unlink(), "no CUDA toolkit", "CUDA_HOME"),
        (lambda m: command(m / "cuda/bin/nvcc"), "prints no version", "toolkit 13.0"),
        (
            lambda m: command(m / "cuda/bin/nvcc", NVCC.format("12.4")),
            "of CUDA 12.4, and torch, built for 13.0",
            "or install a torch for CUDA 12.4",
        ),
        (lambda m: (m / "bin/c++").unlink(), r"no C\+\+ compiler", "apt install g"),
        (lambda m: (m / "venv/bin/ninja").unlink(), "ninja", "pip install ninja"),
        (
            lambda m: (m / "include/Python.h").unlink(),
            "Python's headers",
            r"apt install python3\.\d+-dev",
        ),
    ],
)
def test_each_missing_requirement_is_reported_with_a_remedy(
    spoil: Callable[[Path], object], what: str, fix: str, machine: Path
) -> None:
    spoil(machine)
    with pytest.raises(
        UserError, match=rf"(?s){what}.*{fix}.*hardware=cpu.*python -m gs_esd\.tools\.doctor"
    ):
        check("13.0")


def test_all_missing_requirements_are_reported_at_once(machine: Path) -> None:
    (machine / "cuda/bin/nvcc").unlink()
    (machine / "bin/c++").unlink()
    assert len(missing_requirements("13.0")) == 2


def test_cuda_minor_versions_are_compatible(machine: Path) -> None:
    command(machine / "cuda/bin/nvcc", NVCC.format("13.1"))
    assert missing_requirements("13.0") == []


@pytest.mark.parametrize(("version", "missing"), [("1.5.3", 0), ("1.6.0", 1), (None, 1)])
def test_gsplat_version(
    version: str | None, missing: int, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", installed)
    assert len(missing_requirements("13.0")) == missing


def test_cuda_home_precedes_path(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = command(machine / "other/bin/nvcc", NVCC.format("12.0"))
    headers(machine / "other")
    monkeypatch.setenv("PATH", str(other.parent), prepend=os.pathsep)
    assert find_toolkit() == machine / "cuda"
    monkeypatch.delenv("CUDA_HOME")
    assert find_toolkit() == machine / "other"
    assert nvcc_release(other) == "12.0"


@pytest.mark.parametrize("is_link", [True, False])
def test_headers_are_found_if_nvcc_is_a_symlink(
    is_link: bool, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_HOME")
    if is_link:
        (machine / "bin/nvcc").symlink_to(machine / "cuda/bin/nvcc")
    else:
        command(machine / "bin/nvcc", NVCC.format("13.0"))
    assert find_toolkit() == (machine / "cuda" if is_link else None)
    assert len(missing_requirements("13.0")) == (0 if is_link else 1)


def test_default_cuda_home_is_searched_last(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_HOME")
    assert find_toolkit() is None
    (machine / "cuda").rename(machine / "usual")
    assert find_toolkit() == machine / "usual"
    prepare_environment()
    assert os.environ["CUDA_HOME"] == str(machine / "usual")


def test_ninja_of_an_environment_that_is_not_activated(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing_requirements("13.0") == []
    prepare_environment()
    assert shutil.which("ninja") == str(machine / "venv/bin/ninja")
    assert os.environ["MAX_JOBS"] == "3"  # as the user had it


@pytest.mark.parametrize(
    ("files", "missing"),
    [({"lock": "", "a.o": "x"}, 2), ({"gsplat_cuda.so": ""}, 2), ({"gsplat_cuda.so": "x"}, 0)],
)
def test_compiler_is_needed_until_kernels_are_complete(
    files: dict[str, str], missing: int, machine: Path
) -> None:
    for name, text in files.items():
        command(machine / "extensions/gsplat_cuda" / name, text)
    (machine / "bin/c++").unlink()
    (machine / "include/Python.h").unlink()
    assert len(missing_requirements("13.0")) == missing
    (machine / "cuda/bin/nvcc").unlink()  # gsplat searches for it before its kernels
    assert len(missing_requirements("13.0")) == missing + 1


def test_unwritable_build_folder(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "file").touch()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(machine / "file"))
    with pytest.raises(UserError, match=r"(?s)cannot be stored in .*TORCH_EXTENSIONS_DIR=FOLDER"):
        check("13.0")


def test_prebuilt_gsplat_needs_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(machine / "cuda")
    (machine / "bin/c++").unlink()
    assert len(missing_requirements("13.0")) == 2
    package = machine / "gsplat"
    spec = ModuleSpec("gsplat", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert len(missing_requirements("13.0")) == 2
    command(package / "csrc.so")
    assert missing_requirements("13.0") == []
