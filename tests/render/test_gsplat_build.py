"""What gsplat's kernels take is looked for before they are needed, and said in words."""

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
import torch
from torch.utils.cpp_extension import _get_build_directory

from gs_esd.errors import UserError
from gs_esd.render import gsplat_build
from gs_esd.render.gsplat_build import (
    build_folder,
    check,
    find_toolkit,
    missing_requirements,
    release_of,
)

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
    """A machine that has all that is needed for a torch for CUDA 13.0, in a folder of its own."""
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
    monkeypatch.setattr(gsplat_build, "USUAL_HOME", tmp_path / "usual")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/bin/python"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / name))
    return tmp_path


def test_a_machine_with_everything_lacks_nothing(machine: Path) -> None:
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
        (lambda m: command(m / "cuda/bin/nvcc"), "does not tell its version", "toolkit 13.0"),
        (
            lambda m: command(m / "cuda/bin/nvcc", NVCC.format("12.4")),
            "of CUDA 12.4, and torch, built for 13.0",
            "or take a torch for CUDA 12.4",
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
def test_each_lack_is_told_with_its_remedy(
    spoil: Callable[[Path], object], what: str, fix: str, machine: Path
) -> None:
    spoil(machine)
    with pytest.raises(UserError, match=rf"(?s){what}.*{fix}.*hardware=cpu.*gs_esd\.doctor"):
        check("13.0")


def test_everything_that_is_lacking_is_told_at_once(machine: Path) -> None:
    (machine / "cuda/bin/nvcc").unlink()
    (machine / "bin/c++").unlink()
    assert len(missing_requirements("13.0")) == 2


def test_another_minor_version_of_cuda_will_do(machine: Path) -> None:
    command(machine / "cuda/bin/nvcc", NVCC.format("13.1"))
    assert missing_requirements("13.0") == []


@pytest.mark.parametrize(("version", "lacking"), [("1.5.3", 0), ("1.6.0", 1), (None, 1)])
def test_gsplat_itself_must_be_the_one_that_is_meant(
    version: str | None, lacking: int, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", installed)
    assert len(missing_requirements("13.0")) == lacking


def test_the_toolkit_is_that_of_cuda_home_before_that_of_path(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = command(machine / "other/bin/nvcc", NVCC.format("12.0"))
    headers(machine / "other")
    monkeypatch.setenv("PATH", str(other.parent), prepend=os.pathsep)
    assert find_toolkit() == machine / "cuda"
    monkeypatch.delenv("CUDA_HOME")
    assert find_toolkit() == machine / "other"
    assert release_of(other) == "12.0"


@pytest.mark.parametrize("is_link", [True, False])
def test_the_headers_are_found_where_nvcc_is_a_link(
    is_link: bool, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_HOME")
    if is_link:
        (machine / "bin/nvcc").symlink_to(machine / "cuda/bin/nvcc")
    else:
        command(machine / "bin/nvcc", NVCC.format("13.0"))
    assert find_toolkit() == (machine / "cuda" if is_link else None)
    assert len(missing_requirements("13.0")) == (0 if is_link else 1)


def test_the_usual_place_is_looked_at_last(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_HOME")
    assert find_toolkit() is None
    (machine / "cuda").rename(machine / "usual")
    assert find_toolkit() == machine / "usual"
    gsplat_build._prepare_environment()
    assert os.environ["CUDA_HOME"] == str(machine / "usual")


def test_ninja_of_an_environment_that_is_not_activated_is_found_and_used(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing_requirements("13.0") == []
    gsplat_build._prepare_environment()
    assert shutil.which("ninja") == str(machine / "venv/bin/ninja")
    assert os.environ["MAX_JOBS"] == "3"  # as the user had it


def test_a_failed_compilation_is_told_by_what_the_compiler_said() -> None:
    said = "Error building extension 'gsplat_cuda': [1/23] nvcc ...\n" + "noise\n" * 500
    error = RuntimeError(said + "/x/vec.h(12): error: identifier is undefined\nninja: stopped\n")
    told = gsplat_build._explained(error)
    assert "identifier is undefined" in told
    assert len(told.splitlines()) < 10


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "TORCH_EXTENSIONS_DIR"])
def test_kernels_are_looked_for_where_torch_puts_them(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "TORCH_EXTENSIONS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    folder = build_folder(torch.version.cuda)
    assert not folder.exists()
    assert folder == Path(_get_build_directory("gsplat_cuda", False))
    assert build_folder("13.0") != build_folder("12.6") or variable == "TORCH_EXTENSIONS_DIR"


@pytest.mark.parametrize(
    ("files", "lacking"),
    [({"lock": "", "a.o": "x"}, 2), ({"gsplat_cuda.so": ""}, 2), ({"gsplat_cuda.so": "x"}, 0)],
)
def test_a_compiler_is_needed_until_kernels_are_whole(
    files: dict[str, str], lacking: int, machine: Path
) -> None:
    for name, text in files.items():
        command(machine / "extensions/gsplat_cuda" / name, text)
    (machine / "bin/c++").unlink()
    (machine / "include/Python.h").unlink()
    assert len(missing_requirements("13.0")) == lacking
    (machine / "cuda/bin/nvcc").unlink()  # gsplat looks for it before it looks for its kernels
    assert len(missing_requirements("13.0")) == lacking + 1


def test_a_place_that_cannot_hold_kernels_is_told(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "file").touch()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(machine / "file"))
    with pytest.raises(UserError, match=r"(?s)cannot be kept in .*TORCH_EXTENSIONS_DIR=FOLDER"):
        check("13.0")


def test_a_gsplat_that_came_with_kernels_takes_nothing(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
